// SPDX-License-Identifier: BSD-2-Clause
#include "control/timeout_classes.h"

#include <algorithm>

namespace xebec {

void TimeoutClasses::assign(const FlowTimeouts& defaults, const std::set<FlowTimeouts>& wanted) {
  ++assigned_;
  classes_[0] = {defaults, assigned_};
  std::vector<FlowTimeouts> without;
  for (const FlowTimeouts& timeouts : wanted) {
    if (timeouts == defaults) continue;
    const auto known = std::find_if(classes_.begin() + 1, classes_.end(),
                                    [&](const Class& c) { return c.timeouts == timeouts; });
    if (known == classes_.end()) {
      without.push_back(timeouts);
    } else {
      known->last_used = assigned_;
    }
  }
  for (const FlowTimeouts& timeouts : without) {
    if (classes_.size() < kTimeoutClasses) {
      classes_.push_back({timeouts, assigned_});
      continue;
    }
    const auto oldest =
        std::min_element(classes_.begin() + 1, classes_.end(),
                         [](const Class& a, const Class& b) { return a.last_used < b.last_used; });
    *oldest = {timeouts, assigned_};
  }
}

uint8_t TimeoutClasses::of(const FlowTimeouts& timeouts) const {
  const auto found =
      std::find_if(classes_.begin(), classes_.end(), [&](const Class& c) { return c.timeouts == timeouts; });
  return found == classes_.end() ? uint8_t{0} : static_cast<uint8_t>(found - classes_.begin());
}

std::vector<FlowTimeouts> TimeoutClasses::all() const {
  std::vector<FlowTimeouts> all;
  for (const Class& c : classes_) all.push_back(c.timeouts);
  return all;
}

}  // namespace xebec
