# SPDX-License-Identifier: BSD-2-Clause
"""QUIC connection ids: a connection stays on its backend when its address changes."""
import os
import struct

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import frames
from cases import case, expect, expect_equal
from daemon import config
from lab import wait_until

VIPS = {4: "198.51.100.44", 6: "2001:db8:51::44"}
KEY = "8f95f09245765f80256934e50c66207f"
# Appendix B.2 of draft-ietf-quic-load-balancers-21: of the server id below, under the key above.
SERVER, ENCRYPTED = "ed793a51d49b8f5f", bytes.fromhex("504dd2d05a7b0de9b2b9907afb5ecf8cc3")


def settings(lab):
    whole = config(lab)
    quic = {"configs": [{"rotation": 0, "server_id_length": 2, "nonce_length": 6},
                        {"rotation": 2, "server_id_length": 8, "nonce_length": 8, "key": KEY}]}
    for family, vip in VIPS.items():
        backends = [{"address": b.address[family], "server_id": f"00{n:02x}"} for n, b in enumerate(lab.backends)]
        backends[3]["server_id"] = [backends[3]["server_id"], SERVER]
        whole["services"].append({"name": f"quic{family}", "vip": vip, "port": 443, "protocol": "udp", "hash": "quic",
                                  "quic": quic, "backends": backends})
    return whole


def clear_id(server):
    return b"\x08\x00" + bytes([server]) + os.urandom(6)


def packet(connection_id, mark, long=False):
    if not long:
        return b"\x43" + connection_id + mark
    return b"\xc3" + struct.pack("!I", 1) + bytes([len(connection_id)]) + connection_id + b"\0" + mark.ljust(1200, b"\0")


@case()
def quic_connections_keep_their_backend_whatever_their_address(env):
    with env.lab(queues=2) as lab:
        with env.daemon(lab, settings(lab)) as daemon:
            sniffers = [frames.Sniffer(b) for b in lab.backends]
            number = 0

            def goes_to(family, port, connection_id, long=False):
                nonlocal number
                number += 1
                mark = b"quic%08d" % number
                ip = IP(src=lab.client.address[4], dst=VIPS[4]) if family == 4 \
                    else IPv6(src=lab.client.address[6], dst=VIPS[6])
                payload = packet(connection_id, mark, long)
                frames.inject(lab.client, bytes(Ether(src=lab.client.mac, dst=lab.lb.mac) / ip / UDP(sport=port, dport=443) /
                                                Raw(payload)))
                role, came = frames.first(sniffers, lambda f: mark in f)
                expect(payload in came, "the packet is as it was")
                return role

            roles = [b.role for b in lab.backends]
            routed = 0
            for family in (4, 6):
                homes = set()
                for port in range(1000, 1012):
                    own = os.urandom(8)
                    first = goes_to(family, port, b"\xff" + own, long=True)
                    homes.add(first)
                    expect_equal(goes_to(family, port, b"\xff" + own, long=True), first, "its Initial sent again")
                    server = roles.index(first)
                    expect_equal(goes_to(family, port, clear_id(server)), first, "once it has the server's id")
                    expect_equal(goes_to(family, port + 30000, clear_id(server)), first, "from another port")
                    expect_equal(goes_to(family, port + 30000, clear_id((server + 1) % 4)), roles[(server + 1) % 4],
                                 "another connection from there")
                    expect_equal(goes_to(family, port, ENCRYPTED), roles[3], "by an encrypted id")
                    expect_equal(goes_to(family, port, b"\xff" + own), first, "an id that says nothing goes with the flow")
                    routed += 4
                expect(len(homes) > 1, "all new connections went to one backend")
            counts = [w["quic"] for w in daemon.ask("worker", "list")["workers"]]
            expect_equal((sum(c["routed"] for c in counts), sum(c["unrouted"] for c in counts)), (routed, routed // 4 * 3),
                         "packets by their ids, and others")

            # A server in maintenance has no connections any more, and its ids say nothing.
            daemon.ask("backend", "set", "quic4", lab.backends[1].address[4], "admin=maint")
            expect(goes_to(4, 5000, clear_id(1)) != roles[1], "a packet went to a backend in maintenance")
            daemon.ask("backend", "set", "quic4", lab.backends[1].address[4], "admin=ready")
            wait_until(lambda: goes_to(4, 5000, clear_id(1)) == roles[1], lambda: "its ids to lead to it again")

            shown = daemon.ask("config", "show")
            expect(KEY not in str(shown) and "hidden" in str(shown), "the key is not shown, but that there is one")
            expect(KEY not in daemon.said(), "nor in the log")
            daemon.expect_no_drops()
