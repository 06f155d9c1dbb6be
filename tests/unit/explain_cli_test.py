# SPDX-License-Identifier: BSD-2-Clause
"""`xebec explain` on configurations and captures, without root or daemon. Scapy makes the packets and judges what leaves.

Usage: explain_cli_test.py PATH-OF-XEBEC [unittest arguments]
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, CookedLinux, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, rdpcap, wrpcap

from fake_daemon import FakeDaemon

XEBEC = ""
conf.verb = 0

LOCAL, ROUTER = "02:00:00:00:00:02", "02:00:00:00:00:01"
VIP, VIP6, CLIENT, CLIENT6 = "203.0.113.10", "2001:db8::10", "192.0.2.7", "2001:db8:c::7"
CONFIG = {
    "hash_seed": "000102030405060708090a0b0c0d0e0f",
    "interfaces": [{"name": "eth0", "local_mac": LOCAL}],
    "tunnel": {"source_ipv4": "198.51.100.1", "source_ipv6": "2001:db8:51::1"},
    "services": [
        {"name": "web", "vip": VIP, "port": 443, "protocol": "tcp",
         "backends": [{"address": "10.0.1.11", "mac": "02:00:00:00:01:0b"}, {"address": "10.0.1.12", "mac": "02:00:00:00:01:0c"}]},
        {"name": "dns", "vip": VIP, "port": 53, "protocol": "udp", "mode": "ipip",
         "backends": [{"address": "10.0.2.11", "mac": "02:00:00:00:02:0b"}]},
        {"name": "web6", "vip": VIP6, "port": 443, "protocol": "tcp", "mode": "ipip",
         "backends": [{"address": "2001:db8:2::11", "mac": "02:00:00:00:03:0b"}]}]}
MACS = {b["address"]: b["mac"] for s in CONFIG["services"] for b in s["backends"]}


def ether(**more):
    return Ether(**{"dst": LOCAL, "src": ROUTER, **more})


def syn(port=40000, **ip):
    return ether() / IP(src=CLIENT, dst=VIP, **ip) / TCP(sport=port, dport=443, flags="S")


def query(size=20, port=5000):
    return ether() / IP(src=CLIENT, dst=VIP, tos=0xb8) / UDP(sport=port, dport=53) / Raw(b"q" * size)


def syn6():
    return ether() / IPv6(src=CLIENT6, dst=VIP6, tc=0x2e) / TCP(sport=40000, dport=443, flags="S")


def sums_are_right(packet):
    """Every checksum of the packet is the one that scapy computes."""
    again = Ether(bytes(packet))
    layer = again
    while layer:
        if layer.haslayer(IP) or layer.haslayer(TCP) or layer.haslayer(UDP) or layer.haslayer(ICMP):
            if "chksum" in layer.fields:
                del layer.chksum
        if "cksum" in layer.fields:
            del layer.cksum
        layer = layer.payload
    return bytes(Ether(bytes(again))) == bytes(packet)


class ExplainTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def config(self, config=None):
        with open(self.path("c.json"), "w", encoding="utf-8") as file:
            json.dump(config or CONFIG, file)
        return self.path("c.json")

    def capture(self, packets, start=1000.0):
        for i, packet in enumerate(packets):
            packet.time = start + i * 0.001
        wrpcap(self.path("in.pcap"), packets, snaplen=262144)
        return self.path("in.pcap")

    def run_tool(self, *args, **more):
        return subprocess.run([XEBEC, *args], capture_output=True, timeout=60, check=False, text=True,
                              env={"PATH": os.environ["PATH"], "XEBEC_SOCKET": "/nonexistent/x.sock"}, **more)

    def explain(self, packets, config=None, *more):
        """The objects of -j, and what left."""
        out = self.path("out.pcap")
        done = self.run_tool("explain", "--config", self.config(config), "--pcap", self.capture(packets), "--write", out, "-j",
                             *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["packet"] for line in said], list(range(1, len(packets) + 1)))
        left = rdpcap(out)
        self.assertEqual([len(packet) for packet in left], [line["out_length"] for line in said if line["out_length"]])
        return said, left, done.stderr

    def fails(self, code, message, *args, **more):
        done = self.run_tool("explain", *args, **more)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(message, done.stderr)
        return done

    # What leaves

    def test_dsr_changes_the_link_addresses_and_nothing_else(self):
        said, left, _ = self.explain([syn() / Raw(b"x" * 80)])
        self.assertEqual(said[0]["mode"], "dsr-l2")
        self.assertEqual((left[0].dst, left[0].src), (MACS[said[0]["backend"]], LOCAL))
        self.assertEqual(bytes(left[0])[12:], bytes(syn() / Raw(b"x" * 80))[12:])
        self.assertTrue(sums_are_right(left[0]))

    def test_short_frames_are_padded_with_zeros(self):
        _, left, _ = self.explain([syn()])
        self.assertEqual(bytes(left[0])[54:], bytes(6))

    def test_ipip_puts_an_outer_header_around_ipv4(self):
        said, left, _ = self.explain([query()])
        outer = left[0][IP]
        self.assertEqual((outer.src, outer.dst, outer.proto, outer.ttl, outer.flags, outer.tos),
                         ("198.51.100.1", "10.0.2.11", 4, 64, "DF", 0xb8))
        self.assertEqual((left[0].dst, left[0].src), (MACS["10.0.2.11"], LOCAL))
        self.assertEqual(bytes(outer.payload), bytes(query()[IP]))
        self.assertEqual(said[0]["out_length"], len(query()) + 20)
        self.assertTrue(sums_are_right(left[0]))

    def test_ipip_puts_an_outer_header_around_ipv6(self):
        _, left, _ = self.explain([syn6()])
        outer = left[0][IPv6]
        self.assertEqual((outer.src, outer.dst, outer.nh, outer.hlim, outer.tc),
                         ("2001:db8:51::1", "2001:db8:2::11", 41, 64, 0x2e))
        self.assertEqual(bytes(outer.payload), bytes(syn6()[IPv6]))

    def test_partial_checksums_are_completed(self):
        packet = Ether(bytes(query()))
        whole = packet[UDP].chksum
        pseudo = sum(int.from_bytes(bytes(IP(bytes(packet[IP])))[i:i + 2], "big") for i in range(12, 20, 2)) + 17 + packet[UDP].len
        packet[UDP].chksum = (pseudo & 0xffff) + (pseudo >> 16)
        _, left, _ = self.explain([packet])
        self.assertEqual(left[0][UDP].chksum, whole)

    def test_vlan_tags_stay(self):
        tagged = Ether(dst=LOCAL, src=ROUTER) / Dot1Q(vlan=7) / syn()[IP]
        _, left, _ = self.explain([tagged])
        self.assertEqual(left[0][Dot1Q].vlan, 7)

    def test_echo_is_answered_for_both_families(self):
        ping6 = ether() / IPv6(src=CLIENT6, dst=VIP6) / ICMPv6EchoRequest(id=1, data=b"x" * 20)
        said, left, _ = self.explain([ether() / IP(src=CLIENT, dst=VIP) / ICMP(id=9, seq=3) / Raw(b"p" * 40), ping6])
        self.assertEqual([line["verdict"] for line in said], ["reply", "reply"])
        self.assertEqual((left[0].dst, left[0].src, left[0][IP].src, left[0][IP].dst), (ROUTER, LOCAL, VIP, CLIENT))
        self.assertEqual((left[0][ICMP].type, left[0][ICMP].id, left[0][ICMP].seq), (0, 9, 3))
        self.assertTrue(left[1].haslayer(ICMPv6EchoReply))
        self.assertTrue(all(sums_are_right(packet) for packet in left))

    def test_fragments_follow_the_first(self):
        whole = IP(src=CLIENT, dst=VIP, id=77) / UDP(sport=5000, dport=53) / Raw(b"f" * 3000)
        pieces = [ether() / IP(bytes(piece)) for piece in fragment(whole, 1000)]
        self.assertGreaterEqual(len(pieces), 3)
        said, left, _ = self.explain(pieces + [ether() / IP(src=CLIENT, dst=VIP, id=78, frag=100, proto=17) / Raw(b"z" * 64)])
        self.assertEqual({line["backend"] for line in said[:-1]}, {"10.0.2.11"})
        self.assertEqual([p[IP].payload[IP].frag for p in left], [p[IP].frag for p in pieces])
        self.assertEqual((said[-1]["verdict"], said[-1]["reason"]), ("drop", "fragment_unknown"))

    def test_what_leaves_has_the_time_it_came_at_in_order(self):
        packets = [syn(), ether() / ARP(), query(), syn6()]
        _, left, _ = self.explain(packets)
        self.assertEqual([round(float(packet.time), 6) for packet in left], [1000.0, 1000.002, 1000.003])

    # What is said

    def test_every_packet_is_accounted_for(self):
        packets = [syn(), syn(), ether() / ARP(), syn(ttl=0), ether(dst="02:00:00:00:00:09") / syn()[IP],
                   ether() / IP(src=CLIENT, dst=VIP) / TCP(dport=444), ether() / IP(src=VIP, dst=VIP) / TCP(dport=443)]
        said, _, narration = self.explain(packets)
        self.assertEqual([line["verdict"] for line in said], ["forward", "forward", "pass", "drop", "pass", "pass", "drop"])
        self.assertEqual([line["flow"] for line in said[:2]], ["new", "hit"])
        self.assertEqual([line["reason"] for line in said], [None, None, None, "ttl_expired", None, None, "martian"])
        self.assertIn("7 packets: 2 forward, 3 pass, 0 reply, 2 drop (martian 1, ttl_expired 1)\n", narration)

    def test_frames_to_any_address_count_without_local_mac(self):
        config = {**CONFIG, "interfaces": [{"name": "eth0"}]}
        said, left, narration = self.explain([ether(dst="02:00:00:00:00:09") / syn()[IP]], config)
        self.assertEqual(said[0]["verdict"], "forward")
        self.assertEqual(left[0].src[:2], "0a")
        self.assertIn(f'eth0 has no "local_mac": it is taken to be {left[0].src}', narration)

    def test_any_configuration_can_be_explained(self):
        config = {"vips": [{"vip": VIP, "port": "443", "protocol": "tcp", "reals": [{"ip": "10.0.1.11"}]}]}
        said, left, narration = self.explain([syn()], config)
        self.assertEqual((said[0]["verdict"], said[0]["service"]), ("forward", f"vip-{VIP}-443-tcp"))
        self.assertEqual(left[0].dst, "02:00:0a:00:01:0b")
        self.assertIn("10.0.1.11 is 02:00:0a:00:01:0b", narration)

    def test_the_mtu_may_be_given(self):
        big = syn() / Raw(b"x" * 4000)
        self.assertEqual(self.explain([big])[0][0]["reason"], "too_big")
        self.assertEqual(self.explain([big], None, "--mtu", "9000")[0][0]["verdict"], "forward")

    def test_text_and_tsv_have_a_line_a_packet(self):
        config, capture = self.config(), self.capture([syn(), ether() / ARP(), syn(ttl=0), ether() / IP(dst=VIP) / ICMP()])
        backend = json.loads(self.run_tool("explain", "--config", config, "--pcap", capture, "-j").stdout.splitlines()[0])["backend"]
        text = self.run_tool("explain", "--config", config, "--pcap", capture).stdout.splitlines()
        self.assertEqual(text, [f"     1  forward   web -> {backend} (dsr-l2, new)  60 bytes", "     2  pass",
                                "     3  drop      ttl_expired", "     4  reply     60 bytes"])
        rows = self.run_tool("explain", "--config", config, "--pcap", capture, "-o", "tsv").stdout.splitlines()
        self.assertEqual(rows[0].split("\t"), ["packet", "verdict", "reason", "service", "backend", "mode", "flow", "out_length",
                                               "worker"])
        self.assertEqual(rows[2].split("\t"), ["2", "pass", "", "", "", "", "", "", "0"])

    def test_a_gso_aggregate_is_no_failure(self):
        said, left, _ = self.explain([syn() / Raw(b"x" * (65535 - 40))])
        self.assertEqual((said[0]["reason"], len(left)), ("too_big", 0))

    def test_cut_packets_are_said_to_be_cut(self):
        capture = self.capture([syn() / Raw(b"x" * 500)])
        with open(capture, "rb") as file:
            data = file.read()
        with open(capture, "wb") as file:
            file.write(data[:32] + (100).to_bytes(4, "little") + data[36:140])
        done = self.run_tool("explain", "--config", self.config(), "--pcap", capture, "-j")
        self.assertEqual((done.returncode, json.loads(done.stdout)["reason"]), (0, "truncated"))
        self.assertIn("1 cut short by the capture", done.stderr)

    # Files

    def test_pcapng_and_standard_input_are_read(self):
        with PcapNgWriter(self.path("in.pcapng")) as writer:
            packet = syn()
            packet.time = 1000.0
            writer.write(packet)
        with open(self.path("in.pcapng"), "rb") as file:
            done = self.run_tool("explain", "--config", self.config(), "--pcap", "-", "--write", self.path("o.pcap"), "-j", stdin=file)
        self.assertEqual((done.returncode, json.loads(done.stdout)["verdict"]), (0, "forward"), done.stderr)
        self.assertEqual(len(rdpcap(self.path("o.pcap"))), 1)

    def test_no_capture_is_a_failure_that_names_it(self):
        config = self.config()
        for name, data, why in (("empty", b"", "is empty"), ("garbage", b"GARBAGE" * 100, "unknown file format"),
                                ("short", b"\xd4\xc3\xb2\xa1\x02", "truncated")):
            with open(self.path(name), "wb") as file:
                file.write(data)
            done = self.fails(1, why, "--config", config, "--pcap", self.path(name), "--write", self.path("never"))
            self.assertIn(self.path(name), done.stderr)
            self.assertFalse(os.path.exists(self.path("never")), "nothing is written where nothing can be read")
        self.fails(1, "No such file", "--config", config, "--pcap", self.path("missing"))

    def test_captures_without_ethernet_are_explained_and_said_to_be_so(self):
        plain = bytes(syn()[IP])
        cooked = bytes(CookedLinux(pkttype=0, src=b"\x02\0\0\0\0\x09", lladdrlen=6, proto=0x800)) + plain
        cooked2 = struct.pack("!HHIHBB8s", 0x800, 0, 2, 1, 0, 6, b"\x02\0\0\0\0\x09") + plain
        rows = (  # libpcap's LINKTYPE_, the packet, its verdict, what is said
            (113, cooked, "forward", "LINUX_SLL (Linux cooked v1): packets that came in get a made-up Ethernet header"),
            (113, cooked[:1] + b"\x04" + cooked[2:], "pass", "LINUX_SLL"),  # an outgoing one
            (113, cooked[:9], "pass", "LINUX_SLL"),
            (276, cooked2, "forward", "LINUX_SLL2"),
            (276, cooked2[:19], "pass", "LINUX_SLL2"),
            (101, plain, "forward", "RAW"),
            (101, b"", "pass", "RAW"),
            (101, b"\x17" + plain[1:], "pass", "RAW"),
            (229, bytes(syn6()[IPv6]), "forward", "IPV6"),
            (0, b"\x02\0\0\0" + plain, "forward", "NULL"),
            (108, b"\0\0\0\x1e" + bytes(syn6()[IPv6]), "forward", "LOOP"),
            (105, plain, "pass", "IEEE802_11 (802.11): not a network that a shim is on, so that every packet passes"))
        for link, packet, verdict, note in rows:
            with open(self.path("link.pcap"), "wb") as file:
                file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, link))
                file.write(struct.pack("<IIII", 1000, 0, len(packet), len(packet)) + packet)
            done = self.run_tool("explain", "--config", self.config(), "--pcap", self.path("link.pcap"), "--write", self.path("o.pcap"),
                                 "-j")
            self.assertEqual((done.returncode, json.loads(done.stdout)["verdict"]), (0, verdict), (link, done.stderr))
            self.assertIn("the capture's link type is " + note, done.stderr)
            self.assertIn("1 packet: ", done.stderr)
            self.assertEqual(["forward"] * len(rdpcap(self.path("o.pcap"))), [verdict] if verdict == "forward" else [])
            if verdict == "forward" and link != 276:
                self.assertTrue(sums_are_right(rdpcap(self.path("o.pcap"))[0]))

    def test_what_came_before_the_end_in_a_packet_is_explained(self):
        capture = self.capture([syn(), query(), syn6()])
        os.truncate(capture, os.path.getsize(capture) - 10)
        out = self.path("out.pcap")
        done = self.run_tool("explain", "--config", self.config(), "--pcap", capture, "--write", out, "-j")
        self.assertEqual(done.returncode, 0, "whoever stops a capture leaves such a file")
        self.assertIn("the capture ends in the middle of a packet", done.stderr)
        self.assertEqual([json.loads(line)["packet"] for line in done.stdout.splitlines()], [1, 2])
        self.assertIn("2 packets: 2 forward", done.stderr)
        self.assertEqual(len(rdpcap(out)), 2)

    def test_the_capture_is_not_overwritten_by_what_leaves(self):
        capture = self.capture([syn()])
        os.symlink(capture, self.path("link"))
        with open(capture, "rb") as file:
            before = file.read()
        for name in (capture, self.path("link")):
            self.fails(2, "is the capture that is read", "--config", self.config(), "--pcap", capture, "--write", name)
        with open(capture, "rb") as file:
            self.assertEqual(file.read(), before)
        config = self.config()
        self.fails(2, "is the configuration", "--config", config, "--pcap", capture, "--write", config)
        with open(config, encoding="utf-8") as file:
            self.fails(2, "is the configuration", "--config", "-", "--pcap", capture, "--write", config, stdin=file)
        with open(config, encoding="utf-8") as file:
            self.assertEqual(json.load(file), CONFIG)

    def test_a_full_disk_is_a_failure_and_no_packet_goes_unexplained(self):
        packets = [syn() / Raw(b"x" * 1400)] * 100
        done = self.fails(1, "/dev/full: No space left on device", "--config", self.config(), "--pcap", self.capture(packets),
                          "--write", "/dev/full", "-j")
        self.assertEqual([json.loads(line)["packet"] for line in done.stdout.splitlines()], list(range(1, 101)))
        self.assertIn("100 packets: 100 forward", done.stderr)

    def test_a_wrong_configuration_exits_3(self):
        capture = self.capture([syn()])
        self.fails(3, "No such file", "--config", self.path("missing.json"), "--pcap", capture)
        bad = self.config({**CONFIG, "services": [{"name": "x"}]})
        self.fails(3, '/services/0/vip: missing; every service needs it', "--config", bad, "--pcap", capture)

    def test_what_contradicts_itself_exits_2(self):
        self.fails(2, "needs SRC:PORT VIP:PORT/PROTO")
        self.fails(2, "needs a destination", "10.0.0.1:1")
        self.fails(2, "needs --config", "--pcap", "x.pcap")
        self.fails(2, "--write: needs --pcap", "--config", "c", "--write", "x", "10.0.0.1:1", f"{VIP}:443/tcp")
        self.fails(2, "not both", "--config", "c", "--pcap", "x", "10.0.0.1:1", f"{VIP}:443/tcp")
        self.fails(2, "standard output has the explanations", "--config", "c", "--pcap", "x", "--write", "-")
        self.fails(2, "only one standard input", "--config", "-", "--pcap", "-")
        self.fails(2, "--mtu: needs --config", "--mtu", "1400", "10.0.0.1:1", f"{VIP}:443/tcp")
        self.fails(2, "not of the form ADDR:PORT", "--config", "c", "10.0.0.1", f"{VIP}:443/tcp")
        self.fails(2, "the protocol is one of: tcp, udp", "--config", "c", "10.0.0.1:1", f"{VIP}:443/icmp")

    # A tuple

    def test_a_tuple_is_explained_as_its_packet_is(self):
        config = self.config()
        for port in range(40000, 40010):
            tuple_ = json.loads(self.run_tool("explain", "--config", config, f"{CLIENT}:{port}", f"{VIP}:443/tcp", "-j").stdout)
            packet = self.explain([syn(port)])[0][0]
            self.assertEqual((tuple_["schema"], tuple_["verdict"]), ("xebec.explain/1", "forward"))
            self.assertEqual(tuple_["backend"]["address"], packet["backend"])
            self.assertEqual(tuple_["next_hop"]["mac"], MACS[packet["backend"]])
            self.assertEqual(tuple_["leaves"]["shortest_out"], packet["out_length"])

    def test_a_tuple_reads_well(self):
        done = self.run_tool("explain", "--config", self.config(), f"[{CLIENT6}]:40000", "->", f"[{VIP6}]:443/tcp")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], f"[{CLIENT6}]:40000 -> [{VIP6}]:443/tcp: forward")
        self.assertEqual(lines[1], f"service    web6 at [{VIP6}]:443/tcp, exactly this port")
        self.assertRegex(lines[2], "^hash       [0-9a-f]{16} of the 5-tuple -> slot [0-9]+ of 65537$")
        self.assertEqual(lines[3:], [
            "backend    2001:db8:2::11, mode ipip, usable, weight 100, 100.00 % of the slots",
            f"next hop   02:00:00:00:03:0b (configuration) on eth0, from {LOCAL}, MTU 1500",
            "outer      2001:db8:51::1 -> 2001:db8:2::11, 40 bytes more",
            "leaves     a frame of 74 bytes as one of 114; the longest, 1474 bytes, as one of 1514"])

    def test_a_tuple_of_no_service_exits_6_and_names_the_nearest(self):
        done = self.run_tool("explain", "--config", self.config(), f"{CLIENT}:40000", f"{VIP}:444/tcp")
        self.assertEqual((done.returncode, done.stderr), (6, ""))
        self.assertEqual(done.stdout.splitlines(), [
            f"{CLIENT}:40000 -> {VIP}:444/tcp: pass",
            f"service    none at {VIP}:444/tcp: the packet is the host's own",
            f"nearest    web at {VIP}:443/tcp, another port",
            f"nearest    dns at {VIP}:53/udp, another protocol and port"])
        done = self.run_tool("explain", "--config", self.config(), f"{CLIENT}:40000", f"{VIP}:444/tcp", "-j")
        self.assertEqual((done.returncode, json.loads(done.stdout)["service"]), (6, None))

    def test_a_tuple_without_config_is_asked_of_the_daemon(self):
        offline = self.run_tool("explain", "--config", self.config(), f"{CLIENT}:40000", f"{VIP}:443/tcp", "-j").stdout
        nothing = self.run_tool("explain", "--config", self.config(), f"{CLIENT}:40000", f"{VIP}:444/tcp", "-j").stdout
        daemon = FakeDaemon(self.path("x.sock"))
        self.addCleanup(daemon.close)
        asked = "/v1/explain?src=192.0.2.7%3A40000&dst=203.0.113.10%3A"
        daemon.answer("GET", asked + "443%2Ftcp", json.loads(offline))
        daemon.answer("GET", asked + "444%2Ftcp", json.loads(nothing))
        ask = ("--socket", self.path("x.sock"), "explain", f"{CLIENT}:40000")
        done = self.run_tool(*ask, f"{VIP}:443/tcp", "-j")
        self.assertEqual((done.returncode, json.loads(done.stdout)), (0, json.loads(offline)))
        self.assertIn("service    web at", self.run_tool(*ask, f"{VIP}:443/tcp").stdout)
        self.assertEqual(self.run_tool(*ask, f"{VIP}:444/tcp").returncode, 6)
        daemon.answer("GET", asked + "443%2Ftcp", {"schema": "xebec.explain/9"})
        self.assertEqual(self.run_tool(*ask, f"{VIP}:443/tcp").returncode, 1)
        self.assertEqual(self.run_tool("explain", f"{CLIENT}:40000", f"{VIP}:443/tcp").returncode, 4)


if __name__ == "__main__":
    XEBEC = os.path.abspath(sys.argv.pop(1))
    unittest.main()
