# SPDX-License-Identifier: BSD-2-Clause
"""Queues that come, go and stand still; interfaces that are down; what the start says of the hardware."""
import os
import sys
import time

import peers
from cases import case, expect, expect_equal, expect_served
from daemon import config
from lab import VIP, wait_until


def queues_of(daemon):
    return daemon.ask("interface", "list")["interfaces"][0]["queues"]


def cpu_s(daemon):
    """What the daemon has used of the CPUs."""
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@case()
def every_queue_passes_its_self_test(env):
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            expect_equal([q["self_test"] for q in queues_of(daemon)], ["ok", "ok"], "self-tests")
            expect("self-test: 2 queues sent a frame each" in daemon.said(), daemon.said())
            hardware = daemon.ask("interface", "list")["interfaces"][0]["hardware"]
            expect_equal(hardware["channels"]["rx"], 2, "receive channels")
            expect_equal(hardware["receive_queues"], 2, "receive queues")
            expect_served(peers.http(lab, 4, 200), lab.backends, "HTTP")


@case()
def queue_that_nobody_serves_is_an_alarm_until_it_is_gone(env):
    with env.lab(queues=2) as lab:
        lab.lb.ns.run("ethtool", "-L", "eth0", "rx", "1")
        lab.lb.ns.run("ethtool", "-L", "eth0", "tx", "1")
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            expect_equal(daemon.problems(), [], "problems at first")
            lab.lb.ns.run("ethtool", "-L", "eth0", "rx", "2")
            wait_until(lambda: any("2 receive queues now, 1 are served" in p for p in daemon.problems()),
                       lambda: f"the alarm: {daemon.problems()}", 2)
            expect("2 receive queues now" in daemon.said(), daemon.said())
            lab.lb.ns.run("ethtool", "-L", "eth0", "rx", "1")
            wait_until(lambda: daemon.problems() == [], lambda: f"the end of the alarm: {daemon.problems()}", 2)
            expect_served(peers.http(lab, 4, 200), lab.backends, "HTTP afterwards")


@case()
def kernel_keeps_the_queues_that_have_a_socket(env):
    """What the alarm of a vanished queue is not needed for: ethtool cannot take it away, in copy mode neither."""
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            for what in ("rx", "tx"):
                done = lab.lb.ns.run("ethtool", "-L", "eth0", what, "1", check=False)
                expect(done.returncode != 0 and "AF_XDP" in done.stderr, f"ethtool -L eth0 {what} 1: {done.stderr}")
            expect_equal(daemon.problems(), [], "problems")
            expect_served(peers.http(lab, 4, 200), lab.backends, "HTTP afterwards")


@case()
def interface_that_is_down_at_start_is_served_once_it_is_up(env):
    with env.lab() as lab:
        peers.serve(lab)
        lab.lb.ns.ip("link set eth0 down")
        daemon = env.daemon(lab)
        daemon.launch()
        expect(any("down" in p for p in daemon.problems()), daemon.problems())
        expect_equal([q["self_test"] for q in queues_of(daemon)], ["skipped"], "self-test")
        expect("the link is down; it is served as soon as it is up" in daemon.said(), daemon.said())
        lab.lb.ns.ip("link set eth0 up", "addr replace fd77::10/64 dev eth0 nodad")
        wait_until(lambda: daemon.problems() == [], lambda: f"no problem: {daemon.problems()}", 20)
        wait_until(lambda: peers.http(lab, 4, 10)["failed"] == 0, "the VIP to answer", 20)
        expect_served(peers.http(lab, 4, 200), lab.backends, "HTTP")
        daemon.expect_conservation()
        daemon.stop()


