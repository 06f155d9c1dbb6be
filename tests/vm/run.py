# SPDX-License-Identifier: BSD-2-Clause
"""run.py: boots Debian's kernels with a multi-queue virtio-net and runs the guest's suite in each. scripts/test-vm calls it,
and has what there is to say about its options."""
import argparse
import json
import os
import re
import signal
import sys
import time

import image
import kernels
import machine

SKIPPED = 77  # what CTest takes for "did not run"
ROOT = image.ROOT
LANE_S = {"quick": 1200, "all": 3600, "too-old": 300}  # for one machine, on a busy host
# What died before our programs ran says nothing about them.
BOOTS = 3
FEATURES = ("zero-copy", "busy poll", "multi-buffer", "inject", "TX metadata", "XDP_MAX_TX_SKB_BUDGET", "bond", "NAT ports by RSS",
            "modes")
# What a kernel says when something broke that no case may have noticed.
KERNEL_TROUBLE = re.compile(r"(BUG:|Oops|WARNING:|general protection|Call Trace|soft lockup|Out of memory).*")


class Report:
    """What was seen on one kernel."""

    def __init__(self, kernel):
        self.kernel, self.cases, self.facts, self.ended = kernel, [], {}, None
        self.heard, self.cpu_s = False, 0.0

    def take(self, line, cpu_s, out):
        """cpu_s: what the machine has used until now."""
        self.heard = True
        if match := re.match(r"(ok|not ok|skip) (\w+) ([\d.]+)(?:: (.*))?$", line):
            word, name, seconds, why = match.groups()
            self.add(word, name, float(seconds), why or "", out, round(cpu_s - self.cpu_s, 1))
            self.cpu_s = cpu_s
        elif line.startswith("fact "):
            fact = json.loads(line[5:])
            self.facts[fact["feature"]] = {"value": fact["value"], "how": fact["how"]}
        elif line.startswith("end "):
            self.ended = int(line[4:])
        elif line.startswith("# the lab stands"):  # what it took until then is no case's
            print(f"    {line}, {cpu_s:.1f} s of CPU", file=out, flush=True)
            self.cpu_s = cpu_s
        else:
            print("    " + line, file=out)

    def add(self, word, name, seconds, why, out, cpu_s=0.0):
        self.cases.append({"name": name, "verdict": word, "seconds": seconds, "cpu_seconds": cpu_s, "why": why})
        print(f"{word} {self.kernel.name}.{name} {seconds:.1f} s, {cpu_s:.1f} s of CPU{': ' + why if why else ''}", file=out,
              flush=True)

    def failed(self):
        return [c["name"] for c in self.cases if c["verdict"] == "not ok"]

    def json(self):
        return {"kernel": self.kernel.name, "version": self.kernel.version, "release": self.kernel.release,
                "cases": self.cases, "facts": self.facts}


def list_cases():
    """[(name, quick, kernels, rss)] without importing what only the guest has."""
    found = []
    directory = os.path.join(image.HERE, "guest")
    for name in sorted(n for n in os.listdir(directory) if n.startswith("test_")):
        with open(os.path.join(directory, name), encoding="utf-8") as f:
            for match in re.finditer(r"^@case\((.*)\)\ndef (\w+)", f.read(), re.M):
                found.append((match[2], "quick=True" in match[1], "too-old" if "too-old" in match[1] else "served",
                              "rss=True" in match[1]))
    return found


def chosen_cases(kernel, args, rss):
    wanted = "too-old" if kernel.name == "too-old" else "served"
    return [name for name, quick, kernels_, rss_ in list_cases()
            if kernels_ == wanted and rss_ == rss and (quick or not args.quick or wanted == "too-old") and re.search(args.regex, name)]


def boot(kernel, initramfs, console, wanted, rss, deadline_s, report, out):
    """One machine, and what its suite says. TimeoutError if it does not end."""
    report.heard, report.ended, report.cpu_s = False, None, 0.0
    for attempt in range(1, BOOTS + 1):
        with machine.Machine(kernel, initramfs, console, wanted, rss) as guest:
            for line in guest.lines(deadline_s):
                report.take(line, guest.cpu_s(), out)
        if report.heard:
            return
        print(f"    the kernel died before its first process (boot {attempt} of {BOOTS}): {console}", file=out, flush=True)


