# SPDX-License-Identifier: BSD-2-Clause
"""Scapy as the judge: what arrives at the backend is, byte for byte, what was sent, but for what the mode changes."""
import functools
import itertools
import socket
import struct

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_Router_Alert
from scapy.layers.inet6 import (ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop)
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

import frames
from cases import add, case, expect, expect_equal
from lab import VIP, LabError, wait_until
from peers import HTTP_PORT, UDP_PORT

_marks = itertools.count(1)


def marked(length=32):
    """Payload that no other frame has."""
    return (b"xebec%08d" % next(_marks)).ljust(length, b".")


class Rig:
    """Sends as the client; IP and L4 headers addressed to the VIP."""

    def __init__(self, lab):
        self.lab = lab
        self.ether = Ether(src=lab.client.mac, dst=lab.lb.mac)

    def ip(self, family, **fields):
        if family == 4:
            return IP(src=self.lab.client.address[4], dst=VIP[4], **{"id": 4711, **fields})
        return IPv6(src=self.lab.client.address[6], dst=VIP[6], **fields)

    def rows(self):
        """(name, frame as sent, frame as it must arrive but for the MACs; None = the same)"""
        e, ip, udp = self.ether, self.ip, UDP(sport=40001, dport=UDP_PORT)
        tcp = TCP(sport=40002, dport=HTTP_PORT, flags="S", seq=1, options=[("MSS", 1460), ("SAckOK", b"")])
        trailed = bytes(e / ip(4) / udp / Raw(marked()))
        short = bytes(e / ip(4) / udp / Raw(marked(13)))
        yield "UDP", e / ip(4) / udp / marked(), None
        yield "UDP over IPv6", e / ip(6) / udp / marked(), None
        yield "UDP without a checksum", e / ip(4) / UDP(sport=40001, dport=UDP_PORT, chksum=0) / marked(), None
        yield "TCP SYN with options", e / ip(4) / tcp / marked(), None
        yield "TCP SYN with options, IPv6", e / ip(6) / tcp / marked(), None
        yield "IPv4 options", e / ip(4, options=[IPOption_Router_Alert(), IPOption_NOP()]) / udp / marked(), None
        yield "TTL 1, DF, DSCP and ECN", e / ip(4, ttl=1, flags="DF", tos=0xbb) / udp / marked(), None
        yield "traffic class and flow label", e / ip(6, tc=0xbb, fl=0x12345, hlim=1) / udp / marked(), None
        yield "hop-by-hop and destination options", \
            e / ip(6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / udp / marked(), None
        yield "an atomic fragment", e / ip(6) / IPv6ExtHdrFragment(offset=0, m=0, id=9) / udp / marked(), None
        yield "a trailer behind the IP packet", trailed + b"trailer!", trailed
        yield "a frame below the minimum", short, short.ljust(60, b"\0")
        yield "padding that is not zero", short + b"\xff" * (60 - len(short)), short.ljust(60, b"\0")
        yield "the largest frame", e / ip(4) / udp / marked(1472), None
        for family in (4, 6):
            for l4 in (udp, tcp):
                whole = bytes(e / ip(family) / l4 / marked())
                yield f"a partial {l4.name} checksum, IPv{family}", self.partial(whole), whole

    def partial(self, whole):
        """The frame as checksum offload leaves it: only the pseudo-header's sum, folded, not inverted."""
        packet = Ether(whole)
        network = packet.payload
        l4 = network.payload
        family, protocol = (socket.AF_INET, network.proto) if IP in packet else (socket.AF_INET6, network.nh)
        pseudo = socket.inet_pton(family, network.src) + socket.inet_pton(family, network.dst)
        total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo)) + protocol + len(bytes(l4))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        l4.chksum = total
        return bytes(packet)


def arrived(lab, sniffers, frame, marker):
    frames.inject(lab.client, bytes(frame))
    return frames.first(sniffers, lambda f: marker in f)


def marker_of(frame):
    data = bytes(frame)
    at = data.index(b"xebec")
    return data[at:at + 13]


def expect_bytes(name, is_, should):
    if is_ != should:
        raise LabError(f"{name}:\n   is {is_.hex()}\nshould {should.hex()}\n{Ether(is_).show(dump=True)}")


def sniff_all(lab):
    return [frames.Sniffer(b) for b in lab.backends]


@case()
def dsr_l2_changes_only_the_mac_addresses(env):
    with env.lab() as lab, env.daemon(lab) as daemon:
        rig, sniffers = Rig(lab), sniff_all(lab)
        for name, sent, should in rig.rows():
            role, frame = arrived(lab, sniffers, sent, marker_of(sent))
            should = bytes(sent if should is None else should)
            macs = Ether(src=lab.lb.mac, dst=lab.backend(role).mac)
            expect_bytes(name, frame, (bytes(macs)[:12] + should[12:]).ljust(60, b"\0"))
        expect(daemon.packets()["checksums_completed"] >= 4, f"partial checksums are not counted: {daemon.packets()}")
        daemon.expect_no_drops()


