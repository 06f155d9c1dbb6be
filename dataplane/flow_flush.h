// SPDX-License-Identifier: BSD-2-Clause
// An order to a worker to forget flows and translated connections: a mailbox of one place, and work in small pieces between
// batches.
//
//   control thread                          worker, once a round
//   order(): place := filter (release)      work():  filter := place (acquire); forgets what matches in the next buckets;
//   done():  place == null (acquire)                 at the end, place := null (release)
//
// The filter is the control thread's, which does not touch it before the place is empty again.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/counters.h"
#include "dataplane/flow_filter.h"

namespace xebec {

class FlowTable;
class NatTable;

class FlowFlush {
 public:
  // ---- Control thread ----

  bool done() const { return place_.load(std::memory_order_acquire) == nullptr; }
  /// Only when done().
  void order(FlowFilter filter);
  uint64_t flows() const { return flows_.read(); }  ///< forgotten by the last order so far
  uint64_t mappings() const { return mappings_.read(); }

  // ---- Worker ----

  bool ordered() const { return place_.load(std::memory_order_relaxed) != nullptr; }
  /// One piece.
  void work(FlowTable& flows, NatTable& nat);

 private:
  std::atomic<const FlowFilter*> place_{nullptr};
  std::unique_ptr<const FlowFilter> filter_;  // control thread
  uint32_t bucket_ = 0;                       // worker: where to go on
  uint32_t slot_ = 0;
  Counter flows_, mappings_;
};

}  // namespace xebec
