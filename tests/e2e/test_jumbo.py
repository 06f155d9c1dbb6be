# SPDX-License-Identifier: BSD-2-Clause
"""Packets longer than a frame: MTU 9000, received and sent in several frames."""
import functools

import peers
from cases import add, case, expect, expect_equal, expect_served
from lab import VIP, wait_until

JUMBO = {"mtu": 9100, "client_mtu": 9000}


def balances(env, mode, queues=1, **options):
    with env.lab(tunnel=mode == "ipip", queues=queues, **JUMBO) as lab:
        peers.serve(lab)
        with env.daemon(lab, mode=mode, **options) as daemon:
            for family in (4, 6):
                expect_served(peers.http(lab, family, 200), lab.backends, f"HTTP over IPv{family}")
                expect_equal(peers.http(lab, family, 24, upload=1_000_001)["errors"], {}, f"uploads, IPv{family}")
                # An odd length, and lengths about the ends of the first and the second frame. A UDP socket's default buffer
                # holds some ten of the longest.
                for size in (3700, 3840, 7680, 8871):
                    expect_served(peers.udp(lab, family, 100, size=size, concurrency=4), lab.backends,
                                  f"UDP of {size}, IPv{family}", 0.2)
            daemon.expect_no_drops()
            packets = daemon.packets()
            expect(packets["received_bytes"] > 48_000_000, f"the uploads went another way: {packets}")
            expect(packets["checksums_completed"] > 0, "no partial checksum was met: this would prove nothing about them")
            expect_equal(packets["transmit_errors"], 0, "transmit errors")


for _mode, _queues in (("dsr-l2", 1), ("ipip", 2)):
    add(f"forwards_packets_of_mtu_9000_{_mode.replace('-', '_')}_on_{_queues}_queues",
        functools.partial(balances, mode=_mode, queues=_queues))


@case()
def answers_long_pings_and_drops_nothing_of_them(env):
    with env.lab(**JUMBO) as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            for size in (3793, 3800, 8001, 8900):
                done = lab.client.ns.run("ping", "-n", "-q", "-M", "do", "-s", str(size), "-c", "5", "-i", "0.05", "-W", "1",
                                         VIP[4], check=False)
                expect(" 5 received" in done.stdout, f"ping of {size} bytes: {done.stdout}")
            expect(daemon.packets()["replied"] >= 20, daemon.packets())
            daemon.expect_no_drops()


@case()
def says_that_an_mtu_raised_later_needs_a_restart(env):
    with env.lab(mtu=1500) as lab:
        with env.daemon(lab) as daemon:
            lab.lb.ns.ip("link set eth0 mtu 9000")
            problem = "received packets longer than 3840 bytes are lost until a restart, the MTU is 9000 now"
            wait_until(lambda: any(problem in p for p in daemon.problems()), lambda: f"the problem: {daemon.problems()}", 5)
            expect(problem in daemon.said(), f"no warning:\n{daemon.said()}")
            lab.lb.ns.ip("link set eth0 mtu 1500")
            wait_until(lambda: not any(problem in p for p in daemon.problems()), "the problem to be over", 5)
