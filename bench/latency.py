# SPDX-License-Identifier: BSD-2-Clause
"""latency: one TCP request after the other, 16 bytes each way, through each way: idle and beside half its bulk capacity."""
import json
import os
import sys

import fabric_ways
import ways
from fabric import VIP, Fabric, LabError, last_cpu, listens, wait_until
from peers import Process
from turns import Figure, Skip, Spec, run

# Where client and server run; the balancer is on the last CPU. Apart: each hop wakes another CPU, which has gone to sleep.
# Together: client, balancer and server on one CPU, which never sleeps.
CASES = {"apart": (0, ways.APART), "together": (last_cpu(), ways.TOGETHER), "loaded": (0, ways.APART)}
MODES = ("ring", "inject", "ring-busy", "inject-busy", "ring-interrupt", "inject-interrupt")
QUANTILES = ("p50", "p99", "p999")


def specs(options):
    rows = []
    for case in CASES:
        for ours in ("inject", "ring"):
            for peer in ("in-kernel", "haproxy", "nginx", "nftables", "direct"):
                for q in QUANTILES:
                    target = 1.0 if (case, peer, q) in (("apart", "in-kernel", "p99"), ("together", "haproxy", "p50")) else None
                    rows.append(Spec(f"latency/{case}/{ours}-vs-{peer}-{q}", "us", Figure(ours, case, q), Figure(peer, case, q),
                                     target, False))
        for mode in MODES:
            # Busy polling beside client and server on one CPU is a fight that nobody would choose.
            if not (case == "together" and "busy" in mode) and not (options.quick and case == "loaded" and "-" in mode):
                rows.append(Spec(f"latency/{case}/{mode}-p999-vs-p99", "us", Figure(mode, case, "p999"),
                                 Figure(mode, case, "p99"), 4.0 if case == "apart" else None, False))
    return rows


class PingFabric(Fabric):
    """With ping-pong servers on both CPUs and an iperf3 server, at the VIP and at the backend's own address."""

    def __init__(self, options):
        super().__init__()
        self.programs = options.programs

    def _build(self):
        super()._build()
        for address in (VIP[4], self.backend_host.address[4]):
            for cpu, port in ((last_cpu(), ways.APART), (last_cpu(), ways.TOGETHER)):
                self.serve(port, os.path.join(self.programs, "bench/pingpong"), "serve", "--address", address, "--port",
                           str(port), "--cpu", str(cpu))
            self.serve(ways.IPERF, "iperf3", "-s", "-B", address, "-p", str(ways.IPERF))

    def serve(self, port, *command):
        server = Process(self, self.backend_host.ns, *command)
        wait_until(lambda: listens(server.pid, port), lambda: f"{server.name} to listen: {server.said()}")


class HalfLoad:
    """iperf3 at half of what one stream gets through the way, for as long as the block."""

    def __init__(self, lab):
        self.lab = lab

    def iperf(self, *more):
        return ["iperf3", "-J", "-c", VIP[4], "-p", str(ways.IPERF), "--connect-timeout", "3000", *more]

    def __enter__(self):
        done = self.lab.client.ns.run(*self.iperf("-t", "1"), check=False)
        answer = json.loads(done.stdout) if done.stdout.startswith("{") else {"error": done.stderr}
        if "error" in answer:
            raise Skip(f"iperf3: {answer['error']}")
        half = answer["end"]["sum_received"]["bits_per_second"] / 2
        self.process = Process(self.lab, self.lab.client.ns, *self.iperf("-t", "30", "-b", f"{half:.0f}"), name="load")
        return self

    def __exit__(self, failed, *_):
        ended = self.process.process.poll() is not None
        self.process.end()
        self.lab.processes.remove(self.process)
        if ended and failed is None:
            raise LabError(f"the load ended before its time: {self.process.said()[-300:]}")


def measure(lab, options, running, way, case):
    if case == "loaded":
        with HalfLoad(lab):
            return ask(lab, options, way, case, warm=0.5)
    return ask(lab, options, way, case, warm=0.1)


def ask(lab, options, way, case, warm):
    cpu, port = CASES[case]
    done = lab.client.ns.run(os.path.join(options.programs, "bench/pingpong"), "ask", "tcp", "--address", VIP[4], "--port",
                             str(port), "--cpu", str(cpu), "--warm", str(warm), "--seconds", "0.6" if options.quick else "3",
                             check=False)
    answer = ways.last_line(done, f"{way}: pingpong")
    if answer["lost"]:
        raise LabError(f"{way}: {answer['lost']} requests were not answered")
    return {q: answer[f"{q}_us"] for q in QUANTILES}


def starter(lab, options):
    return fabric_ways.starter(lab, options)


if __name__ == "__main__":
    sys.exit(run(__doc__, specs, PingFabric, starter, measure))
