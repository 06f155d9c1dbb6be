// SPDX-License-Identifier: BSD-2-Clause
// What a network interface says of itself through sysfs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dataplane/ip_address.h"

namespace xebec {

/// 0 if there is no such interface.
int interface_index(const std::string& name);

/// Receive queues in use now (/sys/class/net/IF/queues/rx-*); 0 if there is no such interface.
uint32_t receive_queues(const std::string& name);

/// 0 if there is no such interface.
uint32_t mtu_of(const std::string& name);

/// False also for an interface that is down, or not there.
bool has_carrier(const std::string& name);

std::optional<MacAddress> mac_of(const std::string& name);

}  // namespace xebec
