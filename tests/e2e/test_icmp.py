# SPDX-License-Identifier: BSD-2-Clause
"""ICMP as senders live by it: path MTU discovery through a tunnel, traceroute and ping through a VIP."""
import errno
import functools
import hashlib
import socket
import time

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPerror6, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import frames
import peers
from cases import add, case, expect, expect_equal
from daemon import config
from lab import VIP, LabError, wait_until
from peers import HTTP_PORT, UDP_PORT

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
# linux/in.h, linux/in6.h: IP_MTU_DISCOVER and IP_MTU, and IPv6's; the value is ..._PMTUDISC_DO: always DF.
MTU_OPTIONS = {4: (socket.IPPROTO_IP, 10, 14), 6: (socket.IPPROTO_IPV6, 23, 24)}
PMTUDISC_DO = 2


def route_mtu(lab, family):
    """What the client's kernel remembers of the path to the VIP; None if nothing."""
    words = lab.client.ns.run("ip", "route", "get", VIP[family]).stdout.split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else None


def upload(connection, body):
    """Sends the body; the backend's SHA-256 of what came."""
    head = f"POST /sum HTTP/1.1\r\nHost: vip\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.rpartition(b"\r\n\r\n")[2]) < 64:
        data = connection.recv(65536)
        if not data:
            raise LabError(f"the backend closed the connection: {answer}")
        answer += data
    return answer.rpartition(b"\r\n\r\n")[2].decode()


def tcp_shrinks(env, family, backend_family):
    """The fabric carries 1500 bytes: with the outer header the client's full segments do not fit."""
    path = 1480 if backend_family == 4 else 1460
    with env.lab(tunnel=True, mtu=1500) as lab:
        peers.serve(lab)
        with env.daemon(lab, mode="ipip", families=(family,), backend_family=backend_family) as daemon:
            expect_equal(route_mtu(lab, family), None, "path MTU before")
            body = bytes(range(256)) * 16384  # 4 MiB
            with lab.client.ns.socket(FAMILY[family], socket.SOCK_STREAM) as connection:
                connection.settimeout(20)
                connection.connect((VIP[family], HTTP_PORT))
                before = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
                expect_equal(upload(connection, body), hashlib.sha256(body).hexdigest(), "what the backend received")
                after = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            print(f"IPv{family} in IPv{backend_family}: segments of {before}, then of {after} bytes")
            expect_equal(before - after, 1500 - path, "what the segments shrank by")
            expect_equal(route_mtu(lab, family), path, "path MTU after")
            packets = daemon.packets()
            expect(packets["icmp_errors"]["too_big"] >= 1, packets)
            expect_equal(packets["replied"], packets["icmp_errors"]["too_big"], "replies")
            daemon.expect_no_drops("too_big")  # the rate is limited


for _family in (4, 6):
    for _backend in (4, 6):
        add(f"path_mtu_discovery_shrinks_tcp_ipv{_family}_in_ipv{_backend}",
            functools.partial(tcp_shrinks, family=_family, backend_family=_backend))


@case()
def path_mtu_discovery_tells_udp(env):
    with env.lab(tunnel=True, mtu=1500) as lab:
        peers.serve(lab)
        with env.daemon(lab, mode="ipip") as daemon:
            for family in (4, 6):
                level, discover, mtu = MTU_OPTIONS[family]
                path = 1480 if family == 4 else 1460
                headers = 28 if family == 4 else 48
                with lab.client.ns.socket(FAMILY[family], socket.SOCK_DGRAM) as sender:
                    sender.settimeout(5)
                    sender.setsockopt(level, discover, PMTUDISC_DO)
                    sender.connect((VIP[family], UDP_PORT))
                    wait_until(lambda s=sender, n=1500 - headers: refused_as_too_long(s, n),
                               f"IPv{family}: the datagram to be refused as too long")
                    expect_equal(sender.getsockopt(level, mtu), path, f"IPv{family}: path MTU")
                    sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # one may be left of an earlier datagram
                    sender.send(b"x" * (path - headers))
                    _, length, _ = sender.recv(200).split()
                    expect_equal(int(length), path - headers, f"IPv{family}: what the largest datagram arrived as")
            expect(daemon.packets()["icmp_errors"]["too_big"] >= 2, daemon.packets())
            # Without DF nobody can be told.
            rig = Ether(src=lab.client.mac, dst=lab.lb.mac) / IP(src=lab.client.address[4], dst=VIP[4])
            frames.inject(lab.client, bytes(rig / UDP(sport=4000, dport=UDP_PORT) / Raw(b"x" * 1472)))
            wait_until(lambda: daemon.packets()["drops"].get("too_big") == 1, "the datagram without DF to be dropped")


