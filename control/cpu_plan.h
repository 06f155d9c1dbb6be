// SPDX-License-Identifier: BSD-2-Clause
// Which CPU each worker runs on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/preflight.h"

namespace xebec {

/// A served device's place in the machine. CPUs of another node reach its packets over the link between the nodes.
struct DevicePlace {
  std::string interface;
  std::optional<uint32_t> node;      ///< absent: it has none, or the machine is one node
  std::vector<uint32_t> local_cpus;  ///< of the node
};

struct CpuQuestion {
  uint32_t workers = 0;
  std::vector<uint32_t> wanted;   ///< as configured; empty: auto
  std::vector<uint32_t> allowed;  ///< to this process
  std::vector<DevicePlace> devices;
};

struct CpuPlan {
  std::vector<uint32_t> cpus;  ///< by worker
  std::vector<Finding> findings;
};

/// Configured CPUs in their order; else those of the devices' node first. Worker w gets the w-th, and from the beginning
/// again where there are fewer CPUs than workers.
CpuPlan plan_cpus(const CpuQuestion& question);

/// "0-3,8", the form of sysfs. nullopt: it is none.
std::optional<std::vector<uint32_t>> parse_cpu_list(std::string_view text);

/// From sysfs: the device's node and its CPUs.
DevicePlace place_of(const std::string& interface, std::optional<uint32_t> node);

}  // namespace xebec
