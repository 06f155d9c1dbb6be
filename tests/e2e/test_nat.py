# SPDX-License-Identifier: BSD-2-Clause
"""Modes dnat and nat: both directions pass the balancer."""
import functools

import peers
from cases import add, expect, expect_equal, expect_served
from daemon import config as daemon_config


def send_replies_through_the_balancer(lab):
    """What makes the balancer the backends' gateway to the client: for dnat, whose replies go to his address."""
    for backend in lab.backends:
        backend.ns.ip(*(f"route replace {lab.client.address[f]}/{'32' if f == 4 else '128'} via {lab.lb.address[f]}"
                        for f in (4, 6)))


def translates(env, mode, queues):
    with env.lab(queues=queues) as lab:
        peers.serve(lab, own=True)
        if mode == "dnat":
            send_replies_through_the_balancer(lab)
        with env.daemon(lab, mode=mode) as daemon:
            for family in (4, 6):
                expect_served(peers.http(lab, family, 400), lab.backends, f"HTTP over IPv{family}")
                expect_served(peers.udp(lab, family, 400), lab.backends, f"UDP over IPv{family}")
                expect_equal(peers.http(lab, family, 16, upload=300_000)["errors"], {}, f"uploads, IPv{family}")
                expect_served(peers.udp(lab, family, 100, size=4000), lab.backends, f"fragments, IPv{family}", slack=0.3)
            daemon.expect_no_drops()
            workers = daemon.ask("worker", "list")["workers"]
            expect(sum(w["nat"]["created"] for w in workers) >= 2 * 900, "every connection has a mapping")
            expect(all(w["nat"]["refused"] == 0 for w in workers), "no connection was refused")


def translates_between_two_interfaces(env, mode):
    """Clients on one side, backends on the other, which know no other way than the balancer."""
    with env.lab(queues=2, two_sided=True) as lab:
        peers.serve(lab, own=True)
        settings = daemon_config(lab, mode=mode)
        settings["interfaces"] = [{"name": "eth0"}, {"name": "eth1"}]
        with env.daemon(lab, settings) as daemon:
            for family in (4, 6):
                expect_served(peers.http(lab, family, 400), lab.backends, f"HTTP over IPv{family}")
                expect_served(peers.udp(lab, family, 200), lab.backends, f"UDP over IPv{family}", slack=0.2)
                expect_equal(peers.http(lab, family, 16, upload=300_000)["errors"], {}, f"uploads, IPv{family}")
            daemon.expect_no_drops()


for _mode in ("dnat", "nat"):
    add(f"translates_{_mode}_between_two_interfaces", functools.partial(translates_between_two_interfaces, mode=_mode))
    for _queues in (1, 2):
        add(f"translates_{_mode}_on_{_queues}_queues", functools.partial(translates, mode=_mode, queues=_queues))
