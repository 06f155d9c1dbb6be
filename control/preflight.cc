// SPDX-License-Identifier: BSD-2-Clause
#include "control/preflight.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/utsname.h>

#include <fstream>

#include <fmt/format.h>

#include "bpf/abi.h"
#include "control/hardware_advice.h"
#include "control/libbpf_log.h"
#include "control/netdev.h"
#include "control/text_file.h"

namespace xebec {
namespace {

struct Capability {
  unsigned bit;  // linux/capability.h
  const char* name;
};
// Load and attach; bind; nothing else (measured on 6.18). CAP_IPC_LOCK only where RLIMIT_MEMLOCK is small.
constexpr Capability kNeeded[] = {{39, "CAP_BPF"}, {12, "CAP_NET_ADMIN"}, {13, "CAP_NET_RAW"}};

// Before CAP_BPF and CAP_PERFMON there was only CAP_SYS_ADMIN, and it still stands for both.
constexpr uint64_t kSysAdmin = 1ull << 21;
constexpr uint64_t kPerfmon = 1ull << 38;

uint64_t effective_capabilities() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("CapEff:")) return std::stoull(line.substr(7), nullptr, 16);
  }
  return 0;
}

}  // namespace

std::string to_string(const Finding& finding) {
  constexpr const char* kLevels[] = {"ok", "warn", "fail"};
  std::string line = fmt::format("{:<5} {}", kLevels[static_cast<std::size_t>(finding.level)], finding.text);
  if (!finding.mend.empty()) line += fmt::format(" (mend: {})", finding.mend);
  return line;
}

std::vector<std::string> missing_capabilities() {
  const uint64_t have = effective_capabilities();
  std::vector<std::string> missing;
  for (const Capability& c : kNeeded) {
    const bool has = (have & (1ull << c.bit)) != 0 || (c.bit == 39 && (have & kSysAdmin) != 0);
    if (!has) missing.emplace_back(c.name);
  }
  return missing;
}

void check_host(Preflight& out) {
  utsname name{};
  uname(&name);
  out.ok(fmt::format("kernel {} {}", name.release, name.machine));
  const auto missing = missing_capabilities();
  if (missing.empty()) {
    out.ok("capabilities CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW");
    // The youngest helper that the shim cannot do without. Asked for, not read off the version: distributions carry helpers
    // back. What it needs of 5.12 (bpf/shim.bpf.c) no probe tells: 5.11's verifier refuses the program, in its own words.
    LibbpfLog log;
    if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_ktime_get_coarse_ns, nullptr) == 0) {
      out.fail(
          fmt::format("kernel {} is too old: it lacks bpf_ktime_get_coarse_ns, which Linux has from 5.11 on",
                      name.release),
          "a newer kernel");
    }
    if ((effective_capabilities() & (kPerfmon | kSysAdmin)) == 0) {
      out.warn(
          "without CAP_PERFMON the verifier guards the shim against speculation: some 35 to 135 ns more a "
          "packet",
          "grant CAP_PERFMON for the start");
    }
  } else {
    out.fail(fmt::format("missing capabilities: {}", fmt::join(missing, ", ")), "run as root, or grant them");
  }
  if (first_line("/proc/sys/net/core/bpf_jit_enable") == "0") {
    out.warn("the BPF JIT is off: the shim is interpreted", "sysctl -w net.core.bpf_jit_enable=1");
  }
  const std::string huge = first_line("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  if (huge.empty() || huge == "0") {
    out.ok(
        "no free hugepages: packet memory is on ordinary pages, with transparent hugepages where the kernel "
        "makes them");
  } else {
    out.ok(fmt::format("{} free hugepages of 2 MiB", huge));
  }
}

Finding packet_memory(uint32_t worker, const Umem& umem, bool in_map, HugepageMode wanted) {
  constexpr uint64_t kHugepage = 2u << 20;
  const uint64_t bytes = uint64_t{umem.count()} * kFrameSize;
  std::string text = fmt::format("worker {}: {} MiB of packet memory on ", worker, bytes >> 20);
  if (umem.hugepages()) return {Finding::Level::ok, text + "reserved hugepages", {}};
  if (in_map) return {Finding::Level::ok, text + "small pages (a BPF map, for injection)", {}};
  text += "ordinary pages";
  if (wanted == HugepageMode::off) return {Finding::Level::ok, text + " (\"hugepages\": \"off\")", {}};
  return {Finding::Level::ok, text,
          fmt::format("{} free hugepages: sysctl vm.nr_hugepages", bytes / kHugepage)};
}

void check_interface(const InterfaceConfig& interface, Preflight& out) {
  const std::string& name = interface.name;
  const int index = interface_index(name);
  if (index == 0) {
    out.fail(fmt::format("{}: no such interface", name), "ip link show");
    return;
  }
  if (const std::string own = name_of_interface(index); own != name) {
    out.fail(fmt::format("{}: is an alternative name of {}, and sysfs knows only that one", name, own),
             fmt::format("\"name\": \"{}\"", own));
    return;
  }
  if (sysfs_index(name) != index) {
    out.fail(fmt::format("{}: /sys shows another network namespace, and not this interface", name),
             "start it by ip netns exec NAME, which mounts the namespace's own");
    return;
  }
  for (const Finding& finding : advise(interface, read_hardware(name))) out.add(finding);
}

}  // namespace xebec
