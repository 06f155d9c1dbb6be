// SPDX-License-Identifier: BSD-2-Clause
// How a backend that has just come, or come back, gets its weight: little by little, so that cold caches and the crowd that
// least connections sends to whoever has nothing do not knock it down again. Policy only: the caller has the clock and builds
// the tables.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "control/config.h"

namespace xebec {

class SlowStart {
 public:
  /// (service name, address)
  using Key = std::pair<std::string, IpAddress>;

  static constexpr uint32_t kWhole = 1000;
  /// What it begins with, in permille: little enough for cold caches, and enough to be seen.
  static constexpr uint32_t kFirst = 100;
  /// A ramp has so many steps at most. Each is a table, and moves some slots of the lookup array.
  static constexpr uint32_t kSteps = 20;
  /// From one step to the next, however many backends of whatever services are on their way: two tables a second.
  static constexpr uint64_t kStepMs = 500;
  /// Backends that come within so long after their service's first are its first ones: neighbours that answer one after the
  /// other when the daemon starts. There is no older one beside them to take the flows that they would not.
  static constexpr uint64_t kSettleMs = 5000;

  /// Permille of its weight that a backend has now if it takes new flows; kWhole unless it is on its way. Of one that was not
  /// taking when observe() last looked: what it will begin with.
  uint32_t permille(const ServiceConfig& service, const IpAddress& backend, uint64_t now_ms) const;

  /// Looks who takes new flows, after every table. `takes`: does it, of a backend of the table.
  void observe(const Config& config, const std::function<bool(const Key&)>& takes, uint64_t now_ms);

  /// When the next step is due, at least kStepMs after the last look; nullopt: nobody is on his way.
  std::optional<uint64_t> next_step_ms(const Config& config, uint64_t now_ms) const;

 private:
  bool settles(const std::string& service, uint64_t now_ms) const;

  static constexpr uint64_t kLongAgo = 0;
  std::map<Key, uint64_t> since_ms_;          // of those that take new flows
  std::map<std::string, uint64_t> first_ms_;  // of a service: when one of its backends first did
};

}  // namespace xebec
