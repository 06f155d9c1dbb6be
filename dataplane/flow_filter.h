// SPDX-License-Identifier: BSD-2-Clause
// Some of the flows: those from a prefix, those of some backends, or both.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/ip_prefix.h"

namespace xebec {

struct FlowFilter {
  std::optional<IpPrefix> source{};
  std::optional<std::vector<uint32_t>>
      backends{};  ///< ids, ascending; absent: of all, also of those that are gone

  bool matches(const IpAddress& client, uint32_t backend) const {
    if (source && !source->contains(client)) return false;
    return !backends || std::binary_search(backends->begin(), backends->end(), backend);
  }
};

}  // namespace xebec
