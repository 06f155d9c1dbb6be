# SPDX-License-Identifier: BSD-2-Clause
"""Traffic through virtio-net: every queue, every mode, long packets, every way in and out."""
import collections

import daemon
import peers
from cases import expect, expect_equal, expect_served
from lab import VIP, run, wait_until
from vm_cases import Skip, case, fact, queues_of
from vm_lab import INNER_MAC, VNI, received_by

REQUESTS = 40  # that one of four backends gets none: once in 25,000 times


def serve(guest, requests=REQUESTS, families=(4, 6), slack=0.3):
    for family in families:
        expect_served(peers.http(guest.lab, family, requests, concurrency=16), guest.lab.backends, f"HTTP over IPv{family}", slack)


def received_by_worker(running):
    return {w["worker"]: w["packets"]["received"] for w in running.ask("worker", "list")["workers"]}


@case(quick=True)
def binds_every_queue_zero_copy_and_keeps_every_connection_on_its_backend(guest):
    with guest.daemon() as running:
        queues = queues_of(running)
        expect_equal([q["queue"] for q in queues], [0, 1, 2, 3], "queues that are served")
        expect_equal({(q["self_test"], q["self_test_why"]) for q in queues}, {("ok", "")}, "self-tests")
        bind = "zerocopy" if guest.has_zerocopy else "copy"
        expect_equal({q["bind"] for q in queues}, {bind}, "XDP_OPTIONS, read back")
        expect_equal(running.ask("interface", "list")["interfaces"][0]["xdp"], "native", "how the shim is attached")
        fact("zero-copy", "yes" if guest.has_zerocopy else "no: copy", f"4 queues, {bind}")
        if not guest.has_zerocopy:
            expect_equal(running.said().count("copy mode (the driver has no zero-copy)"), 4, "lines that say why")
        kept = peers.keep(guest.lab, VIP[4], connections=60, interval_ms=3000)
        serve(guest)
        for number in ("3", "2"):
            done = run("ethtool", "-L", "eth0", "combined", number, check=False)
            expect(done.returncode != 0, f"the kernel took {number} queues under native XDP: this case has to learn")
        fact("queue change under native XDP", "refused by the kernel", done.stderr.strip().split("\n")[-1])
        connections = kept.report()
        expect_equal(collections.Counter(c["error"] for c in connections), {None: 60}, "connections that broke")
        expect_equal(sum(c["moved"] for c in connections), 0, "answers from another backend than the first")
        expect_equal(len({c["backend"] for c in connections}), 4, "backends in use")
        workers = received_by_worker(running)
        expect(len(workers) == 4 and min(workers.values()) > 20, f"packets by worker: {workers}")
        running.expect_no_drops()
        sent = [q["transmitted"] for q in queues_of(running)]
        expect(min(sent) > 20, f"packets sent by queue: {sent}")


@case()
def two_nics_share_the_workers_memory(guest):
    """Each with its own fill rings, filled before the bind; eth2 leads nowhere, but its self-test is a frame that left."""
    run("ethtool", "-L", "eth2", "combined", "4", check=False)  # says 80 where it is so already
    guest.lab.lb.ns.ip("link set eth2 up")
    settings = daemon.config(guest.lab)
    settings["defaults"] = {"table_size": 1021}
    settings["interfaces"] = [{"name": "eth0"}, {"name": "eth2"}]
    with guest.daemon(settings=settings) as running:
        bind = "zerocopy" if guest.has_zerocopy else "copy"
        for index in (0, 1):
            queues = queues_of(running, index)
            expect_equal([(q["queue"], q["bind"], q["self_test"]) for q in queues], [(n, bind, "ok") for n in range(4)], "queues")
        frames = [w["frames"] for w in running.ask("worker", "list")["workers"]]
        expect_equal({f["lost"] for f in frames}, {0}, "lost frames")
        expect(all(f["receive"] >= 2 * 2048 - 64 for f in frames), f"two full fill rings a worker: {frames}")
        serve(guest, slack=1.0)


