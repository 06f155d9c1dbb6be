// SPDX-License-Identifier: BSD-2-Clause
// Which CPU each worker runs on.
#include "control/cpu_plan.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include <fmt/format.h>

namespace xebec {
namespace {

// The kernel numbers CPUs below CONFIG_NR_CPUS, at most 8192.
constexpr uint32_t kMaxCpus = 8192;

bool contains(const std::vector<uint32_t>& list, uint32_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value >= kMaxCpus) return std::nullopt;
  return value;
}

/// Those that are local to the first device with a place, then the rest.
std::vector<uint32_t> local_first(const CpuQuestion& question) {
  std::vector<uint32_t> cpus = question.allowed;
  for (const DevicePlace& device : question.devices) {
    if (!device.node) continue;
    std::stable_partition(cpus.begin(), cpus.end(),
                          [&](uint32_t cpu) { return contains(device.local_cpus, cpu); });
    break;
  }
  return cpus;
}

void warn(CpuPlan& plan, std::string text, std::string mend) {
  plan.findings.push_back({Finding::Level::warn, std::move(text), std::move(mend)});
}

void find_distance(const CpuQuestion& question, CpuPlan& plan) {
  for (const DevicePlace& device : question.devices) {
    if (!device.node) continue;
    std::vector<uint32_t> far;
    for (const uint32_t cpu : plan.cpus) {
      if (!contains(device.local_cpus, cpu) && !contains(far, cpu)) far.push_back(cpu);
    }
    if (far.empty()) continue;
    warn(plan,
         fmt::format(
             "{}: it is on NUMA node {}, workers on CPU {} are not: every packet crosses between nodes",
             device.interface, *device.node, fmt::join(far, ", ")),
         device.local_cpus.empty()
             ? "a device on the node of the CPUs"
             : fmt::format("\"cpus\": [{}], or fewer queues", fmt::join(device.local_cpus, ", ")));
  }
}

}  // namespace

CpuPlan plan_cpus(const CpuQuestion& question) {
  CpuPlan plan;
  const std::vector<uint32_t> order = question.wanted.empty() ? local_first(question) : question.wanted;
  if (order.empty()) return plan;
  for (uint32_t w = 0; w < question.workers; ++w) plan.cpus.push_back(order[w % order.size()]);
  for (uint32_t w = 0; w < question.workers; ++w) {
    if (contains(question.allowed, plan.cpus[w])) continue;
    warn(plan,
         fmt::format("worker {}: CPU {} is not there or not allowed; the worker is not pinned", w,
                     plan.cpus[w]),
         "\"cpus\": \"auto\"");
  }
  if (question.workers > order.size()) {
    warn(plan,
         fmt::format("{} workers share {} CPU{}: they take turns", question.workers, order.size(),
                     order.size() == 1 ? "" : "s"),
         fmt::format("{} queues, or more under \"cpus\"", order.size()));
  }
  find_distance(question, plan);
  return plan;
}

std::optional<std::vector<uint32_t>> parse_cpu_list(std::string_view text) {
  std::vector<uint32_t> cpus;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t dash = part.find('-');
    const auto first = number(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : number(part.substr(dash + 1));
    if (!first || !last || *first > *last) return std::nullopt;
    for (uint32_t cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) return std::nullopt;
  }
  return cpus;
}

DevicePlace place_of(const std::string& interface, std::optional<uint32_t> node) {
  DevicePlace place{interface, node, {}};
  if (!node) return place;
  std::ifstream file(fmt::format("/sys/devices/system/node/node{}/cpulist", *node));
  std::string line;
  if (std::getline(file, line)) place.local_cpus = parse_cpu_list(line).value_or(std::vector<uint32_t>{});
  // A node of memory alone has no CPU that would be near.
  if (place.local_cpus.empty()) place.node.reset();
  return place;
}

}  // namespace xebec
