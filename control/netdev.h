// SPDX-License-Identifier: BSD-2-Clause
// What a network interface says of itself through sysfs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dataplane/ip_address.h"

namespace xebec {

/// 0 if there is no such interface. Takes alternative names (ip link property), too, which sysfs does not.
int interface_index(const std::string& name);

/// The one name that sysfs has it by; empty if there is no such interface.
std::string name_of_interface(int ifindex);

/// As sysfs has it: 0 if it knows no such name. Another one than interface_index() says: the sysfs mounted here shows another network
/// namespace, and everything below is about that one's interface.
int sysfs_index(const std::string& name);

/// Receive queues in use now (/sys/class/net/IF/queues/rx-*); 0 if there is no such interface.
uint32_t receive_queues(const std::string& name);

/// 0 if there is no such interface.
uint32_t mtu_of(const std::string& name);

/// False also for an interface that is down, or not there.
bool has_carrier(const std::string& name);

std::optional<MacAddress> mac_of(const std::string& name);

}  // namespace xebec
