// SPDX-License-Identifier: BSD-2-Clause
// Ring or inject: which way the packets go that a port has gathered.
#include "dataplane/inject_policy.h"

#include <algorithm>

namespace xebec {

InjectPolicy::Way InjectPolicy::choose(const Gathered& gathered, uint64_t now_ns) {
  if (gathered.misfit) {
    misfit_seen_ = true;
    last_misfit_ns_ = now_ns;
  }
  const bool ring_only = misfit_seen_ && now_ns - last_misfit_ns_ < kMisfitNs;
  const bool quiet = !injected_ || now_ns - last_injected_ns_ >= kQuietNs;
  Way way = Way::inject;
  if (ring_only) {
    way = quiet || !may_hold(gathered, now_ns, kQuietNs) ? Way::ring : Way::hold;
  } else if (gathered.packets < kWorthInjecting && quiet) {
    way = Way::ring;
  } else if (!injected_ && gathered.ring_busy) {
    way = may_hold(gathered, now_ns, kPatienceNs) ? Way::hold : Way::ring;
  }
  if (way == Way::inject) {
    const bool may_wait = !gathered.enough && !gathered.full && !gathered.stalled;
    if (may_wait && rest_ns(now_ns) != 0) return Way::gather;
    if (!gathered.enough) calls_paid_until_ns_ = std::max(calls_paid_until_ns_, now_ns) + kCallNs;
    // A debt that is not waited for must not grow without end.
    calls_paid_until_ns_ = std::min(calls_paid_until_ns_, now_ns + (kCallsAtOnce + 2) * kCallNs);
  }
  if (way == Way::hold) return way;
  holding_ = false;
  injected_ = way == Way::inject;
  if (injected_) last_injected_ns_ = now_ns;
  return way;
}

uint64_t InjectPolicy::rest_ns(uint64_t now_ns) const {
  constexpr uint64_t kCredit = kCallsAtOnce * kCallNs;
  const uint64_t debt = calls_paid_until_ns_ - std::min(calls_paid_until_ns_, now_ns);
  return debt <= kCredit ? 0 : std::min(debt - kCredit, kLookNs);
}

/// Order is worth a moment, but no packet; and not a moment each time where it never helps.
bool InjectPolicy::may_hold(const Gathered& gathered, uint64_t now_ns, uint64_t patience_ns) {
  if (gathered.full) return false;
  if (gave_up_ && now_ns - gave_up_ns_ < kNoHoldNs) return false;
  if (!holding_) {
    holding_ = true;
    held_since_ns_ = now_ns;
  }
  if (now_ns - held_since_ns_ < patience_ns) return true;
  gave_up_ = true;
  gave_up_ns_ = now_ns;
  return false;
}

}  // namespace xebec
