# SPDX-License-Identifier: BSD-2-Clause
"""run.py CASE... [--preset-dir DIR] | --list: runs end-to-end cases against the programs of one build."""
import argparse
import os
import signal
import sys
import time

import cases
import test_algorithms
import test_capture
import test_change
import test_client_address
import test_day
import test_discovery
import test_explain
import test_failure
import test_forwarding
import test_fragments
import test_hardware
import test_health
import test_host
import test_icmp
import test_inject
import test_jumbo
import test_life
import test_metrics
import test_nat
import test_operations
import test_packets
import test_page
import test_quic
import test_real_servers
import test_sctp
import test_services
import test_watch

SKIPPED = 77  # what CTest takes for "did not run"


def stop(signum, _):
    raise TimeoutError(f"ended by {signal.Signals(signum).name}")


def refuse_to_run(programs):
    """Why nothing can run here, and whether that is a failure."""
    if os.geteuid() != 0:
        return "network namespaces and XDP need root", SKIPPED if "CI" not in os.environ else 1
    missing = [p for p in ("xebecd", "xebec") if not os.access(os.path.join(programs, p), os.X_OK)]
    return (f"not built: {', '.join(os.path.join(programs, p) for p in missing)}", 1) if missing else (None, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--list", action="store_true", help="NAME TIMEOUT LABELS of every case")
    parser.add_argument("--preset-dir", default="build/release", help="where xebecd and xebec are")
    args = parser.parse_args()
    if args.list:
        if unknown := cases.SANITIZED - set(cases.CASES):
            raise SystemExit(f"cases.SANITIZED names what is no case: {', '.join(sorted(unknown))}")
        for case in cases.CASES.values():
            print(case.name, case.timeout_s, cases.labels(case))
        return 0
    unknown = [name for name in args.cases if name not in cases.CASES]
    if unknown or not args.cases:
        print(f"no such case: {', '.join(unknown)}" if unknown else "name a case; --list has them", file=sys.stderr)
        return 2
    why, status = refuse_to_run(args.preset_dir)
    if why:
        print(f"{'SKIPPED' if status == SKIPPED else 'FAILED'}: {why}")
        return status
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
        signal.signal(signum, stop)
    env = cases.Env(os.path.abspath(args.preset_dir))
    for name in args.cases:
        began = time.monotonic()
        signal.alarm(cases.CASES[name].timeout_s)  # before CTest loses patience: its SIGKILL would leave the lab standing
        try:
            cases.CASES[name].function(env)
        except cases.Skipped as why:
            print(f"SKIPPED: {why}")
            return SKIPPED
        signal.alarm(0)
        print(f"ok {name} {time.monotonic() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
