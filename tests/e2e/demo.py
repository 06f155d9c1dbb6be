# SPDX-License-Identifier: BSD-2-Clause
"""The demo: xebecd between a client and four backends, seen working. scripts/demo runs it; --help has the options."""
import argparse
import glob
import json
import os
import shutil
import signal
import sys
import tempfile
import time

import netns
import peers
from daemon import Daemon, config
from lab import VIP, Lab, LabError

KEPT = "xebec-demo"  # namespaces of a demo that was told to stay
SHARES_COUNT_FROM = 8000  # requests; with fewer, chance alone may leave 3 %


def narrate(text):
    print(text, file=sys.stderr, flush=True)


def stop_kept():
    """Ends a demo that was kept. Returns whether there was one."""
    names = [n for n in netns.listed() if n.startswith(KEPT + "-")]
    # The daemon goes first: it detaches from its interface while that is still there.
    for name in sorted(names, key=lambda n: not n.endswith("-lb")):
        netns.remove(name)
    for directory in glob.glob(os.path.join(tempfile.gettempdir(), KEPT + "-*")):
        shutil.rmtree(directory, ignore_errors=True)
    return bool(names)


def spread(lab, family, requests):
    """One connection a request; returns the report with shares (0..1) by backend address."""
    narrate(f"==> {requests} HTTP requests over IPv{family}, a connection each")
    report = peers.http(lab, family, requests)
    done = max(1, requests - report["failed"])
    report["share"] = {b.address[family]: round(report["share"].get(b.role, 0) / done, 4) for b in lab.backends}
    return report


def compare(before, after, gone):
    """What became of the connections that were not on the backend `gone`."""
    pairs = [(o, n) for o, n in zip(before, after) if o["backend"] != gone.role and not o["error"]]
    return {"surviving": len(pairs),
            "moved": sum(n["moved"] > 0 or n["backend"] != o["backend"] for o, n in pairs),
            "broken": sum(n["error"] is not None or n["answers"] <= o["answers"] for o, n in pairs)}


def remove_under_load(lab, daemon):
    """Takes a backend away under load and brings it back."""
    gone = lab.backends[1]
    kept = peers.keep(lab, VIP[4], connections=200)
    load = peers.http_load(lab, 4, concurrency=8)
    before = kept.report()
    narrate(f"==> xebec backend delete web4 {gone.address[4]}: with {len(before)} connections open and new ones coming")
    daemon.ask("backend", "delete", "web4", gone.address[4], "--now")
    daemon.wait_published()
    without = kept.report()
    narrate(f"==> xebec backend add web4 {gone.address[4]}")
    daemon.ask("backend", "add", "web4", gone.address[4])
    daemon.wait_published()
    removal, adding = compare(before, without, gone), compare(without, kept.report(), gone)
    kept.end()
    report = load.stop()
    return {"removed": gone.address[4], "surviving_connections": removal["surviving"],
            "moved_of_surviving": removal["moved"] + adding["moved"],
            "broken_of_surviving": removal["broken"] + adding["broken"],
            "connections_of_removed": len(before) - removal["surviving"],
            "new_connections_meanwhile": report["requests"], "cut_with_the_backend": report["failed"]}


def throughput(lab, seconds):
    iperf = peers.Iperf(lab, lab.backends[0])
    results = {}
    for protocol in ("tcp", "udp"):
        for family in (4, 6):
            narrate(f"==> iperf3: {protocol.upper()} over IPv{family}, {seconds} s")
            results[f"{protocol}_ipv{family}"] = iperf.measure(family, protocol, seconds, rate="500M", interval_s=1)
    return results


def perform(lab, daemon, args):
    began = time.monotonic()
    narrate('==> xebecd starts; a backend is "not usable" until the kernel has asked for its link-layer address')
    daemon.start()
    narrate(daemon.said().rstrip())
    ipv4, ipv6 = (spread(lab, family, args.requests) for family in (4, 6))
    change = remove_under_load(lab, daemon)
    iperf = throughput(lab, args.seconds)
    daemon.expect_conservation()
    return {"schema": "xebec.demo/1", "requests": ipv4["requests"] + ipv6["requests"],
            "failed": ipv4["failed"] + ipv6["failed"], "share": ipv4["share"], "share_ipv6": ipv6["share"],
            "moved_of_surviving": change["moved_of_surviving"], "broken_of_surviving": change["broken_of_surviving"],
            "removal": change, "iperf3_gbps": iperf["tcp_ipv4"]["gbps"], "iperf3": iperf,
            "stalls": sum(r["stalls"] for r in iperf.values()), "packets": daemon.packets(),
            "kernel_errors": lab.kernel_errors(), "seconds": round(time.monotonic() - began, 1)}


