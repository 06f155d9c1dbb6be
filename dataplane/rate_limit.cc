// SPDX-License-Identifier: BSD-2-Clause
// Tokens refilled with time: in whole tokens, without losing what has not earned one yet.
#include "dataplane/rate_limit.h"

#include <algorithm>

namespace xebec {

void RateLimit::set(uint32_t per_second, uint32_t burst) {
  if (per_second_ == per_second && burst_ == burst) return;
  // A limit that was closed opens with its burst, as a new one does.
  tokens_ = burst_ == 0 ? burst : std::min<uint64_t>(tokens_, burst);
  per_second_ = per_second;
  burst_ = burst;
}

bool RateLimit::take(uint64_t now_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  const uint64_t elapsed = now_ns - std::min(refilled_ns_, now_ns);
  const uint64_t seconds = elapsed / kSecond;
  if (per_second_ != 0 && seconds > burst_ / per_second_) {
    tokens_ = burst_;  // also keeps the products below from overflowing
    refilled_ns_ = now_ns;
  } else if (per_second_ != 0) {
    const uint64_t earned = seconds * per_second_ + elapsed % kSecond * per_second_ / kSecond;
    tokens_ = std::min(burst_, tokens_ + earned);
    // Time that has not earned a whole token yet is kept; rounded up, so that it is never more than
    // per_second.
    refilled_ns_ += (earned * kSecond + per_second_ - 1) / per_second_;
  }
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

}  // namespace xebec
