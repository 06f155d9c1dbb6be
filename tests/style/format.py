#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""C++ is formatted as clang-format has it by .clang-format. What BPF programs share, by its licence line, has the kernel's style.

Releases of clang-format differ in their taste: this is Debian 12's, and with another one the test is skipped.
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM, RELEASE, SKIPPED = "clang-format", "14", 77
KERNEL_STYLE = "GPL-2.0-only OR BSD-2-Clause"


def skipped(why):
    print(f"SKIPPED: {why}")
    return SKIPPED


def release():
    try:
        said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except FileNotFoundError:
        return None
    return re.search(r"version (\d+)", said).group(1)


def sources():
    found = [p for top in ("bench", "bpf", "control", "dataplane", "tests") for p in sorted((ROOT / top).rglob("*"))
             if p.suffix in (".cc", ".h")]
    return [p for p in found if KERNEL_STYLE not in p.read_text().split("\n", 1)[0]]


def main():
    have = release()
    if have is None and "CI" not in os.environ:
        return skipped(f"{PROGRAM} is not installed: scripts/setup")
    if have is not None and have != RELEASE:
        return skipped(f"{PROGRAM} {have} is here, and the tree is formatted by {RELEASE}")
    files = sources()
    if len(files) < 300:
        print(f"{len(files)} files: this test would prove nothing")
        return 1
    done = subprocess.run([PROGRAM, "--dry-run", "--Werror", *map(str, files)], cwd=ROOT, timeout=300, check=False)
    if done.returncode != 0:
        print(f"mend: {PROGRAM} -i FILE")
    print(f"{len(files)} files")
    return done.returncode


sys.exit(main())
