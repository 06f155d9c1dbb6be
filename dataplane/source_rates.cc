// SPDX-License-Identifier: BSD-2-Clause
// New flows a second, by service or by source.
#include "dataplane/source_rates.h"

#include <algorithm>

#include "dataplane/ip_prefix.h"

namespace xebec {

SourceRates::SourceRates() : sets_(std::make_unique<std::array<Bucket, kWays>[]>(kSets)) {}

uint64_t SourceRates::key_of(const HashSecret& secret, uint64_t service, const IpAddress& source) {
  struct {
    uint64_t service;
    IpAddress source;
  } const counted{service, source.is_v4() ? source : masked(source, 64)};
  return secret.hash(&counted, sizeof counted);
}

bool SourceRates::take(uint64_t key, uint32_t per_second, uint64_t now_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  static_assert((kSets & (kSets - 1)) == 0);
  auto& set = sets_[key & (kSets - 1)];
  const auto tag = static_cast<uint32_t>(key >> 32);
  auto* const found = std::find_if(set.begin(), set.end(),
                                   [&](const Bucket& b) { return b.refilled_ns != 0 && b.tag == tag; });
  if (found == set.end()) {
    auto* const oldest = std::min_element(set.begin(), set.end(), [](const Bucket& a, const Bucket& b) {
      return a.refilled_ns < b.refilled_ns;
    });
    *oldest = {tag, per_second - 1, std::max<uint64_t>(now_ns, 1)};
    return true;
  }
  const uint64_t elapsed = now_ns - std::min(found->refilled_ns, now_ns);
  if (elapsed >= kSecond) {
    found->tokens = per_second;
    found->refilled_ns = now_ns;
  } else if (const uint64_t earned = elapsed * per_second / kSecond; earned > 0) {
    found->tokens = static_cast<uint32_t>(std::min<uint64_t>(per_second, found->tokens + earned));
    // Time that has not earned a whole token yet is kept; rounded up, so that it is never more than per_second.
    found->refilled_ns += (earned * kSecond + per_second - 1) / per_second;
  }
  found->tokens = std::min(found->tokens, per_second);  // the limit may be lower since
  if (found->tokens == 0) return false;
  --found->tokens;
  return true;
}

}  // namespace xebec