def faults(result):
    """What is not as Xebec promises: sentences, none if all is well."""
    found = []
    if result["failed"]:
        found.append(f"{result['failed']} requests failed")
    for key in ("moved_of_surviving", "broken_of_surviving", "stalls"):
        if result[key]:
            found.append(f"{key} is {result[key]}, should be 0")
    if result["requests"] >= SHARES_COUNT_FROM:
        for address, share in {**result["share"], **result["share_ipv6"]}.items():
            if abs(share - 0.25) > 0.03:
                found.append(f"{address} has {share:.1%}, should have 25 % +- 3 %")
    return found


def verdict(result):
    """One line for a demo without faults."""
    promises = ["no request failed", "no connection of another backend moved or broke", "nothing stalled"]
    if result["requests"] >= SHARES_COUNT_FROM:
        promises.append("each backend has its quarter")
    return f"scripts/demo: all is well: {', '.join(promises)}; every packet is accounted for"


def table(result):
    change, lines = result["removal"], []
    lines.append(f"requests                {result['requests']}, failed {result['failed']}")
    for address, share in {**result["share"], **result["share_ipv6"]}.items():
        lines.append(f"share of {address:<14} {share:6.1%}")
    stuck = change["surviving_connections"] - change["moved_of_surviving"] - change["broken_of_surviving"]
    lines.append(f"removal of {change['removed']:<12} {change['surviving_connections']} connections of the other backends:"
                 f" {stuck} stayed, {change['moved_of_surviving']} moved, {change['broken_of_surviving']} broken")
    for name, r in result["iperf3"].items():
        lines.append(f"iperf3 {name:<16} {r['gbps']:6.2f} Gbit/s, stalls {r['stalls']}, lost {r['lost_percent']} %")
    packets = result["packets"]
    lines.append(f"packets                 received {packets['received']} = forwarded {packets['forwarded']} + passed"
                 f" {packets['passed']} + replied {packets['replied']} + dropped {packets['dropped']}")
    return "\n".join(lines)


def how_to_look(lab, daemon):
    tool = f"{os.path.relpath(daemon.programs)}/xebec --socket {daemon.socket}"
    return "\n".join([
        "", "It is still there. Look:",
        f"  {tool} status",
        f"  {tool} backend list",
        f"  ip netns exec {lab.client.ns.name} curl http://{VIP[4]}/",
        f"  less {daemon.process.log}",
        "Stop it:", "  scripts/demo --stop"])


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    parser.add_argument("--keep", action="store_true", help="leave it running afterwards")
    parser.add_argument("--stop", action="store_true", help="end a demo that was kept")
    parser.add_argument("--requests", type=int, default=4000, metavar="N", help="per address family (4000)")
    parser.add_argument("--seconds", type=int, default=5, metavar="S", help="of each of the four iperf3 runs (5)")
    parser.add_argument("--preset", default="release", help="which build to run (release)")
    args = parser.parse_args()
    if args.requests < 1 or args.seconds < 1:
        parser.error("--requests and --seconds are at least 1")
    if os.geteuid() != 0:
        parser.exit(1, "scripts/demo: error: network namespaces and XDP need root\n")
    if stop_kept():
        narrate("stopped the demo that was kept")
    elif args.stop:
        narrate("no demo is running")
    return 0 if args.stop else show(args)


def show(args):
    def interrupted(signum, _):
        raise KeyboardInterrupt(signal.Signals(signum).name)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupted)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    lab, left = Lab(name=KEPT if args.keep else None), False
    try:
        narrate("==> a client, a bridge, the balancer and four backends, each in its network namespace")
        lab.__enter__()
        peers.serve(lab)
        daemon = Daemon(lab, os.path.join(root, "build", args.preset), config(lab))
        result = perform(lab, daemon, args)
        if not args.keep:
            daemon.stop()
        print(json.dumps(result) if args.json else table(result), flush=True)
        if args.keep:
            narrate(how_to_look(lab, daemon))
            left = True
        wrong = faults(result)
        for fault in wrong:
            narrate(f"scripts/demo: error: {fault}")
        if not wrong:
            narrate(verdict(result))
        return 1 if wrong else 0
    except LabError as error:
        narrate(f"scripts/demo: error: {error}")
        return 1
    except KeyboardInterrupt:
        narrate("scripts/demo: interrupted; cleaning up")
        return 130
    finally:
        if not left:
            lab.remove()


if __name__ == "__main__":
    sys.exit(main())
