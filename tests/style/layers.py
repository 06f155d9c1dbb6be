#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The arrows of docs/architecture.md, read off the includes: a layer includes only itself and what is below it."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The pure files are the sources CMake gives to xebec_core, and the headers of the same name.
CORE_LIST = re.search(r"add_library\(xebec_core STATIC(.*?)\)", (ROOT / "dataplane/CMakeLists.txt").read_text(), re.S).group(1)
CORE_SOURCES = {pathlib.Path(name).stem for name in CORE_LIST.split()}
# Pure headers without a source of their own.
CORE_HEADERS = {"algorithm", "capture_limits", "counters", "decision_name", "drop_reason", "fleet_counts", "flow_bucket", "flow_counts", "flow_filter", "flow_key",
                "flow_reader", "flow_state", "flow_timeouts", "hash_input", "icmp_error_kind", "insert_budget", "latency", "last_service", "limits", "nat_config", "nat_index",
                "outer_header", "plain_packet", "plain_rewrite", "tcp_options", "wire"}
PURE_SYSTEM = re.compile(r"^(sys/mman\.h|arpa/inet\.h|immintrin\.h|emmintrin\.h|nmmintrin\.h|xxhash\.h|[a-z_]+)$")  # C++ headers have no slash, no .h


def faults(path):
    layer = path.relative_to(ROOT).parts[0]
    pure = layer == "dataplane" and path.stem in CORE_SOURCES | CORE_HEADERS
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not found:
            continue
        quoted, name = found.group(1) == '"', found.group(2)
        where = f"{path.relative_to(ROOT)}:{number}"
        if layer == "dataplane" and quoted and name.startswith(("control/", "bpf/")):  # <bpf/...> is libbpf
            yield f"{where}: the data plane includes {name}"
        if pure and quoted and name.startswith("dataplane/"):
            if pathlib.Path(name).stem not in CORE_SOURCES | CORE_HEADERS:
                yield f"{where}: pure code includes {name}, which does I/O"
        if pure and not quoted and not PURE_SYSTEM.match(name):
            yield f"{where}: pure code includes <{name}>"
        if layer == "bpf" and not name.startswith(("linux/", "bpf/", "abi.h", "stdbool.h")):
            yield f"{where}: a BPF program includes {name}"


def main():
    files = [p for layer in ("bpf", "dataplane", "control") for p in sorted((ROOT / layer).glob("*.[ch]*"))]
    found = [fault for path in files for fault in faults(path)]
    for path in files:
        if "SPDX-License-Identifier" not in path.read_text().split("\n", 1)[0]:
            found.append(f"{path.relative_to(ROOT)}:1: no SPDX line")
    for fault in found:
        print(fault)
    if not CORE_SOURCES or len(files) < 20:
        print("the list of files is empty: this test would prove nothing")
        return 1
    print(f"{len(files)} files, {len(found)} faults")
    return 1 if found else 0


sys.exit(main())
