// SPDX-License-Identifier: BSD-2-Clause
// What a network interface says of itself through sysfs and ethtool.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace xebec {

/// 0 if there is no such interface.
int interface_index(const std::string& name);

/// Receive queues in use now (/sys/class/net/IF/queues/rx-*); 0 if there is no such interface.
uint32_t receive_queues(const std::string& name);

/// 0 if there is no such interface.
uint32_t mtu_of(const std::string& name);

/// Kernel driver ("veth", "virtio_net", "ice"); "unknown" if it does not say.
std::string driver_of(const std::string& name);

/// Value of an ethtool feature that older ioctls tell: LRO and receive VLAN stripping; empty if it cannot be
/// asked.
std::optional<bool> has_lro(const std::string& name);
std::optional<bool> strips_vlan_tags(const std::string& name);

}  // namespace xebec
