// SPDX-License-Identifier: BSD-2-Clause
// The counting of good and bad results.
#include "control/health_state.h"

#include <algorithm>
#include <bit>

namespace xebec {
namespace {

// One for each doubling and the one that is free.
constexpr std::size_t kFallsKept = std::countr_zero(kMaxDamping) + 1;
static_assert(std::has_single_bit(kMaxDamping));

}  // namespace

HealthState::Change HealthState::take(bool good, Time now) {
  streak_ = streak_ > 0 && is_good_ == good ? streak_ + 1 : 1;
  is_good_ = good;
  if (good && health_ != Health::up && streak_ >= rise_needed(now)) {
    health_ = Health::up;
    fresh_ = false;
    return Change::went_up;
  }
  if (!good && health_ != Health::down && streak_ >= fall_needed()) {
    health_ = Health::down;
    fresh_ = false;
    falls_.push_back(now);
    if (falls_.size() > kFallsKept) falls_.pop_front();
    return Change::went_down;
  }
  fresh_ = false;
  return Change::none;
}

bool HealthState::condemn(Time now) {
  if (health_ == Health::down) return false;
  health_ = Health::down;
  streak_ = 0;
  fresh_ = false;
  falls_.push_back(now);
  if (falls_.size() > kFallsKept) falls_.pop_front();
  return true;
}

void HealthState::forget() {
  health_ = Health::unknown;
  streak_ = 0;
}

void HealthState::restart(HealthRules rules) {
  rules_ = rules;
  streak_ = 0;
  fresh_ = true;
  falls_.clear();
}

uint32_t HealthState::recent_falls(Time now) const {
  return static_cast<uint32_t>(
      std::count_if(falls_.begin(), falls_.end(), [&](Time fall) { return now - fall < kFlapWindow; }));
}

uint32_t HealthState::rise_needed(Time now) const {
  if (fresh_) return 1;
  const uint32_t falls = recent_falls(now);
  return rules_.rise * std::min(kMaxDamping, falls > 1 ? 1u << (falls - 1) : 1u);
}

}  // namespace xebec
