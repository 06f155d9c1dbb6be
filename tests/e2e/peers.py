# SPDX-License-Identifier: BSD-2-Clause
"""Programs the lab runs in its namespaces: peer.py in its roles, and iperf3."""
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

import netns
from lab import HERE, VIP, LabError, listens, wait_until

HTTP_PORT = 80
UDP_PORT = 7000
IPERF_PORT = 5201


class Process:
    """A program in a namespace, ended by pid with the lab at the latest."""

    def __init__(self, lab, namespace, *command, stdin=None, stdout=None, name=None):
        self.name, self.namespace = name or os.path.basename(command[0]), namespace
        self.log = lab.path(f"{self.name}.{len(lab.processes)}.log")
        with open(self.log, "wb") as log:
            self.process = namespace.start(*command, stdin=stdin or subprocess.DEVNULL, stdout=stdout or log, stderr=log)
        lab.processes.append(self)

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        """What it wrote to its log so far."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def end(self, sig=signal.SIGTERM, deadline_s=5.0):
        """Ends it, by force if it must; returns its exit status."""
        with contextlib.suppress(ProcessLookupError):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGCONT)
                self.process.send_signal(sig)
        try:
            self.process.wait(deadline_s * netns.PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return self.process.returncode


class Peer(Process):
    """A program of ours, spoken to over its stdin and stdout."""

    program = "peer.py"

    def __init__(self, lab, namespace, *args):
        # The end of stdin ends a peer; a server of a lab that is to outlive us has to ignore it.
        forever = ["--forever"] if lab.survive and args[0] == "serve" else []
        super().__init__(lab, namespace, sys.executable, os.path.join(HERE, self.program), *map(str, args), *forever,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, name=f"{self.program.removesuffix('.py')}-{args[0]}")
        self.buffer = b""
        self.first_word = self.hear(30)

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def hear(self, deadline_s=120.0):
        """The next JSON value it says."""
        end = time.monotonic() + deadline_s * netns.PATIENCE
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                raise LabError(f"{self.name} {'ended' if ready else 'was silent'}: {self.said()}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def report(self):
        self.tell("report")
        return self.hear()

    def stop(self):
        """Stops a load; returns its last report."""
        self.tell("stop")
        return self.hear()


class Crowd(Peer):
    program = "crowd.py"

    def look_until_done(self, look, interval_s=0.2):
        """Its next word, and what look() said until then."""
        seen = [look()]
        while not select.select([self.process.stdout], [], [], interval_s)[0]:
            seen.append(look())
        return self.hear(), seen


def serve(lab, vips=VIP, own=False):
    """Starts every backend's server: HTTP on 80, UDP on 7000 of the VIPs, or of its own addresses."""
    def udp(backend):
        return [arg for address in (backend.address if own else vips).values() for arg in ("--udp", f"{address}:{UDP_PORT}")]
    return {b.role: Peer(lab, b.ns, "serve", b.role, "--tcp", HTTP_PORT, *udp(b)) for b in lab.backends}


def http(lab, family, requests=500, upload=0, concurrency=32):
    """So many requests, a connection each; returns the report."""
    peer = Peer(lab, lab.client.ns, "http", VIP[family], HTTP_PORT, "--requests", requests, "--upload", upload,
                "--concurrency", concurrency)
    return peer.hear()


def http_load(lab, family, concurrency=16):
    """Requests without end, until .stop()."""
    return Peer(lab, lab.client.ns, "http", VIP[family], HTTP_PORT, "--until-told", "--concurrency", concurrency)


def udp(lab, family, requests=500, size=64, concurrency=32):
    return Peer(lab, lab.client.ns, "udp", VIP[family], UDP_PORT, "--requests", requests, "--size", size,
                "--concurrency", concurrency).hear()


def keep(lab, address, port=HTTP_PORT, connections=100, interval_ms=50.0, rounds=0):
    """Connections that stay and ask all the time; .report() tells about each after two more rounds. rounds: they end by
    themselves after so many."""
    return Peer(lab, lab.client.ns, "keep", address, port, "--connections", connections, "--interval-ms", interval_ms,
                "--rounds", rounds)


class Iperf:
    """iperf3 through the VIP to one backend: its control connection and its data have to meet there."""

    def __init__(self, lab, backend):
        self.lab, self.servers = lab, []
        for family, vip in VIP.items():
            # Bound to the VIP: else the UDP server answers from its own address and never hears the client.
            server = Process(lab, backend.ns, "iperf3", "-s", "-B", vip, "-p", str(IPERF_PORT + family), name="iperf3")
            wait_until(lambda s=server, f=family: listens(s.pid, IPERF_PORT + f), "iperf3 to listen")
            self.servers.append(server)

    def measure(self, family, protocol, seconds=3, rate=None, interval_s=0.5):
        """{"gbps", "stalls": intervals in which nothing moved, "lost_percent", "retransmits"}."""
        command = ["iperf3", "-J", "-c", VIP[family], "-p", str(IPERF_PORT + family), "-t", str(seconds),
                   "-i", str(interval_s), "--connect-timeout", "5000"]
        if protocol == "udp":
            command += ["-u", "-b", rate or "300M", "-l", "1200"]
        done = self.lab.client.ns.run(*command, timeout=seconds + 30, check=False)
        answer = json.loads(done.stdout)
        if "error" in answer or done.returncode != 0:
            raise LabError(f"iperf3 {protocol} IPv{family}: {answer.get('error', done.stderr)}")
        total = answer["end"]["sum" if protocol == "udp" else "sum_received"]
        arrived = 1 - total.get("lost_percent", 0.0) / 100  # of UDP, iperf3 tells what was sent
        return {"gbps": round(total["bits_per_second"] * arrived / 1e9, 3),
                "stalls": sum(i["sum"]["bytes"] == 0 for i in answer["intervals"]),
                "lost_percent": round(total.get("lost_percent", 0.0), 3),
                "retransmits": answer["end"].get("sum_sent", {}).get("retransmits", 0)}
