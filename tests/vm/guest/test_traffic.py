# SPDX-License-Identifier: BSD-2-Clause
"""Traffic through virtio-net: every queue, every tunnel, long packets, every way in and out."""
import collections
import json

import daemon
import peers
from cases import expect, expect_equal, expect_served
from lab import VIP
from vm_cases import Skip, case, fact, queues_of

REQUESTS = 60


def serve(guest, requests=REQUESTS, families=(4, 6), slack=0.25):
    for family in families:
        expect_served(peers.http(guest.lab, family, requests, concurrency=16), guest.lab.backends, f"HTTP over IPv{family}", slack)


def received_by_worker(running):
    return {w["worker"]: w["packets"]["received"] for w in running.ask("worker", "list")["workers"]}


@case(quick=True)
def binds_every_queue_zero_copy_and_keeps_every_connection_on_its_backend(guest):
    with guest.daemon() as running:
        queues = queues_of(running)
        expect_equal([q["queue"] for q in queues], [0, 1, 2, 3], "queues that are served")
        bind = "zerocopy" if guest.has_zerocopy else "copy"
        expect_equal({q["bind"] for q in queues}, {bind}, "XDP_OPTIONS, read back")
        expect_equal(running.ask("interface", "list")["interfaces"][0]["xdp"], "native", "how the shim is attached")
        fact("zero-copy", "yes" if guest.has_zerocopy else "no, copied", f"4 queues, {bind}")
        kept = peers.keep(guest.lab, VIP[4], connections=100, interval_ms=3000)
        serve(guest)
        connections = kept.report()
        expect_equal(collections.Counter(c["error"] for c in connections), {None: 100}, "connections that broke")
        expect_equal(sum(c["moved"] for c in connections), 0, "answers from another backend than the first")
        expect_equal(len({c["backend"] for c in connections}), 4, "backends in use")
        workers = received_by_worker(running)
        expect(len(workers) == 4 and min(workers.values()) > 50, f"packets by worker: {workers}")
        running.expect_no_drops()
        sent = [q["transmitted"] for q in queues_of(running)]
        expect(min(sent) > 50, f"packets sent by queue: {sent}")


@case()
def falls_back_to_copy_where_zero_copy_is_refused(guest):
    if guest.has_zerocopy:
        raise Skip("virtio-net of this kernel has zero-copy")
    with guest.daemon() as running:
        expect(running.said().count("copy mode (the driver has no zero-copy)") == 4, running.said())
        serve(guest)
    with_force = guest.daemon(bind="zerocopy")
    try:
        with_force.start()
    except AssertionError as error:
        expect("cannot bind an AF_XDP socket to eth0 queue 0 (zero-copy): the driver has no zero-copy" in str(error), error)
    else:
        raise AssertionError("started although zero-copy was demanded")


@case()
def balances_in_copy_mode_by_the_ring(guest):
    with guest.daemon(bind="copy", transmit="ring") as running:
        expect_equal({(q["bind"], q["transmit"]) for q in queues_of(running)}, {("copy", "ring")}, "ports")
        serve(guest)
        running.expect_no_drops()


@case(quick=True)
def injects_into_virtio_net(guest):
    with guest.daemon(bind="copy", transmit="inject") as running:
        interface = running.ask("interface", "list")["interfaces"][0]
        if interface["queues"][0]["transmit"] != "inject":
            fact("inject", "no", interface["transmit_why"])
            # Four queues and two CPUs: with fewer queues the driver adds some for XDP.
            expect("more queues than CPUs crashes the kernel" in interface["transmit_why"], interface["transmit_why"])
            serve(guest)
            raise Skip(interface["transmit_why"])
        expect_equal({q["bind"] for q in interface["queues"]}, {"copy"}, "bind")
        # Injection is for ten packets and more at a time: bursts of datagrams give those.
        reports = [peers.udp(guest.lab, family, 300, size=700, concurrency=100) for family in (4, 6)]
        for report in reports:
            expect(report["failed"] <= 3, f"lost datagrams: {report}")
        serve(guest)
        injected = sum(q["injected"] for q in queues_of(running))
        expect(injected > 0, f"nothing was injected: {queues_of(running)}")
        fact("inject", "yes", f"{injected} packets")


@case()
def balances_with_generic_xdp(guest):
    with guest.daemon(xdp="generic") as running:
        expect_equal(running.ask("interface", "list")["interfaces"][0]["xdp"], "generic", "how the shim is attached")
        serve(guest)


def tunnels(guest, backend_family):
    guest.lab.settle(1600)
    with guest.daemon(settings=daemon.config(guest.lab, mode="ipip", backend_family=backend_family)) as running:
        serve(guest)
        for family in (4, 6):
            expect_equal(peers.http(guest.lab, family, 4, upload=30_001, concurrency=2)["errors"], {}, f"uploads, IPv{family}")
        running.expect_no_drops()
        for backend in guest.lab.backends:
            done = backend.ns.run("ip", "-j", "-s", "link")
            names = ("tunl0", "tunl46", "sit0", "ip6tnl0")
            rows = {r["ifname"]: r["stats64"]["rx"]["packets"] for r in json.loads(done.stdout) if r["ifname"] in names}
            used = ("tunl0", "sit0") if backend_family == 4 else ("tunl46", "ip6tnl0")
            for name in used:
                expect(rows[name] > 0, f"{backend.role}: nothing came out of {name}: {rows}")
    guest.lab.settle(1500)


@case()
def real_kernels_unpack_both_families_from_ipv4(guest):
    tunnels(guest, 4)


@case()
def real_kernels_unpack_both_families_from_ipv6(guest):
    tunnels(guest, 6)


@case()
def forwards_packets_of_mtu_9000_in_several_frames(guest):
    guest.lab.settle(9000, client_mtu=9000)
    try:
        if not guest.has_multi_frame:
            refused = guest.daemon()
            try:
                refused.start()
            except AssertionError as error:
                expect("packets longer than a frame need Linux 6.6, or a smaller MTU" in str(error), error)
            else:
                raise AssertionError("started with an MTU that this kernel cannot serve")
            fact("multi-buffer", "no", "refused, naming Linux 6.6")
            return
        with guest.daemon() as running:
            serve(guest, 40)
            for family in (4, 6):
                done = peers.http(guest.lab, family, 8, upload=200_001, concurrency=2)
                expect_equal(done["errors"], {}, f"uploads, IPv{family}")
                for size in (3840, 8871):
                    report = peers.udp(guest.lab, family, 16, size=size, concurrency=4)
                    expect_equal(report["failed"], 0, f"datagrams of {size}: {report}")
            running.expect_no_drops()
            queues = queues_of(running)
            forwarded = running.packets()["forwarded"]
            sent = sum(q["transmitted"] for q in queues)
            expect(sent > forwarded, f"{sent} frames for {forwarded} packets: none was in several")
            fact("multi-buffer", "yes", f"bind {queues[0]['bind']}, {sent} frames for {forwarded} packets")
    finally:
        guest.lab.settle(1500)
