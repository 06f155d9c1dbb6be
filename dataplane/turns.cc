// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/turns.h"

#include <algorithm>
#include <numeric>
#include <queue>
#include <tuple>
#include <utility>

namespace xebec {
namespace {

/// How often each has its turn.
std::vector<uint32_t> count_turns(std::span<const uint32_t> weights) {
  std::vector<uint32_t> counts(weights.begin(), weights.end());
  uint64_t sum = 0;
  uint32_t divisor = 0;
  for (const uint32_t weight : weights) {
    sum += weight;
    divisor = std::gcd(divisor, weight);
  }
  if (divisor == 0) return counts;
  if (sum / divisor <= kMaxTurns) {
    for (uint32_t& count : counts) count /= divisor;
    return counts;
  }
  // One each, and the rest by weight, the remainders to the largest of them.
  const auto weighted =
      static_cast<uint64_t>(std::count_if(weights.begin(), weights.end(), [](uint32_t w) { return w != 0; }));
  const uint64_t rest = kMaxTurns - weighted;
  std::vector<std::pair<uint64_t, std::size_t>> remainders;
  uint64_t given = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (weights[i] == 0) continue;
    const uint64_t scaled = weights[i] * rest;
    counts[i] = static_cast<uint32_t>(1 + scaled / sum);
    given += counts[i];
    remainders.emplace_back(scaled % sum, i);
  }
  std::stable_sort(remainders.begin(), remainders.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (std::size_t n = 0; given < kMaxTurns; ++n, ++given) ++counts[remainders[n].second];
  return counts;
}

}  // namespace

// Turn k of a backend that has c of L may come from time k * L / c on, and is due at (k + 1) * L / c; of those that may,
// the one that is due first comes. Then nobody is ever a whole turn before or behind (Tijdeman 1980); taking them simply in
// the order of their middles left some of 40 backends five turns off.
std::vector<uint16_t> make_turns(std::span<const uint32_t> weights) {
  const std::vector<uint32_t> counts = count_turns(weights);
  const uint64_t length = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  struct Turn {
    uint64_t from;
    double due;
    uint16_t index;
    uint32_t number;
  };
  const auto turn_of = [&](std::size_t index, uint32_t number) {
    const uint64_t count = counts[index];
    return Turn{(number * length + count - 1) / count,
                static_cast<double>((number + 1) * length) / static_cast<double>(count),
                static_cast<uint16_t>(index), number};
  };
  const auto later_from = [](const Turn& a, const Turn& b) {
    return std::tie(a.from, a.index) > std::tie(b.from, b.index);
  };
  const auto later_due = [](const Turn& a, const Turn& b) {
    return std::tie(a.due, a.index) > std::tie(b.due, b.index);
  };
  std::priority_queue<Turn, std::vector<Turn>, decltype(later_from)> waiting(later_from);
  std::priority_queue<Turn, std::vector<Turn>, decltype(later_due)> ready(later_due);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != 0) waiting.push(turn_of(i, 0));
  }
  std::vector<uint16_t> order;
  order.reserve(length);
  for (uint64_t now = 0; now < length; ++now) {
    while (!waiting.empty() && (waiting.top().from <= now || ready.empty())) {
      ready.push(waiting.top());
      waiting.pop();
    }
    const Turn turn = ready.top();
    ready.pop();
    order.push_back(turn.index);
    if (turn.number + 1 < counts[turn.index]) waiting.push(turn_of(turn.index, turn.number + 1));
  }
  return order;
}

}  // namespace xebec
