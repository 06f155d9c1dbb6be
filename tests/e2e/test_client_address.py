# SPDX-License-Identifier: BSD-2-Clause
"""Mode nat with backends that are told the client's address."""
import ipaddress
import json
import struct

import frames
import peers
from cases import case, expect, expect_equal, expect_served
from daemon import SEED, service
from lab import VIP, listens, wait_until
from peers import HTTP_PORT, UDP_PORT, Process

PROXY_PORT = 81
SYN, ACK = 0x02, 0x10
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

HAPROXY = """
global
  maxconn 2000
defaults
  mode http
  timeout connect 20s
  timeout client 20s
  timeout server 20s
frontend web
  bind 0.0.0.0:{port} accept-proxy
  bind :::{port} accept-proxy v6only
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]" if {{ path /who }}
  default_backend own
backend own
  server own 127.0.0.1:{own}
"""

# Answers each datagram with itself, as hexadecimal digits.
MIRROR = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, who = s.recvfrom(65536)
    s.sendto(data.hex().encode(), who)
"""

# Connects from a port of its own choice, asks, and says what it was told and where it spoke from.
ASK = """
import http.client, json, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
c.connect()
me = c.sock.getsockname()[:2]
c.request("GET", "/who")
print(json.dumps({"me": me, "told": c.getresponse().read().decode()}))
"""

ASK_UDP = """
import json, socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], int(sys.argv[2])))
out = []
for word in (b"one", b"two"):
    s.send(word)
    out.append(s.recv(65536).decode())
print(json.dumps({"me": s.getsockname()[:2], "got": out}))
"""


def settings(lab, note):
    services = []
    for family in (4, 6):
        web = service(f"web{family}", family, HTTP_PORT, "tcp", lab.backends, mode="nat")
        web["client_address"] = note
        if note == "proxy-v2":
            for backend in web["backends"]:
                backend["port"] = PROXY_PORT
            udp = service(f"udp{family}", family, UDP_PORT, "udp", lab.backends[:1], mode="nat")
            udp["client_address"] = note
            services.append(udp)
        services.append(web)
    return {"version": 1, "instance": "lab", "hash_seed": SEED, "interfaces": [{"name": "eth0"}], "services": services}


def flags_of(frame, family):
    """SYN and ACK of a TCP segment to the backends' HTTP port; None of anything else."""
    at, protocol = (34, 23) if family == 4 else (54, 20)
    if len(frame) < at + 20 or frame[protocol] != 6 or struct.unpack_from(">H", frame, at + 2)[0] != HTTP_PORT:
        return None
    return frame[at + 13] & (SYN | ACK)


def options_of(frame, family):
    at = 34 if family == 4 else 54
    return frame[at + 20:at + (frame[at + 12] >> 4) * 4]


def from_client(lab, program, *args):
    return json.loads(lab.client.ns.run("python3", "-c", program, *map(str, args), timeout=30).stdout)


@case()
def haproxy_learns_the_client_from_proxy_v2(env):
    """HAProxy takes the header (and refuses connections without one), long transfers arrive whole, datagrams have it, too."""
    with env.lab(queues=2, backends=2) as lab:
        peers.serve(lab, own=True)
        text = HAPROXY.format(port=PROXY_PORT, own=HTTP_PORT)
        path = lab.path("haproxy.cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        for backend in lab.backends:
            server = Process(lab, backend.ns, "haproxy", "-db", "-f", path, name="haproxy")
            wait_until(lambda s=server: listens(s.pid, PROXY_PORT), lambda s=server: f"HAProxy to listen:\n{s.said()}", 20)
        mirrors = [Process(lab, lab.backends[0].ns, "python3", "-c", MIRROR, address, str(UDP_PORT + 1), name="mirror")
                   for address in lab.backends[0].address.values()]
        for mirror in mirrors:
            wait_until(lambda m=mirror: "ready" in m.said(), "the mirror to be ready", 20)
        config = settings(lab, "proxy-v2")
        for s in config["services"]:
            if s["protocol"] == "udp":
                s["backends"][0]["port"] = UDP_PORT + 1
        with env.daemon(lab, config) as daemon:
            for family in (4, 6):
                answer = from_client(lab, ASK, VIP[family], HTTP_PORT)
                expect_equal(answer["told"], f"{answer['me'][0]} {answer['me'][1]} {VIP[family]} {HTTP_PORT}",
                             f"what HAProxy says of client and VIP, IPv{family}")
                expect_served(peers.http(lab, family, 200), lab.backends, f"HTTP over IPv{family}", slack=0.2)
                expect_equal(peers.http(lab, family, 8, upload=1_000_000, concurrency=4)["errors"], {},
                             f"uploads, IPv{family}")
                told = from_client(lab, ASK_UDP, VIP[family], UDP_PORT)
                me, vip = (ipaddress.ip_address(a).packed for a in (told["me"][0], VIP[family]))
                header = SIGNATURE + bytes([0x21, 0x12 if family == 4 else 0x22]) + struct.pack(">H", 2 * len(me) + 4) + \
                    me + vip + struct.pack(">HH", told["me"][1], UDP_PORT)
                expect_equal(told["got"], [(header + word).hex() for word in (b"one", b"two")], f"datagrams, IPv{family}")
            daemon.expect_no_drops()
            workers = daemon.ask("worker", "list")["workers"]
            expect(sum(w["nat"]["client_told"] for w in workers) >= 2 * 209, "every connection has told who it is")


@case()
def backends_get_the_clients_address_as_a_tcp_option(env):
    """TOA: SYN and the ACK that completes the handshake carry it; Linux takes such segments, and connections work."""
    with env.lab(queues=2, backends=2) as lab:
        peers.serve(lab, own=True)
        with env.daemon(lab, settings(lab, "toa")) as daemon:
            for family in (4, 6):
                with frames.Sniffer(lab.backends[0]) as one, frames.Sniffer(lab.backends[1]) as other:
                    answer = from_client(lab, ASK, VIP[family], HTTP_PORT)
                    option = struct.pack(">BBH", 254, 8 if family == 4 else 20, answer["me"][1]) + \
                        ipaddress.ip_address(answer["me"][0]).packed
                    for flags, what in ((SYN, "SYN"), (ACK, "ACK of the handshake")):
                        _, frame = frames.first((one, other), lambda f, wanted=flags: flags_of(f, family) == wanted, 10)
                        expect(option in options_of(frame, family), f"the {what} carries the option, IPv{family}")
                expect_served(peers.http(lab, family, 200), lab.backends, f"HTTP over IPv{family}", slack=0.2)
                expect_equal(peers.http(lab, family, 8, upload=300_000)["errors"], {}, f"uploads, IPv{family}")
            daemon.expect_no_drops()
            workers = daemon.ask("worker", "list")["workers"]
            expect_equal(sum(w["nat"]["client_untold"] for w in workers), 0, "segments without room for the option")
            expect(sum(w["nat"]["client_told"] for w in workers) >= 2 * 2 * 208, "every connection has told who it is")
