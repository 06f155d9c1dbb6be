// SPDX-License-Identifier: BSD-2-Clause
// What a worker knows of the open flows that all workers together have of a backend. Its own it knows exactly, at any time.
// The others' it is told by the control thread, ten times a second (Engine::share_flow_counts): reading them itself
// would cost a cache miss a worker and backend for each new flow, and one number shared by all a contended line for each
// flow that begins or ends.
#pragma once

#include <cstdint>

#include "dataplane/counters.h"
#include "dataplane/limits.h"
#include "dataplane/zero_pages.h"

namespace xebec {

/// Of one worker, by backend id. Written by the control thread, read by the worker.
class FleetCounts {
 public:
  FleetCounts() : pages_(kMaxBackends * sizeof(Counter)), words_(static_cast<Counter*>(pages_.start())) {}

  /// `all`: open flows of all workers, `own`: those of this worker among them, at one moment.
  void set(uint32_t backend, uint32_t all, uint32_t own) {
    if (backend < kMaxBackends) words_[backend].set(all | uint64_t{own} << 32);
  }

  /// Open flows of all `workers` together, when this one has `own` now. Receive hashing gives all workers alike: what has
  /// come or gone here since has come and gone elsewhere, too. Without that, every worker for itself would fill up a
  /// backend that has just come, and together they would send it many times what it lacks. Where it is not so, the
  /// next message says so.
  uint64_t estimate(uint32_t backend, uint32_t own, uint32_t workers) const {
    if (workers <= 1 || backend >= kMaxBackends) return own;
    const uint64_t word = words_[backend].read();
    const int64_t since = int64_t{own} - static_cast<int64_t>(word >> 32);
    const int64_t all = static_cast<int64_t>(word & UINT32_MAX) + since * int64_t{workers};
    // Never less than what is known for sure.
    return static_cast<uint64_t>(all > int64_t{own} ? all : int64_t{own});
  }

 private:
  ZeroPages pages_;
  Counter* words_;
};

}  // namespace xebec