@case()
def refuses_to_start_where_zero_copy_is_demanded_and_is_not_there(guest):
    if guest.has_zerocopy:
        raise Skip("virtio-net of this kernel has zero-copy")
    with_force = guest.daemon(bind="zerocopy")
    try:
        with_force.start()
    except AssertionError as error:
        expect("cannot bind an AF_XDP socket to eth0 queue 0 (zero-copy): the driver has no zero-copy" in str(error), error)
    else:
        raise AssertionError("started although zero-copy was demanded")


@case()
def balances_in_copy_mode_by_the_ring(guest):
    if not guest.has_zerocopy:
        raise Skip("without zero-copy every other case does")
    with guest.daemon(bind="copy", transmit="ring") as running:
        expect_equal({(q["bind"], q["transmit"]) for q in queues_of(running)}, {("copy", "ring")}, "ports")
        serve(guest)
        running.expect_no_drops()


@case()
def injects_into_virtio_net(guest):
    with guest.daemon(bind="copy", transmit="inject") as running:
        interface = running.ask("interface", "list")["interfaces"][0]
        if interface["queues"][0]["transmit"] != "inject":
            fact("inject into virtio-net", "no", interface["transmit_why"])
            # Four queues and two CPUs: with fewer queues the driver adds some for XDP.
            expect("more queues than CPUs crashes the kernel" in interface["transmit_why"], interface["transmit_why"])
            serve(guest, 48, slack=1.0)
            raise Skip(interface["transmit_why"])
        expect_equal({q["bind"] for q in interface["queues"]}, {"copy"}, "bind")
        # Injection is for ten packets and more at a time: bursts of datagrams give those.
        reports = [peers.udp(guest.lab, family, 300, size=700, concurrency=100) for family in (4, 6)]
        for report in reports:
            expect(report["failed"] <= 3, f"lost datagrams: {report}")
        serve(guest)
        injected = sum(q["injected"] for q in queues_of(running))
        expect(injected > 0, f"nothing was injected: {queues_of(running)}")
        fact("inject into virtio-net", "yes", f"{injected} packets")


# Of each tunnel: name, mode, family outside, keys of "tunnel", and the devices that have to receive its packets.
TUNNELS = (
    ("ipip4", "ipip", 4, {}, ("tunl0", "sit0")), ("ipip6", "ipip", 6, {}, ("tnl6",)),
    ("gre4", "gre", 4, {}, ("gre0",)), ("gre6", "gre", 6, {}, ("ip6gre0",)),
    # GUE's header, or none, is taken off by fou; the IP packet behind it goes to the tunnel of its kind.
    ("gue4", "gue", 4, {}, ("tunl0", "sit0")), ("gue6", "gue", 6, {}, ("tnl6",)),
    ("gue4h", "gue", 4, {"gue_variant": 0}, ("tunl0", "sit0")), ("gue6h", "gue", 6, {"gue_variant": 0}, ("tnl6",)),
    ("vxlan4", "vxlan", 4, {"vni": VNI[4], "inner_mac": INNER_MAC}, ("vx4",)),
    ("vxlan6", "vxlan", 6, {"vni": VNI[6], "inner_mac": INNER_MAC}, ("vx6",)),
)
TRANSLATIONS = ("dnat", "nat")


def settings_of_modes(lab):
    """A service of every mode for either family, each on a port of its own: one daemon serves them all."""
    settings = daemon.config(lab)
    settings["defaults"] = {"table_size": 1021}
    settings["services"], ports = [], {}
    rows = [(name, mode, outer, tunnel) for name, mode, outer, tunnel, _ in TUNNELS] + [(m, m, None, None) for m in TRANSLATIONS]
    for number, (name, mode, outer, tunnel) in enumerate(rows):
        ports[name] = 8000 + number
        for family in (4, 6):
            service = daemon.service(f"{name}-{family}", family, ports[name], "tcp", lab.backends, mode, outer)
            settings["services"].append(service | ({"tunnel": tunnel} if tunnel else {}))
    return settings, ports