@case()
def interface_made_anew_is_attached_to_again(env):
    """Deleted and made again under its name, with another address: served without a restart, and said so."""
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            expect_served(peers.http(lab, 4, 200), lab.backends, "HTTP before")
            before = daemon.ask("interface", "list")["interfaces"][0]
            expect_equal(before["attached_again"], 0, "times attached again at first")
            lab.router.ip("link del p_lb")
            wait_until(lambda: "interface eth0: gone" in daemon.problems(), lambda: f"the alarm: {daemon.problems()}", 2)
            began = cpu_s(daemon)
            time.sleep(1)  # the span that is measured, not a wait for something
            expect(cpu_s(daemon) - began < 0.2, f"{cpu_s(daemon) - began:.2f} s of CPU in a second without its interface")
            lab.lb.mac = "02:00:00:00:77:99"
            lab.lb.plug(lab.router, 2, lab.mtu)
            lab.router.ip("link set p_lb master br0")
            lab.send_vips_to(lab.lb)
            lab.client.ns.ip("neigh flush dev eth0")  # the client knows the old address
            wait_until(lambda: daemon.problems() == [], lambda: f"no problem: {daemon.problems()}\n{daemon.said()}", 10)
            after = daemon.ask("interface", "list")["interfaces"][0]
            expect_equal(after["attached_again"], 1, "times attached again")
            expect(after["ifindex"] != before["ifindex"], f"the same index: {after['ifindex']}")
            expect_equal((after["xdp"], after["mac"]), ("native", lab.lb.mac), "shim and address")
            expect_equal([q["queue"] for q in after["queues"]], [0, 1], "queues that are served")
            expect("interface eth0: made anew" in daemon.said(), daemon.said())
            events = daemon.http("GET", "/v1/events?type=link")[1]["events"]
            expect(any(e["text"] == "eth0: made anew, attached again" for e in events), events)
            wait_until(lambda: peers.http(lab, 4, 10)["failed"] == 0, "the VIP to answer", 20)
            for family in (4, 6):
                expect_served(peers.http(lab, family, 200), lab.backends, f"HTTP over IPv{family} afterwards")


@case()
def either_of_two_interfaces_is_made_anew_while_the_other_stays(env):
    """The clients' interface while the backends' stays, then the reverse: one memory per worker has sockets on both."""
    with env.lab(two_sided=True) as lab:
        peers.serve(lab, own=True)
        settings = config(lab, mode="nat")
        settings["interfaces"] = [{"name": "eth0"}, {"name": "eth1"}]
        with env.daemon(lab, settings) as daemon:
            def again():
                return [i["attached_again"] for i in daemon.ask("interface", "list")["interfaces"]]

            kept = peers.keep(lab, VIP[4], connections=20)
            for family in (4, 6):
                expect_served(peers.http(lab, family, 100), lab.backends, f"HTTP over IPv{family} before", slack=0.3)
            for name, end, counts in (("eth0", "p_lb", [1, 0]), ("eth1", "p_back", [1, 1])):
                lab.router.ip(f"link del {end}")
                wait_until(lambda n=name: f"interface {n}: gone" in daemon.problems(),
                           lambda: f"the alarm: {daemon.problems()}", 2)
                if name == "eth0":
                    lab.lb.plug(lab.router, 1, lab.mtu)
                    lab.router.ip("link set p_lb master br0")
                else:
                    lab.lb.plug_back(lab.router, 1, lab.mtu)
                wait_until(lambda: daemon.problems() == [], lambda: f"no problem: {daemon.problems()}\n{daemon.said()}", 10)
                expect_equal(again(), counts, f"times attached again once {name} is back")
                wait_until(lambda: peers.http(lab, 4, 10)["failed"] == 0, f"the VIP to answer once {name} is back", 20)
                for family in (4, 6):
                    expect_served(peers.http(lab, family, 100), lab.backends, f"HTTP over IPv{family} after {name}", slack=0.3)
                if name == "eth0":  # what comes by eth1 before the shim is on it is to this host's address: its kernel resets that
                    connections = kept.report()
                    expect_equal([c["error"] for c in connections], [None] * 20, "connections that broke")
                    expect_equal(sum(c["moved"] for c in connections), 0, "answers from another backend than the first")


