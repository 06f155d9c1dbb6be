# SPDX-License-Identifier: BSD-2-Clause
"""`xebec capture`: a dropped packet is found with its reason, and `explain` says the same of the file."""
import json
import os
import signal

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import RawPcapNgReader

import frames
import pcapng
from cases import case, expect, expect_equal
from daemon import config
from lab import VIP, run, wait_until
from peers import HTTP_PORT, UDP_PORT, Process

EMPTY = "198.51.100.20"


class Capture(Process):
    """The tool, capturing in the background from the moment that the daemon knows of it."""

    def __init__(self, lab, daemon, name, *args):
        self.daemon, self.file = daemon, lab.path(name)
        before = self.running(daemon)
        super().__init__(lab, lab.lb.ns, os.path.join(daemon.programs, "xebec"), "--socket", daemon.socket, "capture", "-w",
                         self.file, *args, name="capture")
        wait_until(lambda: self.running(daemon) - before or self.process.poll() is not None, lambda: f"{name} to run: {self.said()}")

    @staticmethod
    def running(daemon):
        return {c["capture"] for c in daemon.http("GET", "/v1/captures")[1]["captures"]}

    def wait(self):
        """[(packet, comment)], once the tool has what it was told to take."""
        wait_until(lambda: self.process.poll() is not None, lambda: f"the capture to end: {self.said()}; {pcapng.packets(self.file)}; {self.daemon.packets()['drops']}")
        expect_equal(self.process.returncode, 0, f"exit code of the capture: {self.said()}")
        found = pcapng.packets(self.file)
        reader = RawPcapNgReader(self.file)
        expect_equal([data for data, _ in reader], [data for data, _ in found], "packets that Scapy reads")
        reader.close()
        return found


def dropped(lab):
    """(reason, frame)"""
    e, me = Ether(src=lab.client.mac, dst=lab.lb.mac), lab.client.address[4]
    web = IP(src=me, dst=VIP[4])
    yield "bad_l4_header", bytes(e / web / TCP(sport=1, dport=HTTP_PORT, dataofs=4) / Raw(b"x" * 30))
    yield "truncated", bytes(e / IP(src=me, dst=VIP[4], len=1400) / UDP(sport=2, dport=UDP_PORT) / Raw(b"x" * 30))
    yield "martian", bytes(e / IP(src=VIP[4], dst=VIP[4]) / UDP(sport=3, dport=UDP_PORT) / Raw(b"x" * 30))
    yield "fragment_unknown", bytes(e / IP(src=me, dst=VIP[4], id=77, frag=4, proto=17) / Raw(b"x" * 30))
    yield "no_backend", bytes(e / IP(src=me, dst=EMPTY) / TCP(sport=4, dport=443, flags="S"))


@case()
def captured_drops_have_the_reason_that_explain_tells(env):
    with env.lab() as lab, env.daemon(lab) as daemon:
        settings = config(lab)
        settings["services"].append({"name": "empty", "vip": EMPTY, "port": 443, "protocol": "tcp",
                                     "backends": [{"address": lab.backends[0].address[4], "admin": "maint"}]})
        daemon.write(settings)
        daemon.reload()
        lab.client.ns.ip(f"route replace {EMPTY}/32 via {lab.lb.address[4]}")
        killed = Capture(lab, daemon, "killed.pcapng")
        killed.end(signal.SIGKILL)  # the daemon learns of it by nobody reading
        rows = list(dropped(lab))
        every = Capture(lab, daemon, "any.pcapng", "--drop", "any", "--count", str(len(rows)))
        with open(lab.path("third.pcapng"), "w", encoding="ascii") as f:
            f.write("of yesterday")
        refused = daemon.cli("capture", "-w", lab.path("third.pcapng"), check=False)
        expect_equal((refused.returncode, json.loads(refused.stderr)["error"]["code"]), (6, "conflict"), "a third capture")
        with open(lab.path("third.pcapng"), encoding="ascii") as f:
            expect_equal(f.read(), "of yesterday", "the file of a capture that was refused")
        wait_until(lambda: len(Capture.running(daemon)) == 1, "the dead client's capture to end", 15)
        one = Capture(lab, daemon, "one.pcapng", "--drop", "no_backend", "--service", "empty", "--count", "1")
        frames.inject(lab.client, *(frame for _, frame in rows))
        found = every.wait()
        expect_equal(sorted(c.split()[1] for _, c in found), sorted(reason for reason, _ in rows), "reasons in the comments")
        sent = {frame.ljust(60, b"\0") if len(frame) < 60 else frame: reason for reason, frame in rows}
        for data, comment in found:
            reason = sent.get(data.ljust(60, b"\0"))
            expect_equal(comment.split()[:2], ["drop", reason], f"comment of {data.hex()}")
        (data, comment), = one.wait()
        expect_equal((sent[data.ljust(60, b"\0")], "service=empty" in comment), ("no_backend", True), f"the one: {comment}")
        told = daemon.cli("explain", "--config", daemon.file, "--pcap", every.file).stdout.splitlines()
        expect_equal([json.loads(line)["reason"] for line in told if "packet" in json.loads(line)],
                     [comment.split()[1] for _, comment in found], "what explain says of the file")
        expect_equal(len(run("tcpdump", "-n", "-r", every.file).stdout.splitlines()), len(rows), "packets that tcpdump reads")
        sees_what_leaves(lab, daemon)


def sees_what_leaves(lab, daemon):
    both = Capture(lab, daemon, "sent.pcapng", "--service", "web4", "--sent", "--count", "2")
    syn = bytes(Ether(src=lab.client.mac, dst=lab.lb.mac) / IP(src=lab.client.address[4], dst=VIP[4])
                / TCP(sport=40100, dport=HTTP_PORT, flags="S") / Raw(b"y" * 30))
    frames.inject(lab.client, syn)
    (came, why), (left, also) = both.wait()
    expect_equal(came, syn, "the packet as it came")
    expect(why.startswith("forward service=web4 backend=10.77.0.") and also.endswith("as-sent"), f"comments {why!r}, {also!r}")
    address = why.split("backend=")[1].split()[0]
    mac = next(b.mac for b in lab.backends if b.address[4] == address)
    expect_equal(Ether(left).dst, mac, "destination of the packet as it left")
    expect_equal(left[14:], syn[14:], "the packet as it left")
