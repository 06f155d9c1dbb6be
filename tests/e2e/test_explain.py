# SPDX-License-Identifier: BSD-2-Clause
"""What `xebec explain` says of a flow is what the flow does; by the daemon and by the daemon's file alike."""
import json
import socket

import peers
from cases import case, expect, expect_equal
from lab import VIP
from peers import UDP_PORT


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def backend_that_answers(lab, family, port):
    """The role of the backend that one datagram from this port of the client gets to."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    with lab.client.ns.socket(kind, socket.SOCK_DGRAM, 0) as s:
        s.settimeout(5)
        s.bind((lab.client.address[family], port))
        s.connect((VIP[family], UDP_PORT))
        s.send(b"which?")
        return s.recv(1000).decode().split()[0]


@case()
def explains_where_flows_really_go(env):
    with env.lab() as lab:
        peers.serve(lab)
        with env.daemon(lab) as daemon:
            for family in (4, 6):
                seen = set()
                for port in range(41000, 41012):
                    flow = (endpoint(lab.client.address[family], port), endpoint(VIP[family], UDP_PORT) + "/udp")
                    live = daemon.ask("explain", *flow)
                    role = backend_that_answers(lab, family, port)
                    expect_equal(live["backend"]["address"], lab.backend(role).address[family], f"IPv{family} port {port}")
                    expect_equal(live["next_hop"], {"mac": lab.backend(role).mac, "from": "kernel", "source_mac": lab.lb.mac,
                                                    "interface": "eth0", "mtu": 1500}, "the next hop")
                    offline = json.loads(daemon.cli("explain", "--config", daemon.file, *flow).stdout)
                    expect_equal(offline["slot"], live["slot"], "the slot, by the file")
                    expect_equal(offline["backend"]["address"], live["backend"]["address"], "the backend, by the file")
                    seen.add(role)
                expect(len(seen) > 1, "all flows went to one backend: this proves nothing")
            nothing = daemon.cli("explain", "192.0.2.1:1", endpoint(VIP[4], 9) + "/tcp", check=False)
            expect_equal(nothing.returncode, 6, "the exit code where no service matches")
            expect_equal(json.loads(nothing.stdout)["verdict"], "pass", "the verdict where no service matches")
            status, answer = daemon.http("GET", "/v1/explain?src=192.0.2.1%3A1")
            expect_equal((status, answer["error"]["code"]), (400, "usage"), "a question without a destination")
            daemon.expect_no_drops()
