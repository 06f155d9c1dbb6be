// SPDX-License-Identifier: BSD-2-Clause
// How many flows a worker remembers of each backend, by backend id: what least connections compares and what a drain
// waits for. The flow table keeps them, at the moments when a flow begins, closes, moves and ends; none of these is one
// of a known flow's usual packets.
#pragma once

#include <cstdint>
#include <new>

#include "dataplane/counters.h"
#include "dataplane/flow_state.h"
#include "dataplane/limits.h"
#include "dataplane/zero_pages.h"

namespace xebec {

/// Flows of one backend.
struct FlowCount {
  uint32_t flows = 0;  ///< remembered
  uint32_t open = 0;   ///< of those: neither FIN nor RST was seen
  bool operator==(const FlowCount&) const = default;
};

/// One writer, many readers: both numbers of a backend are one word, so that a reader never sees one without the other.
class FlowCounts {
 public:
  FlowCounts() : pages_(kMaxBackends * sizeof(Counter)), counters_(static_cast<Counter*>(pages_.start())) {}

  FlowCount of(uint32_t backend) const {
    if (backend >= kMaxBackends) return {};
    const uint64_t word = counters_[backend].read();
    return {.flows = static_cast<uint32_t>(word), .open = static_cast<uint32_t>(word >> 32)};
  }

  void begins(uint32_t backend, FlowState state) { add(backend, weight_of(state)); }
  void ends(uint32_t backend, FlowState state) { add(backend, 0 - weight_of(state)); }
  /// A flow that was open is `closing` now.
  void closes(uint32_t backend) { add(backend, 0 - kOpen); }

 private:
  static constexpr uint64_t kOpen = uint64_t{1} << 32;
  static uint64_t weight_of(FlowState state) { return state == FlowState::closing ? 1 : 1 + kOpen; }
  // A sum of what was added before: neither half ever borrows from the other.
  void add(uint32_t backend, uint64_t n) {
    if (backend < kMaxBackends) counters_[backend].add(n);
  }

  ZeroPages pages_;
  Counter* counters_;
};

}  // namespace xebec