def ask_in_every_mode(guest, running, ports):
    """Bodies of several segments, up and down, by every service; returns what each mode's devices received."""
    seen = {}

    def asked(name, family):
        report = peers.Peer(guest.lab, guest.lab.client.ns, "http", VIP[family], ports[name], "--requests", 8, "--upload", 6001,
                            "--concurrency", 8).hear()
        expect_equal(report["errors"], {}, f"{name}, IPv{family} inside")

    for name, _, _, _, devices in TUNNELS:
        before = [received_by(b.ns) for b in guest.lab.backends]
        for family in (4, 6):
            asked(name, family)
        after = [received_by(b.ns) for b in guest.lab.backends]
        seen[name] = {d: sum(a[d] - b[d] for a, b in zip(after, before)) for d in devices}
        # Eight times 6,001 bytes are 40 segments and more, by either family; of acknowledgements and ends there are others.
        expect(all(n > 60 for n in seen[name].values()), f"{name}: the kernel's tunnels received {seen[name]}")
    for name in TRANSLATIONS:
        before = sum(w["nat"]["replies"] for w in running.ask("worker", "list")["workers"])
        for family in (4, 6):
            asked(name, family)
        replies = sum(w["nat"]["replies"] for w in running.ask("worker", "list")["workers"]) - before
        expect(replies > 60, f"{name}: {replies} replies were translated")
    return seen


@case()
def real_kernels_unpack_every_tunnel_and_answer_translated_packets(guest):
    guest.lab.settle(1600)
    settings, ports = settings_of_modes(guest.lab)
    servers = [peers.Peer(guest.lab, b.ns, "serve", b.role, *(arg for p in ports.values() for arg in ("--tcp", p)))
               for b in guest.lab.backends]
    try:
        with guest.daemon(settings=settings) as running:
            seen = ask_in_every_mode(guest, running, ports)
            running.expect_no_drops()
            fact("modes", "all", f"packets out of the kernel's tunnels: {seen}")
    finally:
        for server in servers:
            server.end()
        guest.lab.settle(1500)


@case(rss=True)
def replies_of_nat_come_home_to_the_queue_that_rss_foretold(guest):
    """Ports are chosen by the driver's key and table, and the device hashes by the same: each reply reaches its own worker."""
    if not guest.since(6, 12):
        # Its command for the number of queues takes the device's RSS away, and leaves the driver's table as it was.
        fact("NAT ports by RSS", "no", "the driver gives RSS up when the number of queues is set")
        raise Skip("the driver of this kernel gives RSS up when the number of queues is set")
    with guest.daemon(mode="nat") as running:
        def told():
            return running.ask("interface", "list")["interfaces"][0]["nat_ports"]

        wait_until(lambda: told()["summary"] == "by RSS", lambda: f"RSS to be read: {told()}")
        serve(guest)
        ports = told()
        workers = running.ask("worker", "list")["workers"]
        home, away = (sum(ports[key].values()) for key in ("home", "away"))
        fact("NAT ports by RSS", "yes", f"{home} of {home + away} first replies came where it foretold")
        expect(min(w["nat"]["created"] for w in workers) > 0, f"every worker had connections: {[w['nat'] for w in workers]}")
        expect_equal((home, away), (2 * REQUESTS, 0), f"first replies, at the queue foretold and at others: {ports}")
        expect_equal([w["nat"]["replies"] - w["nat"]["replies_home"] for w in workers], [0] * len(workers), "later ones, at others")
        # It is the table and not the tap's memory of who sent: with one queue in it the others get nothing.
        run("ethtool", "-X", "eth0", "equal", "1")
        before = received_by_worker(running)
        serve(guest, families=(4,))
        after = received_by_worker(running)
        expect({n for n in after if after[n] > before[n]} == {0}, f"packets by worker: {before}, with queue 0 alone {after}")


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
            for family in (4, 6):
                done = peers.http(guest.lab, family, 8, upload=50_001, concurrency=4)
                expect_equal(done["errors"], {}, f"uploads, IPv{family}")
                for size in (3840, 8871):
                    report = peers.udp(guest.lab, family, 8, size=size, concurrency=4)
                    expect_equal(report["failed"], 0, f"datagrams of {size}: {report}")
            running.expect_no_drops()
            queues = queues_of(running)
            forwarded = running.packets()["forwarded"]
            sent = sum(q["transmitted"] for q in queues)
            expect(sent > forwarded, f"{sent} frames for {forwarded} packets: none was in several")
            fact("multi-buffer", "yes", f"bind {queues[0]['bind']}, {sent} frames for {forwarded} packets")
    finally:
        guest.lab.settle(1500)