def ipip_adds_exactly_an_outer_header(env, inner, outer):
    # Nobody takes the outer header off here: the sniffer sees it as it came.
    with env.lab(mtu=1600) as lab, env.daemon(lab, mode="ipip", backend_family=outer, families=(inner,)) as daemon:
        rig, sniffers = Rig(lab), sniff_all(lab)
        for name, sent, should in rig.rows():
            packet = Ether(bytes(sent))
            if (IP in packet) != (inner == 4):
                continue
            role, frame = arrived(lab, sniffers, sent, marker_of(sent))
            should = bytes(sent if should is None else should)
            length = packet[IP].len if inner == 4 else 40 + packet[IPv6].plen
            tos = packet[IP].tos if inner == 4 else packet[IPv6].tc
            backend, next_header = lab.backend(role), 4 if inner == 4 else 41
            if outer == 4:
                head = IP(src=lab.lb.address[4], dst=backend.address[4], proto=next_header, ttl=64, flags="DF", id=0, tos=tos)
            else:
                label = Ether(frame)[IPv6].fl  # the flow's, for ECMP on the way: any value is right
                head = IPv6(src=lab.lb.address[6], dst=backend.address[6], nh=next_header, hlim=64, tc=tos, fl=label)
            expected = Ether(src=lab.lb.mac, dst=backend.mac) / head / Raw(should[14:14 + length])
            expect_bytes(name, frame, bytes(expected).ljust(60, b"\0"))
        daemon.expect_no_drops()


for _inner in (4, 6):
    for _outer in (4, 6):
        add(f"ipip_adds_exactly_an_outer_header_ipv{_inner}_in_ipv{_outer}",
            functools.partial(ipip_adds_exactly_an_outer_header, inner=_inner, outer=_outer))


@case()
def fragments_of_a_datagram_meet_at_one_backend(env):
    with env.lab() as lab, env.daemon(lab):
        sniffers = sniff_all(lab)
        for turn, family in itertools.product(range(16), (4, 6)):
            first, later = fragments(Rig(lab), family, 100 + turn)
            marks = [marker_of(first), marker_of(later)]
            frames.inject(lab.client, bytes(first), bytes(later))
            where = frames.find(sniffers, marks)
            expect_equal(where[marks[1]], where[marks[0]], f"IPv{family} fragments: backend of the later")


@case()
def later_fragment_without_its_first_is_dropped_by_name(env):
    with env.lab() as lab, env.daemon(lab) as daemon:
        for family in (4, 6):
            _, later = fragments(Rig(lab), family, 300 + family)
            frames.inject(lab.client, bytes(later))
        wait_until(lambda: daemon.packets()["drops"].get("fragment_unknown") == 2, "both to be dropped as fragment_unknown")


def fragments(rig, family, ident):
    """A datagram of 40 bytes behind its UDP header, in two."""
    head, tail = marked(24), marked(16)
    udp = UDP(bytes((rig.ip(family) / UDP(sport=40000 + ident, dport=UDP_PORT) / Raw(head + tail))[UDP])[:8])
    if family == 4:
        return (rig.ether / rig.ip(4, id=ident, flags="MF") / udp / Raw(head),
                rig.ether / rig.ip(4, id=ident, frag=4, proto=17) / Raw(tail))
    return (rig.ether / rig.ip(6) / IPv6ExtHdrFragment(m=1, id=ident, nh=17) / udp / Raw(head),
            rig.ether / rig.ip(6) / IPv6ExtHdrFragment(m=0, offset=4, id=ident, nh=17) / Raw(tail))


@case()
def vlan_tags_are_kept(env):
    with env.lab() as lab:
        # The tag has to be in the frame that XDP sees, as on a NIC with VLAN stripping off.
        lab.router.run("ethtool", "-K", "p_lb", "txvlan", "off", "tx-vlan-stag-hw-insert", "off")
        with env.daemon(lab) as daemon:
            sniffers, rig = sniff_all(lab), Rig(lab)
            for name, tags in (("802.1Q", Dot1Q(vlan=5, prio=3)), ("802.1ad", Dot1AD(vlan=7) / Dot1Q(vlan=5))):
                for family in (4, 6):
                    ether = Ether(src=lab.client.mac, dst=lab.lb.mac)
                    sent = bytes(ether / tags / rig.ip(family) / UDP(sport=40001, dport=UDP_PORT) / marked())
                    role, frame = arrived(lab, sniffers, sent, marker_of(sent))
                    macs = bytes(Ether(src=lab.lb.mac, dst=lab.backend(role).mac))[:12]
                    expect_bytes(f"{name} IPv{family}", frame, macs + sent[12:])
            daemon.expect_no_drops()


