// SPDX-License-Identifier: BSD-2-Clause
// Up, down or unknown: what a row of check results makes of one backend. Pure; time is passed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "control/health_config.h"

namespace xebec {

struct HealthRules {
  uint32_t rise = 2;
  uint32_t fall = 3;
  bool operator==(const HealthRules&) const = default;
};

/// A backend that went down several times within kFlapWindow has to answer well for longer before it is believed: each
/// time beyond the first doubles the rise, up to kMaxDamping times it. An hour-long flap thus moves flows a few dozen
/// times and not 36,000 times; a single outage costs nothing.
inline constexpr std::chrono::seconds kFlapWindow{60};
inline constexpr uint32_t kMaxDamping = 16;

class HealthState {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Change : uint8_t { none, went_up, went_down };

  HealthState(HealthRules rules, Health initial) : rules_(rules), health_(initial) {}

  /// One check's result. Counts are of consecutive results: one of the other kind begins anew.
  Change take(bool good, Time now);
  /// Down without a count: something else has counted. False: it was down already.
  bool condemn(Time now);
  /// Nothing is known any more; its falls stay in mind.
  void forget();
  /// The check is another one from here on: what is known stays until its first result, which decides alone.
  void restart(HealthRules rules);

  Health health() const { return health_; }
  uint32_t streak() const { return streak_; }       ///< results of the last kind in a row
  bool streak_is_good() const { return is_good_; }  ///< meaningful if streak() > 0
  /// Good results in a row that make it up, with what flapping adds.
  uint32_t rise_needed(Time now) const;
  uint32_t fall_needed() const { return fresh_ ? 1 : rules_.fall; }
  uint32_t recent_falls(Time now) const;

 private:
  HealthRules rules_;
  Health health_;
  uint32_t streak_ = 0;
  bool is_good_ = false;
  bool fresh_ = false;
  std::deque<Time> falls_;  ///< at most as many as tell anything
};

}  // namespace xebec
