# SPDX-License-Identifier: BSD-2-Clause
"""What a kernel does without a NIC: the laboratory of tests/e2e as it is, in the guest."""
import netns
import peers
from cases import expect, expect_equal, expect_served
from daemon import config
from lab import Lab
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


@case(quick=True)
def injects_into_veth(guest):
    with VethLab() as lab:
        lab.router.run("ethtool", "-K", "p_lb", "gro", "on")  # else a veth takes no redirected frames
        peers.serve(lab)
        settings = config(lab)
        settings["defaults"] = {"table_size": 1021}
        settings["interfaces"][0]["transmit"] = "inject"
        with VmDaemon(lab, guest.programs, settings) as running:
            expect_equal([q["transmit"] for q in queues_of(running)], ["inject"] * 2, f"the engine obtained: {running.said()}")
            for family in (4, 6):
                # Injection is for ten packets and more at a time: bursts of datagrams give those.
                expect_served(peers.udp(lab, family, 200, size=700, concurrency=100), lab.backends, f"UDP over IPv{family}", 0.3)
                expect_equal(peers.http(lab, family, 4, upload=100_000, concurrency=4)["errors"], {}, f"uploads, IPv{family}")
            running.expect_no_drops()
            injected = sum(q["injected"] for q in queues_of(running))
            expect(injected > 0, f"nothing was injected: {queues_of(running)}")
            fact("inject", "yes", f"{injected} packets on veth")


# In a machine just made nothing is left of others, and this laboratory is not to take the other for it.
netns.remove_leftovers = lambda: []