@case()
def renamed_interface_is_served_on_though_the_other_is_made_anew(env):
    """It has lost its name only; binding a worker's sockets anew, for the other's sake, must not lose it."""
    def rename(lab, old, new):
        lab.lb.ns.ip(f"link set {old} down", f"link set {old} name {new}", f"link set {new} up",
                     f"addr replace fd77::10/64 dev {new} nodad")

    with env.lab(two_sided=True) as lab:
        peers.serve(lab, own=True)
        settings = config(lab, mode="nat")
        settings["interfaces"] = [{"name": "eth0"}, {"name": "eth1"}]
        with env.daemon(lab, settings) as daemon:
            def served(when):
                wait_until(lambda: peers.http(lab, 4, 10)["failed"] == 0, f"the VIP to answer {when}", 20)
                for family in (4, 6):
                    expect_served(peers.http(lab, family, 100), lab.backends, f"HTTP over IPv{family} {when}", slack=0.3)

            served("before")
            rename(lab, "eth0", "lan0")
            wait_until(lambda: len(daemon.problems()) == 1 and "interface eth0: named lan0 now" in daemon.problems()[0],
                       lambda: f"the problem: {daemon.problems()}", 3)
            served("by another name")
            lab.router.ip("link del p_back")
            wait_until(lambda: "interface eth1: gone" in daemon.problems(), lambda: f"the alarm: {daemon.problems()}", 3)
            lab.lb.plug_back(lab.router, 1, lab.mtu)
            wait_until(lambda: [i["attached_again"] for i in daemon.ask("interface", "list")["interfaces"]] == [0, 1],
                       "eth1 to be attached again", 10)
            expect_equal([len(i["queues"]) for i in daemon.ask("interface", "list")["interfaces"]], [1, 1], "sockets")
            served("with new sockets")
            events = daemon.http("GET", "/v1/events?type=link")[1]["events"]
            expect(any("named lan0, " in e["text"] for e in events), events)
            rename(lab, "lan0", "eth0")
            wait_until(lambda: daemon.problems() == [], lambda: f"no problem: {daemon.problems()}\n{daemon.said()}", 10)
            served("by its own name again")


@case()
def packet_that_was_steered_is_received_though_its_socket_is_bound_anew(env):
    """The kernel hands a batch over at its end: what is in it when the socket leaves the map is still the worker's."""
    sender = f"""
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("{VIP[4]}", {peers.UDP_PORT}))
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        s.send(b"x" * 64)
    except OSError:  # no buffers, or a port unreachable
        pass
"""
    with env.lab(two_sided=True) as lab:
        peers.serve(lab, own=True)
        settings = config(lab, mode="nat")
        settings["interfaces"] = [{"name": "eth0"}, {"name": "eth1"}]
        with env.daemon(lab, settings) as daemon:
            flood = peers.Process(lab, lab.client.ns, sys.executable, "-c", sender, name="flood")
            try:
                for times in range(1, 6):
                    before = daemon.packets()["received"]
                    lab.router.ip("link del p_back")
                    lab.lb.plug_back(lab.router, 1, lab.mtu)
                    wait_until(lambda t=times: daemon.ask("interface", "list")["interfaces"][1]["attached_again"] == t,
                               "eth1 to be attached again", 10)
                    wait_until(lambda b=before: daemon.packets()["received"] > b + 1000, "packets", 10)
            finally:
                flood.end()

            def missing():
                interfaces = daemon.ask("interface", "list")["interfaces"]
                lost = sum(q["rx_dropped"] + q["rx_ring_full"] for i in interfaces for q in i["queues"])
                return sum(i["shim"]["steered"] for i in interfaces) - daemon.packets()["received"] - lost

            wait_until(lambda: missing() == 0, lambda: f"every packet to be received or counted as lost: {missing()}", 5)


@case()
def interface_that_comes_back_with_fewer_queues_waits_for_them(env):
    with env.lab(queues=2) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            lab.router.ip("link del p_lb")
            wait_until(lambda: "interface eth0: gone" in daemon.problems(), lambda: f"the alarm: {daemon.problems()}", 2)
            lab.lb.plug(lab.router, 1, lab.mtu)
            lab.router.ip("link set p_lb master br0")
            wait_until(lambda: any("not served: it has 1 receive queues, 2 were served" in p for p in daemon.problems()),
                       lambda: f"the reason: {daemon.problems()}", 3)
            lab.router.ip("link del p_lb")
            lab.lb.plug(lab.router, 2, lab.mtu)
            lab.router.ip("link set p_lb master br0")
            lab.send_vips_to(lab.lb)
            wait_until(lambda: daemon.problems() == [], lambda: f"no problem: {daemon.problems()}\n{daemon.said()}", 10)
            wait_until(lambda: peers.http(lab, 4, 10)["failed"] == 0, "the VIP to answer", 20)


@case()
def bridge_is_refused_with_the_ports_to_name(env):
    with env.lab() as lab:
        lab.lb.ns.ip("link add br9 type bridge", "link set eth0 master br9")
        settings = config(lab)
        settings["interfaces"][0]["name"] = "br9"
        daemon = env.daemon(lab, settings)
        done = lab.lb.ns.run(*daemon.command(), check=False, timeout=15)
        expect_equal(done.returncode, 6, f"exit code ({done.stderr})")
        expect("br9: it is a bridge" in done.stderr and "eth0" in done.stderr, done.stderr)