def malformed(rig):
    """(name, frame, reasons it may be dropped for)"""
    e, udp = rig.ether, UDP(sport=40001, dport=UDP_PORT)
    yield "TCP data offset 4", e / rig.ip(4) / TCP(dport=HTTP_PORT, dataofs=4) / marked(), {"bad_l4_header"}
    yield "TCP data offset behind the end", e / rig.ip(4) / TCP(dport=HTTP_PORT, dataofs=15), {"bad_l4_header", "truncated"}
    yield "UDP length 7", e / rig.ip(4) / UDP(dport=UDP_PORT, len=7) / marked(), {"bad_l4_header"}
    yield "UDP length behind the end", e / rig.ip(4) / UDP(dport=UDP_PORT, len=999) / marked(), {"bad_l4_header", "truncated"}
    yield "IPv4 length behind the end", e / rig.ip(4, len=1400) / udp / marked(), {"truncated", "bad_ip_header"}
    yield "IPv6 length behind the end", e / rig.ip(6, plen=1400) / udp / marked(), {"truncated", "bad_ip_header"}
    yield "a TCP header cut short", bytes(e / rig.ip(4, len=32) / TCP(dport=HTTP_PORT))[:14 + 32], \
        {"truncated", "bad_l4_header"}


@case()
def malformed_packets_are_dropped_each_with_one_reason(env):
    with env.lab() as lab, env.daemon(lab) as daemon:
        sniffers = sniff_all(lab)
        for name, frame, reasons in malformed(Rig(lab)):
            before = daemon.packets()
            frames.inject(lab.client, bytes(frame))
            wait_until(lambda b=before: daemon.packets()["received"] > b["received"], f"{name}: to be received")
            after = daemon.packets()
            rose = {k: n - before["drops"].get(k, 0) for k, n in after["drops"].items() if n != before["drops"].get(k, 0)}
            expect(len(rose) == 1 and set(rose) <= reasons and sum(rose.values()) == 1,
                   f"{name}: dropped as {rose}, should be one of {reasons}")
            expect_equal(after["forwarded"], before["forwarded"], f"{name}: forwarded")
        for sniffer in sniffers:
            sniffer.__exit__()


@case()
def echo_to_a_vip_is_answered_with_a_right_checksum(env):
    """The reply's checksum is the request's plus 0x0800 with the end-around carry: asked around the wrap."""
    with env.lab() as lab, env.daemon(lab) as daemon:
        for family in (4, 6):
            expect_equal(lab.pings(VIP[family], 10), 10, f"pings of the VIP over IPv{family}")
        rig = Rig(lab)
        with frames.Sniffer(lab.client) as sniffer:
            for target in (0x0001, 0x07ff, 0x0800, 0xf7fe, 0xf7ff, 0xf800, 0xf801, 0xfffe):
                for family in (4, 6):
                    request = echo_with_checksum(rig, family, target)
                    frames.inject(lab.client, request)
                    _, frame = frames.first([sniffer], lambda f, m=marker_of(request): m in f)
                    expect_right_reply(lab, family, Ether(request), Ether(frame), target)
        expect_equal(daemon.packets()["replied"], 36, "replies counted")
        daemon.expect_no_drops()


def echo_with_checksum(rig, family, target):
    """An echo request whose payload makes its checksum `target`."""
    def build(fill):
        echo = ICMP(id=77, seq=1) if family == 4 else ICMPv6EchoRequest(id=77, seq=1)
        return Ether(bytes(rig.ether / rig.ip(family) / echo / Raw(mark + fill.to_bytes(2, "big"))))

    mark = marked(30)
    zero = checksum_of(build(0))
    # One's complement: what the sum has to grow by for its inverse to become the target.
    fill = (zero - target) % 0xffff
    packet = build(fill)
    expect_equal(checksum_of(packet), target, "the test's own echo request")
    return bytes(packet)


def checksum_of(packet):
    return packet[ICMP].chksum if ICMP in packet else packet[ICMPv6EchoRequest].cksum


def expect_right_reply(lab, family, request, reply, target):
    what = f"reply to an IPv{family} echo with checksum {target:#06x}"
    expect_equal((reply.src, reply.dst), (lab.lb.mac, lab.client.mac), f"{what}: MACs")
    layer = IP if family == 4 else IPv6
    expect_equal((reply[layer].src, reply[layer].dst), (request[layer].dst, request[layer].src), f"{what}: addresses")
    echo = reply[ICMP] if family == 4 else reply[ICMPv6EchoReply]
    expect_equal(echo.type, 0 if family == 4 else 129, f"{what}: type")
    rebuilt = reply.copy()
    if family == 4:
        del rebuilt[IP].chksum, rebuilt[ICMP].chksum
    else:
        del rebuilt[ICMPv6EchoReply].cksum
    expect_bytes(what, bytes(reply), bytes(rebuilt))