def refused_as_too_long(sender, size):
    try:
        sender.send(b"x" * size)
    except OSError as error:
        if error.errno == errno.EMSGSIZE:
            return True
        raise
    return False


@case()
def too_big_is_answered_with_what_the_rfcs_say(env):
    with env.lab(tunnel=True, mtu=1500) as lab, env.daemon(lab, mode="ipip") as daemon:
        ether = Ether(src=lab.client.mac, dst=lab.lb.mac)
        with frames.Sniffer(lab.client) as sniffer:
            for family in (4, 6):
                ip = IP(src=lab.client.address[4], dst=VIP[4], flags="DF", id=4711) if family == 4 else \
                    IPv6(src=lab.client.address[6], dst=VIP[6])
                sent = Ether(bytes(ether / ip / UDP(sport=4000, dport=UDP_PORT) / Raw(b"b" * (1500 - len(ip) - 8))))
                layer = ICMP if family == 4 else ICMPv6PacketTooBig
                frames.inject(lab.client, bytes(sent))
                _, frame = frames.first([sniffer], lambda f, kind=layer: kind in Ether(f))
                expect_right_error(lab, family, sent, Ether(frame))
        expect_equal(daemon.packets()["icmp_errors"], {"too_big": 2, "time_exceeded": 0, "port_unreachable": 0}, "errors counted")
        expect_equal(daemon.packets()["replied"], 2, "replies counted")


def expect_right_error(lab, family, sent, error):
    what = f"IPv{family} error"
    expect_equal((error.src, error.dst), (lab.lb.mac, lab.client.mac), f"{what}: MACs")
    network = error[IP if family == 4 else IPv6]
    expect_equal((network.src, network.dst), (VIP[family], lab.client.address[family]), f"{what}: addresses")
    if family == 4:
        expect_equal((error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu), (3, 4, 1480), f"{what}: what it says")
        quoted = bytes(sent[IP])[:576 - 28]
        expect_equal(network.len, 576, f"{what}: length")
        head = 28
    else:
        expect_equal((error[ICMPv6PacketTooBig].code, error[ICMPv6PacketTooBig].mtu), (0, 1460), f"{what}: what it says")
        quoted = bytes(sent[IPv6])[:1280 - 48]
        expect_equal(network.plen, 1240, f"{what}: length")
        head = 48
    expect(bytes(network)[head:] == quoted, f"{what}: quotes {bytes(network)[head:].hex()}")
    rebuilt = error.copy()
    if family == 4:
        del rebuilt[IP].chksum, rebuilt[ICMP].chksum
        for inner in (IPerror, UDPerror):
            expect(inner in rebuilt, f"{what}: Scapy does not see {inner.__name__} in it")
    else:
        del rebuilt[ICMPv6PacketTooBig].cksum
        expect(IPerror6 in rebuilt, f"{what}: Scapy does not see the quoted packet in it")
    expect(bytes(rebuilt) == bytes(error), f"{what}: a checksum is wrong\n{error.show(dump=True)}")


@case()
def icmp_errors_and_echo_replies_are_limited_as_configured(env):
    with env.lab(tunnel=True, mtu=1500) as lab:
        settings = config(lab, mode="ipip")
        settings["icmp"] = {"errors_per_s": 20, "echo_replies_per_s": 0}
        with env.daemon(lab, settings) as daemon:
            ip = IP(src=lab.client.address[4], dst=VIP[4], flags="DF")
            big = bytes(Ether(src=lab.client.mac, dst=lab.lb.mac) / ip / UDP(sport=4000, dport=UDP_PORT) / Raw(b"b" * 1472))
            began = time.monotonic()
            frames.inject(lab.client, *[big] * 200)
            wait_until(lambda: daemon.packets()["received"] >= 200, "all to be received")
            packets, took = daemon.packets(), time.monotonic() - began
            expect(2 <= packets["icmp_errors"]["too_big"] <= 3 + 20 * took, f"in {took:.2f} s: {packets}")
            expect_equal(packets["replied"] + packets["drops"]["too_big"], 200, "answered or dropped")
            expect_equal(lab.pings(VIP[4], 2), 0, "pings answered")
            # A change needs no restart.
            settings["icmp"] = {"echo_replies_per_s": 1000}
            daemon.write(settings)
            daemon.reload()
            expect_equal(lab.pings(VIP[4], 2), 2, "pings answered after the reload")


@case()
def mss_of_syns_is_clamped(env):
    """auto in a tunnel, a number anywhere, off; and never raised."""
    with env.lab(mtu=1500) as lab:
        for mode, clamp, announced, expected in (
                ("ipip", "auto", 1460, 1440), ("ipip", "auto", 1400, 1400), ("ipip", "off", 1460, 1460), ("ipip", 1300, 1460, 1300),
                ("dsr-l2", "auto", 1460, 1460), ("dsr-l2", 1300, 1460, 1300)):
            settings = config(lab, mode=mode, families=(4,))
            for service in settings["services"]:
                service["mss_clamp"] = clamp
            with env.daemon(lab, settings) as daemon:
                expect_mss(lab, daemon, announced, expected, f"{mode}, mss_clamp {clamp}, {announced}")


