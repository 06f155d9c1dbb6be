// SPDX-License-Identifier: BSD-2-Clause
// A service as the shim knows it: what its maps hold, and what of a table they are to hold.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/ip_address.h"
#include "dataplane/table.h"

namespace xebec {

struct SteeredService {
  IpAddress vip;
  uint16_t port = 0;  ///< host order, 0 = any
  uint8_t protocol = 0;
  auto operator<=>(const SteeredService&) const = default;
};

/// What has to be steered for `table` to see it; sorted.
std::vector<SteeredService> services_of(const Table& table);

}  // namespace xebec
