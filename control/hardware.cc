// SPDX-License-Identifier: BSD-2-Clause
// The hardware behind one interface.
#include "control/hardware.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "control/netdev.h"

namespace xebec {
namespace {

/// Links named lower_IF in the interface's directory (Documentation/ABI/testing/sysfs-class-net).
std::vector<std::string> lower_interfaces(const std::string& interface) {
  constexpr std::string_view kPrefix = "lower_";
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net/" + interface, error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(kPrefix)) names.push_back(name.substr(kPrefix.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// -1 in the file: the device has no node.
std::optional<uint32_t> node_of(const std::string& interface) {
  std::ifstream file("/sys/class/net/" + interface + "/device/numa_node");
  int node = -1;
  if (!(file >> node) || node < 0) return std::nullopt;
  return static_cast<uint32_t>(node);
}

}  // namespace

Hardware read_hardware(const std::string& interface) {
  Hardware hardware;
  Ethtool ethtool;
  hardware.driver = Ethtool::driver_info(interface);
  hardware.receive_queues = receive_queues(interface);
  hardware.mtu = mtu_of(interface);
  hardware.channels = ethtool.channels(interface);
  hardware.receive_hashing = ethtool.receive_hashing(interface);
  hardware.rings = ethtool.ring_sizes(interface);
  hardware.features = ethtool.active_features(interface);
  hardware.numa_node = node_of(interface);
  hardware.lower = lower_interfaces(interface);
  return hardware;
}

std::vector<double> queue_shares(const ReceiveHashing& hashing) {
  const auto& table = hashing.indirection;
  if (table.empty()) return {};
  std::vector<double> shares(*std::max_element(table.begin(), table.end()) + std::size_t{1});
  for (const uint32_t queue : table) shares[queue] += 1.0 / static_cast<double>(table.size());
  return shares;
}

}  // namespace xebec
