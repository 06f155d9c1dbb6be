# SPDX-License-Identifier: BSD-2-Clause
"""Services that are more than a port at an address: prefixes, ranges, protocols, and whom they let in."""
import itertools

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Raw

import frames
from cases import case, expect, expect_equal
from daemon import config
from lab import wait_until

NET4, NET6 = "198.51.100", "2001:db8:51::"
_marks = itertools.count(1)


def settings(lab, *services):
    """The lab's own services and these; backends by number."""
    whole = config(lab)
    for name, vip, port, protocol, backends, more in services:
        family = 6 if ":" in vip else 4
        whole["services"].append({"name": name, "vip": vip, "port": port, "protocol": protocol,
                                  "backends": [{"address": lab.backends[b].address[family]} for b in backends], **more})
    return whole


def marked(lab, destination, l4, source=None):
    """(frame to the balancer, what no other frame has)"""
    mark = b"service%08d" % next(_marks)
    ip = IPv6(src=source or lab.client.address[6], dst=destination) if ":" in destination \
        else IP(src=source or lab.client.address[4], dst=destination)
    if isinstance(l4, int):  # a protocol that nothing is known of
        if ":" in destination:
            ip.nh = l4
        else:
            ip.proto = l4
        return bytes(Ether(src=lab.client.mac, dst=lab.lb.mac) / ip / Raw(mark.ljust(24, b"."))), mark
    return bytes(Ether(src=lab.client.mac, dst=lab.lb.mac) / ip / l4 / Raw(mark.ljust(24, b"."))), mark


def shim(daemon):
    return daemon.ask("interface", "list")["interfaces"][0]["shim"]


@case()
def prefixes_ranges_and_protocols_have_their_own_backends(env):
    with env.lab() as lab:
        wanted = settings(
            lab,
            ("range", f"{NET4}.0/24", "8000-8099", "tcp", [0], {}),
            ("inner", f"{NET4}.0/24", "8020-8029", "tcp", [1], {}),
            ("host", f"{NET4}.10", "any", "any", [2], {}),
            ("sctp6", f"{NET6}/64", 3868, "sctp", [3], {}),
        )
        with env.daemon(lab, wanted) as daemon:
            sniffers = [frames.Sniffer(b) for b in lab.backends]
            syn = {"sport": 40000, "flags": "S"}
            rows = [(f"{NET4}.1", TCP(dport=8000, **syn), 0), (f"{NET4}.254", TCP(dport=8099, **syn), 0),
                    (f"{NET4}.1", TCP(dport=8020, **syn), 1), (f"{NET4}.1", TCP(dport=8029, **syn), 1),
                    (f"{NET4}.1", TCP(dport=8019, **syn), 0), (f"{NET4}.1", TCP(dport=8030, **syn), 0),
                    (f"{NET4}.10", TCP(dport=8000, **syn), 2), (f"{NET4}.10", UDP(sport=5, dport=9), 2),
                    (f"{NET4}.10", 47, 2), (f"{NET4}.10", SCTP(sport=7, dport=8) / SCTPChunkInit(), 2),
                    (f"{NET6}77", SCTP(sport=7, dport=3868) / SCTPChunkInit(), 3)]
            for destination, l4, backend in rows:
                frame, mark = marked(lab, destination, l4)
                frames.inject(lab.client, frame)
                role, came = frames.first(sniffers, lambda f, m=mark: m in f)
                expect_equal(role, lab.backends[backend].role, f"{destination} {l4!r}: backend")
                expect_equal(came[12:], frame[12:].ljust(len(came) - 12, b"\0"), f"{destination} {l4!r}: the packet")
            before = shim(daemon)["steered"]
            for destination, l4 in ((f"{NET4}.1", TCP(dport=7999, **syn)), (f"{NET4}.1", TCP(dport=8100, **syn)),
                                    (f"{NET4}.1", UDP(sport=1, dport=8000)), (f"{NET4}.1", 47),
                                    ("198.51.101.1", TCP(dport=8000, **syn)),
                                    (f"{NET6}77", SCTP(sport=7, dport=3869) / SCTPChunkInit())):
                frames.inject(lab.client, marked(lab, destination, l4)[0])
            last, mark = marked(lab, f"{NET4}.10", UDP(sport=5, dport=9))
            frames.inject(lab.client, last)  # behind it all others have been decided
            frames.first(sniffers, lambda f: mark in f)
            expect_equal(shim(daemon)["steered"] - before, 1, "packets steered beside the services' own")
            daemon.expect_no_drops()


