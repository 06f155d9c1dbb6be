// SPDX-License-Identifier: BSD-2-Clause
// The hardware behind one interface, as far as it matters to who serves its queues: driver, queues, receive hashing,
// offloads, place in the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/ethtool.h"

namespace xebec {

struct Hardware {
  DriverInfo driver;
  uint32_t receive_queues = 0;  ///< in use now
  uint32_t mtu = 0;
  std::optional<Channels> channels;               ///< absent: the driver has a fixed number of queues
  std::optional<ReceiveHashing> receive_hashing;  ///< absent: the driver does not tell, or has one queue
  std::optional<RingSizes> rings;
  std::optional<FeatureNames> features;
  std::optional<uint32_t> numa_node;  ///< absent: a machine of one node, or a device without a place (veth)
  std::vector<std::string> lower;     ///< interfaces this one stands on: a bond's members, a VLAN's parent
  bool has(const char* feature) const { return features && features->contains(feature); }
};

/// Of an interface that is there.
Hardware read_hardware(const std::string& interface);

/// Shares of the indirection table by queue; sums to 1. Empty without a table.
std::vector<double> queue_shares(const ReceiveHashing& hashing);

}  // namespace xebec
