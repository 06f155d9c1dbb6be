# SPDX-License-Identifier: BSD-2-Clause
"""What a kernel does without a NIC: the laboratory of tests/e2e as it is, in the guest."""
import netns
import peers
from cases import expect, expect_equal, expect_served
from daemon import config
from lab import VIP, Lab, wait_until
from netns import Namespace
from vm_cases import case, fact, queues_of
from vm_daemon import VmDaemon
from vm_process import GuestNamespace


class VethLab(Lab):
    """Beside the other one, and out of its way."""

    def __init__(self):
        super().__init__(queues=2, backends=2)
        self.prefix += "v"

    @staticmethod
    def namespace(name, survive=False):
        """The daemon looks its interfaces up in /sys, which has to be that of its namespace."""
        return (Namespace if name.endswith("-lb") else GuestNamespace)(name, survive)

    def make_bond(self):
        """From now on the balancer has two ways to the bridge, and its address is that of a bond of them."""
        rings = "numtxqueues 2 numrxqueues 2"
        self.router.ip(f"link add p_lb2 mtu {self.mtu} {rings} type veth peer name eth1 mtu {self.mtu} {rings} netns {self.lb.ns.name}",
                       "link set p_lb2 up", "link set p_lb2 master br0")
        self.lb.ns.ip("addr flush dev eth0", "link set eth0 down",
                      f"link add bond0 address {self.lb.mac} type bond mode active-backup miimon 100",
                      "link set eth0 master bond0", "link set eth1 master bond0", "link set bond0 up",
                      f"addr add {self.lb.address[4]}/24 dev bond0", f"addr add {self.lb.address[6]}/64 dev bond0 nodad")
        for family in (4, 6):
            wait_until(lambda f=family: self.pings(self.lb.address[f]), "the bond to answer the client's ping", 10)


def veth_lab(guest):
    """Made by the first case that asks: it costs more than what the cases do in it."""
    if guest.veth is None:
        guest.veth = guest.stack.enter_context(VethLab())
        peers.serve(guest.veth)
    return guest.veth


@case(quick=True)
def injects_into_veth(guest):
    lab = veth_lab(guest)
    lab.router.run("ethtool", "-K", "p_lb", "gro", "on")  # else a veth takes no redirected frames
    settings = config(lab)
    settings["defaults"] = {"table_size": 1021}
    settings["interfaces"][0]["transmit"] = "inject"
    with VmDaemon(lab, guest.programs, settings) as running:
        expect_equal([q["transmit"] for q in queues_of(running)], ["inject"] * 2, f"the engine obtained: {running.said()}")
        for family in (4, 6):
            # Injection is for ten packets and more at a time: bursts of datagrams give those. Each counts as a page in a server's
            # receive buffer, which holds 44 of them: no burst may have more than that for one of the two.
            expect_served(peers.udp(lab, family, 200, size=700, concurrency=40), lab.backends, f"UDP over IPv{family}", 0.3)
            expect_equal(peers.http(lab, family, 4, upload=100_000, concurrency=4)["errors"], {}, f"uploads, IPv{family}")
        running.expect_no_drops()
        injected = sum(q["injected"] for q in queues_of(running))
        expect(injected > 0, f"nothing was injected: {queues_of(running)}")
        fact("inject", "yes", f"{injected} packets on veth")


@case()
def balances_through_a_bond_by_the_member_that_it_uses(guest):
    lab = veth_lab(guest)
    lab.make_bond()  # for good: no case behind this one has the laboratory as it was
    settings = config(lab)
    settings["defaults"] = {"table_size": 1021}
    settings["interfaces"] = [{"name": "eth0"}, {"name": "eth1"}]
    with VmDaemon(lab, guest.programs, settings) as running:
        def sent():
            return [sum(q["transmitted"] for q in queues_of(running, i)) for i in (0, 1)]

        def serve():
            for family in (4, 6):
                expect_served(peers.http(lab, family, 16, concurrency=16), lab.backends, f"HTTP over IPv{family}", 1.0)

        expect_equal(running.problems(), [], "problems")
        kept = peers.keep(lab, VIP[4], connections=8, interval_ms=1000)
        before = sent()
        serve()
        after = sent()
        expect(after[0] > before[0] and after[1] == before[1], f"frames sent by the members: {before}, then {after}")
        lab.router.ip("link set p_lb down")
        wait_until(lambda: "interface eth0: no carrier" in running.problems(), lambda: f"the alarm: {running.problems()}", 10)
        wait_until(lambda: peers.http(lab, 4, 4)["failed"] == 0, "the VIP to answer by the other member", 20)
        before = sent()
        serve()
        after = sent()
        expect(after[1] > before[1] and after[0] == before[0], f"frames sent by the members: {before}, then {after}")
        lab.router.ip("link set p_lb up")
        wait_until(lambda: running.problems() == [], lambda: f"no problem: {running.problems()}", 10)
        connections = kept.report()
        expect_equal([c["error"] for c in connections if c["error"]], [], "connections that broke")
        expect_equal(sum(c["moved"] for c in connections), 0, "answers from another backend than the first")
        fact("bond", "yes", "active-backup of two veths, the active member lost and back")


# In a machine just made nothing is left of others, and this laboratory is not to take the other for it.
netns.remove_leftovers = lambda: []
