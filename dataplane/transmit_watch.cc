// SPDX-License-Identifier: BSD-2-Clause
// A watch on one TX ring.
#include "dataplane/transmit_watch.h"

namespace xebec {

TransmitWatch::Orders TransmitWatch::observe(uint64_t now_ms, const TransmitProgress& progress,
                                             bool link_up) {
  Orders orders;
  const bool first = !started_;
  const bool moved = !first && progress.consumed != consumed_;
  started_ = true;
  consumed_ = progress.consumed;
  if (first) {
    since_ms_ = now_ms;
    return orders;
  }
  if (moved || progress.waiting == 0 || !link_up) {
    since_ms_ = now_ms;
    // Of a ring that is only excused nothing new is known.
    orders.tell_recovered = stuck_ && (moved || progress.waiting == 0);
    if (orders.tell_recovered) stuck_ = false;
    return orders;
  }
  if (now_ms - since_ms_ < kStuckMs) return orders;
  orders.tell_stuck = !stuck_;
  if (!stuck_) ++times_;
  stuck_ = true;
  orders.kick = true;
  orders.reopen =
      now_ms - since_ms_ >= kReopenMs && (!ever_reopened_ || now_ms - reopened_ms_ >= kBetweenReopensMs);
  return orders;
}

void TransmitWatch::reopened(uint64_t now_ms) {
  started_ = false;  // its indices begin anew; it is well once it has moved
  ever_reopened_ = true;
  reopened_ms_ = now_ms;
}

}  // namespace xebec
