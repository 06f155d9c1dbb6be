// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/picker.h"

#include <algorithm>

namespace xebec {

Picker::Picker(uint32_t worker) : worker_(worker), states_(kMaxServices) {}

/// The turn that it is, and moves on.
uint32_t Picker::next_turn(State& state, uint32_t turns, uint32_t step, uint32_t workers) const {
  if (state.turn == kUnset) state.turn = static_cast<uint32_t>(uint64_t{turns} * worker_ / workers);
  const uint32_t turn = state.turn % turns;
  state.turn = (turn + step) % turns;
  return turn;
}

/// splitmix64 (Steele, Lea, Flood 2014), and the multiplication instead of a division.
uint32_t Picker::below(uint32_t bound) {
  random_ += 0x9e3779b97f4a7c15u;
  uint64_t x = random_;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  return static_cast<uint32_t>(((x >> 32) * bound) >> 32);
}

uint16_t Picker::take_turn(const Service& service, State& state, uint32_t workers) const {
  const auto& turns = *service.turns;
  return turns[next_turn(state, static_cast<uint32_t>(turns.size()), 1, workers)];
}

/// The one that has the fewest by weight once it has this one, too. The look begins elsewhere each time: equals take turns.
uint16_t Picker::least(const Service& service, State& state, const FlowLoads& loads) const {
  const auto count = static_cast<uint32_t>(service.backend_ids.size());
  const uint32_t looks = std::min(count, kMaxLooks);
  uint32_t at = next_turn(state, count, looks == count ? 1 : looks, loads.workers);
  uint16_t best = MaglevTable::kNone;
  uint64_t best_load = 0;
  for (uint32_t i = 0; i < looks; ++i, at = at + 1 == count ? 0 : at + 1) {
    const uint64_t load = loads.of(service.backend_ids[at]) + 1;
    if (best != MaglevTable::kNone && load * service.weights[best] >= best_load * service.weights[at])
      continue;
    best = static_cast<uint16_t>(at);
    best_load = load;
  }
  return best;
}

/// Both are drawn by weight, and compared by it.
uint16_t Picker::better_of_two(const Service& service, const FlowLoads& loads) {
  const auto& turns = *service.turns;
  const auto count = static_cast<uint32_t>(turns.size());
  const uint16_t one = turns[below(count)];
  uint16_t other = turns[below(count)];
  // Twice the same says nothing. Where one backend has nearly all the weight it mostly stays so, which is right.
  for (int i = 0; i < 3 && other == one; ++i) other = turns[below(count)];
  const uint64_t first = (loads.of(service.backend_ids[one]) + 1) * service.weights[other];
  const uint64_t second = (loads.of(service.backend_ids[other]) + 1) * service.weights[one];
  return second < first ? other : one;
}

/// Open flows of the service. Of many backends they are added up once in a while, a look a flow on average, and every
/// flow since is counted as one more on each worker.
uint64_t Picker::sum_of(const Service& service, State& state, const FlowLoads& loads) {
  if (state.picks_left != 0) {
    --state.picks_left;
    return state.sum += loads.workers;
  }
  state.sum = 0;
  for (const uint32_t id : service.backend_ids) state.sum += loads.of(id);
  state.picks_left = static_cast<uint32_t>(service.backend_ids.size()) / kMaxLooks;
  return state.sum;
}

/// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2017) on the Maglev array: a backend that has its
/// part, load_factor times its share of the flows, is passed by, and the next slot's is asked.
uint16_t Picker::within_bound(const Service& service, State& state, uint64_t hash,
                              const FlowLoads& loads) const {
  const uint64_t sum = sum_of(service, state, loads) + 1;
  const auto& slots = service.lookup->slots();
  auto at = static_cast<std::size_t>(service.lookup->slot_of(hash) - slots.data());
  uint16_t full = MaglevTable::kNone;
  for (uint32_t i = 0; i < kMaxSteps; ++i, at = at + 1 == slots.size() ? 0 : at + 1) {
    const uint16_t index = slots[at];
    if (index == full) continue;
    // load + 1 <= ceil(part), without a division
    const uint64_t load = loads.of(service.backend_ids[index]);
    if (load * service.weight_sum * 100 < sum * service.weights[index] * service.load_factor_percent)
      return index;
    full = index;
  }
  return least(service, state, loads);
}

uint16_t Picker::pick(const Service& service, uint32_t number, uint64_t hash, const FlowLoads& loads) {
  if (service.lookup->empty()) return MaglevTable::kNone;
  State& state = states_[number];
  switch (service.algorithm) {
    case Algorithm::rr:
    case Algorithm::wrr:
      return take_turn(service, state, loads.workers);
    case Algorithm::random: {
      const auto& turns = *service.turns;
      return turns[below(static_cast<uint32_t>(turns.size()))];
    }
    case Algorithm::lc:
    case Algorithm::wlc:
      return least(service, state, loads);
    case Algorithm::p2c:
      return better_of_two(service, loads);
    case Algorithm::maglev_bounded:
      return within_bound(service, state, hash, loads);
    case Algorithm::maglev:
    case Algorithm::source_hash:
      break;
  }
  return service.lookup->pick(hash);
}

}  // namespace xebec