@case()
def denied_sources_are_dropped_from_the_moment_of_the_change(env):
    with env.lab() as lab:
        def web(**more):
            return settings(lab, ("web", f"{NET4}.10", 443, "tcp", [0], more))
        with env.daemon(lab, web()) as daemon:
            sniffers = [frames.Sniffer(lab.backends[0])]

            def send(source, flags="A"):
                frame, mark = marked(lab, f"{NET4}.10", TCP(sport=40000, dport=443, flags=flags), source)
                frames.inject(lab.client, frame)
                return mark

            def arrives(source, flags="A"):
                mark = send(source, flags)
                frames.first(sniffers, lambda f: mark in f)

            arrives("192.0.2.1", "S")
            arrives("192.0.2.1")
            daemon.write(web(deny=["192.0.2.0/24"], allow=["192.0.2.128/25", "192.0.3.0/24"]))
            daemon.reload()
            expect_equal(shim(daemon)["denied"], 0, "denied before a packet came")
            for source in ("192.0.2.1", "192.0.2.127", "192.0.4.1"):  # the first one's flow stands
                send(source)
            wait_until(lambda: shim(daemon)["denied"] == 3, lambda: f"three to be denied: {shim(daemon)}")
            arrives("192.0.2.128", "S")
            arrives("192.0.3.1", "S")
            daemon.write(web())
            daemon.reload()
            arrives("192.0.2.1")
            expect_equal(shim(daemon)["denied"], 3, "denied after the rules went")
            daemon.expect_no_drops()


@case()
def new_flows_beyond_the_limit_are_dropped_by_source(env):
    with env.lab() as lab:
        limit = {"rate_limit": {"new_flows_per_s": 2, "per": "source"}}
        with env.daemon(lab, settings(lab, ("web", f"{NET4}.10", 443, "tcp", [0], limit))) as daemon:
            flood = [marked(lab, f"{NET4}.10", TCP(sport=1000 + n, dport=443, flags="S"), "192.0.2.1")[0] for n in range(200)]
            frames.inject(lab.client, *flood)
            other = marked(lab, f"{NET4}.10", TCP(sport=1, dport=443, flags="S"), "192.0.2.2")[0]
            frames.inject(lab.client, other)
            wait_until(lambda: daemon.packets()["forwarded"] + daemon.packets()["drops"]["rate_limited"] >= 201,
                       lambda: f"all to be counted: {daemon.packets()}")
            dropped = daemon.packets()["drops"]["rate_limited"]
            # Two at once, two for each second that the flood took, and the other source's one: a slow machine earns more.
            expect(150 <= dropped <= 198, f"{dropped} of 200 dropped by a limit of 2 a second")
            daemon.expect_no_drops("rate_limited")


@case()
def one_source_goes_to_one_backend(env):
    with env.lab() as lab:
        with env.daemon(lab, settings(lab, ("web", f"{NET4}.10", 443, "tcp", [0, 1, 2, 3], {"hash": "source"}))) as daemon:
            sniffers = [frames.Sniffer(b) for b in lab.backends]
            homes = set()
            for host in range(1, 13):
                sent = [marked(lab, f"{NET4}.10", TCP(sport=1000 + n, dport=443, flags="S"), f"192.0.2.{host}")
                        for n in range(6)]
                frames.inject(lab.client, *(frame for frame, _ in sent))
                where = set(frames.find(sniffers, [mark for _, mark in sent]).values())
                expect_equal(len(where), 1, f"backends of 192.0.2.{host}")
                told = daemon.ask("service", "which", "web", "--src", f"192.0.2.{host}:9")["backend"]
                expect_equal({b.role for b in lab.backends if b.address[4] == told}, where, "what the tool says of it")
                homes |= where
            expect(len(homes) > 1, "all sources went to one backend")
