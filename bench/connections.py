# SPDX-License-Identifier: BSD-2-Clause
"""connections: new TCP connections a second through each way, how soon the daemon serves, and what it remembers in."""
import os
import sys
import time

import fabric_ways
import ways
from fabric import VIP, LabError, Pair, last_cpu
from latency import PingFabric
from turns import Figure, Spec, run

PEERS = ("in-kernel", "nftables", "haproxy", "nginx", "direct")
FLOWS, SERVICES, ROUNDS, RATE = 200_000, 200, 20, 100_000
ROOM = 1 << 18  # flows: a table that is nearly filled, as its memory comes by pages


def rate_specs(_):
    return [Spec(f"connections/{ours}-vs-{peer}", "connections/s", Figure(ours, "connect", "rate"),
                 Figure(peer, "connect", "rate")) for ours in ("inject", "ring") for peer in PEERS]


def measure_rate(lab, options, running, way, case):
    """A connection, a request, its answer, a reset; 32 at a time from CPU 0, answered on the last CPU."""
    done = lab.client.ns.run(os.path.join(options.programs, "bench/pingpong"), "connect", "--address", VIP[4], "--port",
                             str(ways.APART), "--cpu", "0", "--concurrency", "32", "--warm", "0.2",
                             "--seconds", "0.7" if options.quick else "3", check=False)
    answer = ways.last_line(done, f"{way}: pingpong")
    if answer["failed"] or not answer["connections"]:
        raise LabError(f"{way}: {answer['failed']} connections of {answer['connections']} failed")
    return {"rate": answer["connections"] / answer["seconds"]}


def daemon_specs(_):
    return [Spec("daemon/start-1-service", "ms", Figure("few", "start", "ms"), more_is_better=False),
            Spec(f"daemon/start-{SERVICES}-services", "ms", Figure("many", "start", "ms"), more_is_better=False),
            Spec("daemon/memory-per-flow", "bytes", Figure("few", "flows", "bytes"), more_is_better=False),
            Spec("daemon/memory-per-service", "bytes", Figure("many", "services", "bytes"), more_is_better=False)]


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


class Started:
    """Xebec on the ring with so many ports, each a TCP and a UDP service, and how long it took to serve."""
    last_bytes = {}  # of the daemon with few services, when it had just begun

    def __init__(self, lab, options, way):
        self.lab, self.options, self.way = lab, options, way
        ports = range(ways.PPS, ways.PPS + (1 if way == "few" else SERVICES // 2))
        self.running = ways.xebec(lab, options.programs, "ring", ports, flows=ROOM)

    def __enter__(self):
        if self.way == "many" and "few" not in self.last_bytes:
            with Started(self.lab, self.options, "few"):
                pass  # for its size
        begin = time.monotonic()
        self.daemon = self.running.__enter__()
        self.ms = (time.monotonic() - begin) * 1000
        self.bytes = resident_bytes(self.daemon.pid)
        self.last_bytes[self.way] = self.bytes
        return self

    def __exit__(self, *failed):
        return self.running.__exit__(*failed)


def measure_daemon(lab, options, running, way, case):
    if case == "start":
        return {"ms": running.ms}
    if case == "services":
        return {"bytes": (running.bytes - Started.last_bytes["few"]) / (SERVICES - 2)}
    command = [os.path.join(options.programs, "bench/generator"), "--own-mac", lab.client.mac, "--to-mac", lab.lb.mac,
               "--back-mac", lab.backends[0][1], "--back-count", "4", "--port", str(ways.PPS),
               "--rate", str(RATE), "--warm", "0", "--seconds", "1", "--protocol", "tcp"]
    ways.last_line(lab.client.ns.run(*command, check=False), "the generator")  # one flow: the frames' pages are there now
    before = resident_bytes(running.daemon.pid)
    # A packet that is lost is a flow that is not remembered yet: on a machine with other work it takes several rounds.
    for turn in range(ROUNDS):
        ways.last_line(lab.client.ns.run(*command, "--flows", str(FLOWS), "--first", str(turn * RATE),
                                             check=False), "the generator")
        used = sum(w["flows"]["used"] for w in running.daemon.ask("worker", "list")["workers"])
        if used > FLOWS * 3 / 4:
            break
    else:
        raise LabError(f"of {FLOWS} flows {used} are remembered")
    return {"bytes": (resident_bytes(running.daemon.pid) - before) / used}


def main():
    rates = run(__doc__, rate_specs, PingFabric, fabric_ways.starter, measure_rate)
    if rates != 0 or last_cpu() == 0:
        return rates
    # Once only: a second look at the same daemon finds the flows of the first, and its start is not measured here.
    return run(__doc__, daemon_specs, lambda _: Pair(), lambda lab, options: lambda way: Started(lab, options, way),
               measure_daemon, tries=1)


if __name__ == "__main__":
    sys.exit(main())
