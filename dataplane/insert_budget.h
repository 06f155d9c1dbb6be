// SPDX-License-Identifier: BSD-2-Clause
// How many flows may still be remembered this second.
#pragma once

#include <algorithm>
#include <cstdint>

namespace xebec {

/// At most `per_second` a second in the long run, a second's worth at once. Counted in ns of `per_second`, so
/// that nothing is lost to rounding.
class InsertBudget {
 public:
  explicit InsertBudget(uint32_t per_second) : per_second_(per_second), credit_(per_second * kNsPerSecond) {}
  bool any(uint64_t now_ns) {
    const uint64_t elapsed = now_ns > filled_ns_ ? std::min(now_ns - filled_ns_, kNsPerSecond) : 0;
    credit_ = std::min(credit_ + elapsed * per_second_, per_second_ * kNsPerSecond);
    filled_ns_ = std::max(filled_ns_, now_ns);
    return credit_ >= kNsPerSecond;
  }
  void take() { credit_ -= kNsPerSecond; }

 private:
  static constexpr uint64_t kNsPerSecond = 1'000'000'000;
  uint64_t per_second_;
  uint64_t credit_;
  uint64_t filled_ns_ = 0;
};

}  // namespace xebec
