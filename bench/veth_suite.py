# SPDX-License-Identifier: BSD-2-Clause
"""veth-SIZE: packets a second through each way, between the generator on CPU 0 and the balancer on the last CPU."""
import os
import sys

import ways
from fabric import Pair, LabError, last_cpu
from turns import Figure, Spec, run

FLOWS = {"1": 1, "100k": 100_000, "1M": 1_000_000}
FRAME = {"64B": 64, "512B": 512, "1500B": 1514}
ROOM = 1 << 21  # flows either table has room for: twice what is sent, so that neither forgets one
RATES = (500_000, 2_000_000)



def against(size, ours, peer, target=None, flows="1", name=None):
    """Mpps beside Mpps, and beside them what a million packets cost in CPU seconds of the whole machine."""
    case = f"{size} {flows}"
    name = name or f"veth-{size}/{ours}-vs-{peer}"
    return [Spec(name, "Mpps", Figure(ours, case, "mpps"), Figure(peer, case, "mpps"), target),
            Spec(name + "-cpu", "CPU s/Mpackets", Figure(ours, case, "cpu"), Figure(peer, case, "cpu"),
                 more_is_better=False)]


def specs(options):
    rows = [*against("64B", "inject", "ring", 4.5), *against("64B", "inject", "testpmd", 4.0),
            *against("64B", "inject", "in-kernel", 0.45), *against("64B", "ring", "reflector", 0.95),
            *against("64B", "ring", "in-kernel"),
            *against("64B", "inject", "in-kernel", 1.5, "1M", "veth-64B/inject-1M-vs-in-kernel"),
            *against("64B", "ring", "in-kernel", None, "1M", "veth-64B/ring-1M-vs-in-kernel")]
    for way, target in (("inject", 0.8), ("ring", None)):
        rows.append(Spec(f"veth-64B/{way}-100k-vs-1-flow", "Mpps", Figure(way, "64B 100k", "mpps"),
                         Figure(way, "64B 1", "mpps"), target))
    for size in ("512B", "1500B"):
        for ours, peer in (("inject", "ring"), ("inject", "in-kernel"), ("ring", "reflector")):
            rows += against(size, ours, peer)
    for rate in RATES[:1] if options.quick else RATES:
        for way in ("ring", "inject", "in-kernel"):
            rows.append(Spec(f"veth-64B/{way}-loss-at-{rate // 1000}kpps", "% lost",
                             Figure(way, f"64B 1 at {rate}", "lost"), more_is_better=False))
    return rows


def starter(lab, options):
    def start(way):
        if way in ("ring", "inject"):
            return ways.xebec(lab, options.programs, way, [ways.PPS], flows=ROOM)
        if way == "in-kernel":
            return ways.in_kernel(lab, options.programs, [ways.PPS], flows=ROOM)
        return ways.reflector(lab, options.programs) if way == "reflector" else ways.testpmd(lab)
    return start


def measure(lab, options, running, way, case):
    size, flows, *rate = case.split()
    # Every way adds a flow's first packet to its table at another price; the second before it counts takes that.
    warm = 1.5 if flows == "1M" else 0.3
    back, count = (lab.client.mac, 1) if way == "testpmd" else (lab.backends[0][1], len(lab.backends))
    command = [os.path.join(options.programs, "bench/generator"), "--own-mac", lab.client.mac, "--to-mac", lab.lb.mac,
               "--back-mac", back, "--back-count", count, "--bytes", FRAME[size], "--flows", FLOWS[flows], "--port", ways.PPS,
               "--protocol", "tcp", "--warm", warm, "--seconds", 0.6 if options.quick else 2, "--cpu", 0]
    if rate:
        command += ["--rate", rate[1]]
    answer = ways.last_line(lab.client.ns.run(*map(str, command), check=False), "the generator")
    if answer["wrong"] or not answer["returned"]:
        raise LabError(f"{way}: of {answer['sent']} packets {answer['returned']} came back right, {answer['wrong']} wrong")
    if rate:
        return {"lost": 100 * (1 - answer["returned"] / answer["sent"])}
    millions = answer["returned"] / 1e6
    return {"mpps": millions / answer["seconds"], "cpu": sum(answer["cpu_seconds"]) / millions}


if __name__ == "__main__":
    if last_cpu() == 0:
        print("  veth: skipped: generator and balancer need a CPU each", file=sys.stderr)
        sys.exit(0)
    sys.exit(run(__doc__, specs, lambda _: Pair(), starter, measure))
