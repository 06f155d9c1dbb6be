// SPDX-License-Identifier: BSD-2-Clause
// Which backend a new flow gets, where the service's algorithm is not a function of the packet: turns, dice, and counts of
// flows. One worker's; nothing here is on a known flow's way.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/fleet_counts.h"
#include "dataplane/flow_counts.h"
#include "dataplane/table.h"

namespace xebec {

/// How many flows backends have, as this worker knows it.
struct FlowLoads {
  const FlowCounts& own;
  const FleetCounts& fleet;
  uint32_t workers = 1;
  uint64_t of(uint32_t backend) const { return fleet.estimate(backend, own.of(backend).open, workers); }
};

class Picker {
 public:
  /// Backends compared at most for one flow. All of them in nearly every service; of more, the least of 64 others each time
  /// is as good as the least of all for everybody but one flow, and a SYN costs no more than reading 16 cache lines.
  static constexpr uint32_t kMaxLooks = 64;
  /// Slots that maglev_bounded walks past full backends, before it takes the least loaded.
  static constexpr uint32_t kMaxSteps = 64;

  /// `worker`: its number; where turns begin, so that not all workers send their first flow to the same backend.
  explicit Picker(uint32_t worker);

  /// Index into service.backend_ids, or MaglevTable::kNone where no backend has weight. `hash`: of the packet, for the lookup
  /// array; `number`: the service's in the table. Not for algorithms that are by hash alone.
  uint16_t pick(const Service& service, uint32_t number, uint64_t hash, const FlowLoads& loads);

  /// Where the dice begin. At most once, before the first pick.
  void seed(uint64_t seed) { random_ = seed; }
  bool seeded() const { return random_ != 0; }

 private:
  /// Of a service's number. When numbers move to other services at a change, turns go on elsewhere: as good a place as any.
  struct State {
    uint32_t turn = kUnset;
    uint32_t picks_left = 0;  // until `sum` is made anew
    uint64_t sum = 0;         // open flows of all backends
  };
  static constexpr uint32_t kUnset = UINT32_MAX;

  uint32_t next_turn(State& state, uint32_t turns, uint32_t step, uint32_t workers) const;
  uint32_t below(uint32_t bound);
  uint16_t take_turn(const Service& service, State& state, uint32_t workers) const;
  uint16_t least(const Service& service, State& state, const FlowLoads& loads) const;
  uint16_t better_of_two(const Service& service, const FlowLoads& loads);
  uint16_t within_bound(const Service& service, State& state, uint64_t hash, const FlowLoads& loads) const;
  static uint64_t sum_of(const Service& service, State& state, const FlowLoads& loads);

  uint32_t worker_;
  uint64_t random_ = 0;
  std::vector<State> states_;  // by service number
};

}  // namespace xebec
