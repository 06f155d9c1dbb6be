// SPDX-License-Identifier: BSD-2-Clause
// What a change would do to connections: per service, what share of the lookup array and of the flows that live now would
// go to another backend.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataplane/table.h"

namespace xebec {

struct ServiceImpact {
  std::string service;
  double array_moved = 0;       ///< 0..1: of new connections' places; a service that comes or goes: 1
  uint64_t live_flows = 0;      ///< remembered now, all workers
  uint64_t flows_moved = 0;     ///< of these
  uint64_t flows_draining = 0;  ///< of these: stay with a backend that would get no new ones any more
  bool operator==(const ServiceImpact&) const = default;
};

/// Of every service that is in one of the tables and would not stay as it is. `live_flows`: of a backend id. Both
/// tables' ids mean the same backends. A stateless service's flows go where the array says, and none is remembered.
std::vector<ServiceImpact> impact_of(const Table& before, const Table& after,
                                     const std::function<uint64_t(uint32_t)>& live_flows);

}  // namespace xebec