def run_kernel(kernel, args, out):
    report = Report(kernel)
    machines = [(rss, wanted) for rss in (False, True) if (wanted := chosen_cases(kernel, args, rss))]
    if not machines:
        return report
    began = time.monotonic()
    print(f"{kernel.name}: Linux {kernel.release} (Debian {kernel.version}), "
          f"{sum(len(wanted) for _, wanted in machines)} cases", file=out, flush=True)
    initramfs = image.build(args.directory, args.preset_dir, kernel)
    consoles = {rss: os.path.join(args.directory, f"console-{kernel.name}{'-rss' if rss else ''}-{os.getpid()}.log")
                for rss, _ in machines}
    group = "too-old" if kernel.name == "too-old" else ("quick" if args.quick else "all")
    try:
        for rss, wanted in machines:
            boot(kernel, initramfs, consoles[rss], wanted, rss, LANE_S[group], report, out)
    except TimeoutError as late:
        report.add("not ok", "ends_in_time", time.monotonic() - began, str(late), out)
    finally:
        os.remove(initramfs)
    missing = {name for _, wanted in machines for name in wanted} - {c["name"] for c in report.cases}
    if missing or report.ended is None:
        report.add("not ok", "runs_every_case", time.monotonic() - began, f"no word of {', '.join(sorted(missing)) or 'the end'}", out)
    if not args.regex and group == "all":
        unknown = [feature for feature in FEATURES if feature not in report.facts]
        report.add("not ok" if unknown else "ok", "report_has_a_word_on_every_feature", 0.0,
                   f"none on {', '.join(unknown)}" if unknown else "", out)
    trouble = None
    for console in consoles.values():
        with open(console, encoding="utf-8", errors="replace") as f:
            trouble = trouble or next((f"{m[0].strip()} ({console})" for line in f if (m := KERNEL_TROUBLE.search(line))), None)
    report.add("not ok" if trouble else "ok", "kernel_has_nothing_to_complain_about", 0.0, trouble or "", out)
    print(f"{kernel.name}: {time.monotonic() - began:.0f} s", file=out, flush=True)
    return report


def table(reports):
    rows = [("kernel", "release", *FEATURES)]
    for r in reports:
        rows.append((r.kernel.name, r.kernel.release, *(r.facts.get(f, {}).get("value", "-") for f in FEATURES)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def cannot_run():
    """Why no machine can be started here."""
    if os.geteuid() != 0:
        return "network namespaces and tap devices need root"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun: the machine's network devices are taps"
    for tool in ("qemu-system-x86_64", "cpio", "depmod", "busybox"):
        if image.which(tool) is None:
            return f"no {tool}: scripts/setup --vm installs it"
    return None


def skipped(why):
    """Also under CI: no mirror, no root and no tap are facts of a machine, not faults of the tree."""
    print(f"SKIPPED: {why}", flush=True)
    return SKIPPED


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/test-vm")
    parser.add_argument("--kernel", action="append", metavar="K", help=f"{', '.join(kernels.NAMES)}, or a version (6.12)")
    parser.add_argument("--quick", action="store_true", help="the few cases that scripts/test --all runs")
    parser.add_argument("-R", dest="regex", default="", metavar="REGEX", help="only cases whose name matches")
    parser.add_argument("--list", action="store_true", help="names the cases, and the kernels that are to be had")
    parser.add_argument("--json", metavar="FILE", help="write the report there, too")
    parser.add_argument("--preset-dir", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--directory", default=os.path.join(ROOT, "build", "vm"), help="where kernels and machines are kept")
    return parser.parse_args()


def show_list(have):
    for name, quick, which, _ in list_cases():
        print(f"{name}{' (quick)' if quick else ''}{' (too-old only)' if which == 'too-old' else ''}")
    try:
        for name in kernels.NAMES:
            print(f"kernel {name}: Debian {have.choose(name)}")
    except kernels.NoKernel as why:
        print(f"kernels: {why}")
    return 0


def main():
    args = arguments()
    have = kernels.Kernels(args.directory)
    if args.list:
        return show_list(have)
    why = cannot_run()
    if why:
        return skipped(why)
    missing = [p for p in ("xebecd", "xebec") if not os.access(os.path.join(args.preset_dir, p), os.X_OK)]
    if missing:
        print(f"FAILED: not built: {', '.join(missing)} in {args.preset_dir}")
        return 1
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, stop)
    reports, absent, began = [], [], time.monotonic()
    for name in args.kernel or kernels.NAMES:
        try:
            kernel = have.fetch(name)
        except kernels.NoKernel as reason:
            absent.append(f"{name}: {reason}")
            print(f"SKIPPED: kernel {name}: {reason}", flush=True)
            continue
        reports.append(run_kernel(kernel, args, sys.stdout))
    reports = [r for r in reports if r.cases]
    if not reports:
        return skipped("; ".join(absent) or f"no case matches {args.regex!r}")
    print("\n" + table(reports))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"schema": "xebec.test-vm/1", "kernels": [r.json() for r in reports], "absent": absent}, f, indent=1)
    failed = [f"{r.kernel.name}.{name}" for r in reports for name in r.failed()]
    cases = sum(len(r.cases) for r in reports)
    print(f"{cases - len(failed)} of {cases} passed or skipped on {len(reports)} kernels in {time.monotonic() - began:.0f} s"
          + (f"; FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def stop(signum, _):
    raise SystemExit(f"ended by {signal.Signals(signum).name}")


if __name__ == "__main__":
    sys.exit(main())
