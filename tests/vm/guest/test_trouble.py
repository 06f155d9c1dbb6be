# SPDX-License-Identifier: BSD-2-Clause
"""What happens to a NIC while Xebec runs: its queues change, its link goes, its driver goes; and IPVS beside it."""
import os

import peers
from cases import expect, expect_equal
from lab import VIP, run, wait_until
from test_traffic import serve
from vm_cases import Skip, case, fact

IPVS_VIP = "203.0.113.20"


@case()
def refuses_queues_that_the_driver_adds_for_xdp_and_says_how_to_do_without(guest):
    """Of four queues two are in use: virtio-net makes the others, one a CPU, when XDP is attached, and receives on all four."""
    guest.lab.settle(1500, queues=2)
    refused = guest.daemon()
    try:
        refused.start()
        refused.process.end()
        raise Skip("the driver of this kernel adds no queue")
    except AssertionError as error:
        said = str(error)
    finally:
        guest.lab.settle(1500)
    expect("xebecd ended with 6" in said, said)
    expect("eth0: 4 receive queues with XDP, 2 without: nothing can be sent on those that the driver adds" in said, said)
    expect("ethtool -L eth0 combined" in said, said)
    expect(not refused.attached(), f"left on the interface: {refused.attached()}")
    with guest.daemon():
        serve(guest)


@case()
def balances_with_generic_xdp_and_says_so_when_queues_come_that_it_does_not_serve(guest):
    guest.lab.settle(1500, queues=2)
    try:
        with guest.daemon(xdp="generic") as running:
            expect_equal(running.ask("interface", "list")["interfaces"][0]["xdp"], "generic", "how the shim is attached")
            serve(guest)
            done = run("ethtool", "-L", "eth0", "combined", "4", check=False)
            if done.returncode != 0:
                fact("queue change under generic XDP", "refused by the kernel", done.stderr.strip().split("\n")[-1])
                raise Skip("the kernel refuses to change the queues")
            problem = "interface eth0: it has 4 receive queues now, 2 are served"
            wait_until(lambda: any(problem in p for p in running.problems()), lambda: f"the problem: {running.problems()}", 10)
            run("ethtool", "-L", "eth0", "combined", "2")
            wait_until(lambda: not running.problems(), lambda: f"the problem to be over: {running.problems()}", 10)
            fact("queue change under generic XDP", "alarm in status")
    finally:
        guest.lab.settle(1500)


@case()
def serves_again_after_the_link_was_down(guest):
    with guest.daemon() as running:
        kept = peers.keep(guest.lab, VIP[4], connections=20, interval_ms=200)
        guest.lab.lb.ns.ip("link set eth0 down")
        wait_until(running.problems, "status to say that the interface is down", 10)
        guest.lab.lb.ns.ip("link set eth0 up", "addr replace fd77::10/64 dev eth0 nodad")  # IPv6 addresses go with the link
        wait_until(lambda: not running.problems(), lambda: f"all to be well again: {running.problems()}", 20)
        connections = kept.report()
        expect_equal([c["error"] for c in connections if c["error"]], [], "connections that broke")
        expect_equal(sum(c["moved"] for c in connections), 0, "answers from another backend")
        serve(guest)
        queues = running.ask("interface", "list")["interfaces"][0]["queues"]
        expect_equal({q["bind"] for q in queues}, {"zerocopy" if guest.has_zerocopy else "copy"}, "bind after the link came back")


@case()
def outlives_the_driver_and_serves_the_interface_that_comes_back(guest):
    device = os.path.basename(os.path.realpath("/sys/class/net/eth0/device"))
    driver = "/sys/bus/virtio/drivers/virtio_net"

    def write(what):
        with open(f"{driver}/{what}", "w", encoding="ascii") as f:
            f.write(device)

    running = guest.daemon()
    running.start()
    try:
        serve(guest)
        write("unbind")
        wait_until(lambda: any("eth0" in p and "gone" in p for p in running.problems()), lambda: f"status: {running.problems()}", 10)
        write("bind")
        wait_until(lambda: os.path.exists("/sys/class/net/eth0"), "the interface to be there again")
        expect(running.process.process.poll() is None, f"the daemon ended:\n{running.said()}")
        # The driver begins with a queue a CPU, and would make the others for XDP.
        wait_until(lambda: any("not served: it has 2 receive queues, 4 were served" in p for p in running.problems()),
                   lambda: f"status: {running.problems()}", 10)
        guest.lab.settle(1500)
        wait_until(lambda: not running.problems(), lambda: f"all to be well again: {running.problems()}", 20)
        interface = running.ask("interface", "list")["interfaces"][0]
        expect_equal(interface["attached_again"], 1, "times attached again")
        expect_equal({q["bind"] for q in interface["queues"]}, {"zerocopy" if guest.has_zerocopy else "copy"}, "bind")
        serve(guest)
    finally:
        status = running.process.end()
        if not os.path.exists("/sys/class/net/eth0"):
            write("bind")
        guest.lab.settle(1500)
    expect_equal(status, 0, f"exit code\n{running.said()}")
    with guest.daemon():
        serve(guest)


@case()
def ipvs_beside_it_balances_its_own_services_and_behaves_alike(guest):
    lab = guest.lab
    lab.lb.ns.ip(f"addr add {IPVS_VIP}/32 dev lo")
    for backend in lab.backends:
        backend.ns.ip(f"addr add {IPVS_VIP}/32 dev lo")
    lab.client.ns.ip(f"route replace {IPVS_VIP}/32 via {lab.lb.address[4]}")
    run("ipvsadm", "-A", "-t", f"{IPVS_VIP}:80", "-s", "rr")
    for backend in lab.backends:
        run("ipvsadm", "-a", "-t", f"{IPVS_VIP}:80", "-r", backend.address[4], "-g")
    try:
        with guest.daemon() as running:
            theirs = peers.keep(lab, IPVS_VIP, connections=40, interval_ms=500)
            ours = peers.keep(lab, VIP[4], connections=40, interval_ms=500)
            gone = lab.backends[0]
            run("ipvsadm", "-e", "-t", f"{IPVS_VIP}:80", "-r", gone.address[4], "-g", "-w", "0")
            running.ask("backend", "set", "web4", gone.address[4], "weight=0")
            for name, kept in (("ipvs", theirs), ("xebec", ours)):
                rows = kept.report()
                expect_equal([r["error"] for r in rows if r["error"]], [], f"{name}: connections that broke at weight 0")
                expect_equal(sum(r["moved"] for r in rows), 0, f"{name}: answers from another backend")
                expect(gone.role in {r["backend"] for r in rows}, f"{name}: {gone.role} had no connection: this proves nothing")
            for name, vip in (("ipvs", IPVS_VIP), ("xebec", VIP[4])):
                report = peers.Peer(lab, lab.client.ns, "http", vip, 80, "--requests", 40, "--concurrency", 8).hear()
                expect_equal(report["failed"], 0, f"{name}: new requests")
                expect_equal(sorted(report["share"]), ["b2", "b3", "b4"], f"{name}: backends of new connections")
    finally:
        run("ipvsadm", "-C")
        lab.lb.ns.ip(f"addr del {IPVS_VIP}/32 dev lo")
        for backend in lab.backends:
            backend.ns.ip(f"addr del {IPVS_VIP}/32 dev lo")
        lab.client.ns.ip(f"route del {IPVS_VIP}/32")