def expect_mss(lab, daemon, announced, expected, what):
    sniffers = [frames.Sniffer(b) for b in lab.backends]
    options = [("NOP", None), ("MSS", announced), ("SAckOK", b"")]
    ip = IP(src=lab.client.address[4], dst=VIP[4])
    sent = bytes(Ether(src=lab.client.mac, dst=lab.lb.mac) / ip / TCP(sport=4000, dport=HTTP_PORT, flags="S", seq=77, options=options))
    for turn in ("first", "second"):  # known by then
        frames.inject(lab.client, sent)
        _, frame = frames.first(sniffers, lambda f: TCP in Ether(f) and Ether(f)[TCP].seq == 77)
        segment = Ether(frame)
        inner = segment[IP].payload if segment[IP].proto == 4 else segment[IP]
        expect_equal(dict(inner[TCP].options)["MSS"], expected, f"{what}: MSS of the {turn} SYN")
        rebuilt = inner.copy()
        del rebuilt[TCP].chksum
        expect_equal(IP(bytes(rebuilt))[TCP].chksum, inner[TCP].chksum, f"{what}: checksum")
    expect_equal(daemon.packets()["mss_clamped"], 2 if expected < announced else 0, f"{what}: counted")
    for sniffer in sniffers:
        sniffer.__exit__()


@case()
def traceroute_ends_at_the_vip(env):
    """With TCP and with UDP: the router is the first hop, the VIP the second and last."""
    with env.lab(routed=True) as lab:
        lab.router.sysctl(net__ipv4__icmp_ratelimit=0, net__ipv6__icmp__ratelimit=0)
        for backend in lab.backends:
            backend.ns.sysctl(net__ipv4__icmp_ratelimit=0, net__ipv6__icmp__ratelimit=0)
        with env.daemon(lab) as daemon, frames.Sniffer(lab.client) as sniffer:
            gateway = lab.router.run("cat", "/sys/class/net/p_client/address").stdout.strip()
            for family in (4, 6):
                for l4 in (TCP(sport=4000, dport=HTTP_PORT, flags="S"), UDP(sport=4000, dport=UDP_PORT)):
                    hops = [hop(lab, sniffer, gateway, family, l4, ttl) for ttl in (1, 2)]
                    expect_equal(hops, [("10.78.0.1" if family == 4 else "fd78::1", False), (VIP[family], True)],
                                 f"IPv{family} traceroute by {l4.name}: (who answered, is it the end)")
            daemon.expect_no_drops()


def hop(lab, sniffer, gateway, family, l4, ttl):
    """(who answers, whether it is the end): as traceroute does, with a probe of this TTL."""
    source = lab.client.address[family]
    ip = IP(src=source, dst=VIP[4], ttl=ttl) if family == 4 else IPv6(src=source, dst=VIP[6], hlim=ttl)
    frames.inject(lab.client, bytes(Ether(src=lab.client.mac, dst=gateway) / ip / l4))
    network, exceeded = (IP, lambda p: ICMP in p and p[ICMP].type == 11) if family == 4 else \
        (IPv6, lambda p: ICMPv6TimeExceeded in p)

    def answers(packet):
        # Nothing listens on the backends: the end answers a SYN with a reset and a datagram with "port unreachable".
        end = TCP in packet and packet[TCP].dport == 4000 if isinstance(l4, TCP) else \
            (ICMP in packet and packet[ICMP].type == 3) or ICMPv6DestUnreach in packet
        return network in packet and (exceeded(packet) or end)

    _, frame = frames.first([sniffer], lambda f: answers(Ether(f)))
    return Ether(frame)[network].src, not exceeded(Ether(frame))


@case()
def echo_requests_in_fragments_are_dropped_by_name(env):
    with env.lab() as lab, env.daemon(lab) as daemon:
        for family in (4, 6):
            done = lab.client.ns.run("ping", "-n", "-q", "-s", "1400", "-c", "3", "-i", "0.05", "-W", "1", VIP[family], check=False)
            expect(" 3 received" in done.stdout, done.stdout)
            done = lab.client.ns.run("ping", "-n", "-q", "-s", "4000", "-c", "1", "-W", "1", VIP[family], check=False)
            expect(" 0 received" in done.stdout, done.stdout)
        wait_until(lambda: daemon.packets()["drops"] == {"icmp_unhandled": 6}, lambda: f"three fragments each: {daemon.packets()}")
