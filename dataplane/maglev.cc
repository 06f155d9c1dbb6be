// SPDX-License-Identifier: BSD-2-Clause
// Maglev consistent hashing: permutations, weighted turns, and the array they fill.
#include "dataplane/maglev.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>
#include <tuple>

#include "dataplane/limits.h"

#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

namespace xebec {
namespace {

/// A walk over all slots: offset, offset + skip, ... modulo the prime size visits each once.
struct Walker {
  uint32_t next;  // the slot it will try first on its next turn
  uint32_t skip;
  uint32_t inverse;  // of skip modulo size; 0: not needed yet
  uint16_t index;    // into the caller's list
};

/// Backends of one weight have all their turns at the same times, so the schedule is kept per weight, not per
/// backend: 4,095 backends of weight 1 beside one of weight 1000 cost no more than 4,096 equal ones.
struct Turn {
  uint64_t twice_time_by_weight;  // 2 * time * weight: 0 for the first turn, 2k - 1 for the k-th
  uint32_t weight;
  uint32_t first;  // its walkers: [first, last)
  uint32_t last;

  /// Order of a min-heap: earlier first, at equal times the heavier.
  static bool later(const Turn& a, const Turn& b) {
    const uint64_t left = a.twice_time_by_weight * b.weight;
    const uint64_t right = b.twice_time_by_weight * a.weight;
    return left != right ? left > right : a.weight < b.weight;
  }
};

/// One bit per slot: 8 KiB for 65,537 slots, so that the walk stays in the first-level cache where the slots
/// do not.
class TakenSlots {
 public:
  explicit TakenSlots(uint32_t size) : words_((static_cast<std::size_t>(size) + 63) / 64) {}
  bool has(uint32_t slot) const { return (words_[slot / 64] >> (slot % 64)) & 1u; }
  void add(uint32_t slot) { words_[slot / 64] |= uint64_t{1} << (slot % 64); }

 private:
  std::vector<uint64_t> words_;
};

Walker make_walker(std::string& buffer, const MaglevBackend& backend, uint64_t seed, uint32_t size,
                   uint16_t index) {
  // address, port, size, service: fixed lengths before the one that varies, so that no two inputs run
  // together.
  std::memcpy(buffer.data(), backend.address.bytes.data(), 16);
  std::memcpy(buffer.data() + 16, &backend.port, 2);
  std::memcpy(buffer.data() + 18, &size, 4);
  const uint64_t offset_hash = XXH3_64bits_withSeed(buffer.data(), buffer.size(), seed);
  const uint64_t skip_hash = XXH3_64bits_withSeed(buffer.data(), buffer.size(), ~seed);
  return {.next = static_cast<uint32_t>(offset_hash % size),
          .skip = static_cast<uint32_t>(skip_hash % (size - 1)) + 1,
          .inverse = 0,
          .index = index};
}

/// Indices of the backends with weight, in an order that depends on nothing but the backends.
std::vector<uint16_t> check_and_order(std::span<const MaglevBackend> backends, uint32_t size) {
  if (!is_prime(size)) throw std::invalid_argument("lookup size " + std::to_string(size) + " is not prime");
  if (backends.size() > kMaxBackendsPerService) {
    throw std::invalid_argument(std::to_string(backends.size()) + " backends in one service, at most " +
                                std::to_string(kMaxBackendsPerService));
  }
  std::vector<uint16_t> order(backends.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint16_t>(i);
  auto same = [&](uint16_t a, uint16_t b) {
    return backends[a].address == backends[b].address && backends[a].port == backends[b].port;
  };
  std::sort(order.begin(), order.end(), [&](uint16_t a, uint16_t b) {
    if (backends[a].address != backends[b].address) return backends[a].address < backends[b].address;
    return backends[a].port < backends[b].port;
  });
  if (auto it = std::adjacent_find(order.begin(), order.end(), same); it != order.end()) {
    throw std::invalid_argument("backend " + backends[*it].address.to_string() + " port " +
                                std::to_string(backends[*it].port) + " is there twice");
  }
  for (uint16_t i : order) {
    if (backends[i].weight <= kMaxWeight) continue;
    throw std::invalid_argument("weight " + std::to_string(backends[i].weight) + " of backend " +
                                backends[i].address.to_string() + ", at most " + std::to_string(kMaxWeight));
  }
  std::erase_if(order, [&](uint16_t i) { return backends[i].weight == 0; });
  if (order.size() > size) {
    throw std::invalid_argument("lookup size " + std::to_string(size) + " for " +
                                std::to_string(order.size()) + " backends");
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](uint16_t a, uint16_t b) { return backends[a].weight > backends[b].weight; });
  return order;
}

/// One entry per distinct weight; `order` has equal weights side by side. Equal times and descending weights
/// are a heap.
std::vector<Turn> first_turns(std::span<const MaglevBackend> backends, std::span<const uint16_t> order) {
  std::vector<Turn> turns;
  for (uint32_t i = 0; i < order.size(); ++i) {
    const uint32_t weight = backends[order[i]].weight;
    if (turns.empty() || turns.back().weight != weight) {
      turns.push_back({.twice_time_by_weight = 0, .weight = weight, .first = i, .last = i});
    }
    turns.back().last = i + 1;
  }
  return turns;
}

/// base ^ exponent modulo `modulus`, all below 2^32.
uint64_t power_modulo(uint64_t base, uint32_t exponent, uint32_t modulus) {
  uint64_t result = 1;
  for (; exponent != 0; exponent >>= 1) {
    if (exponent & 1u) result = result * base % modulus;
    base = base * base % modulus;
  }
  return result;
}

/// The array while it is filled.
///
/// A walk over nearly full slots is long: size / f steps when f are free, so that the last 128 of 65,537
/// slots would cost as much as all before them. With few left it is cheaper to ask for each free slot where
/// on the walk it lies, (slot - next) / skip modulo size, and to take the nearest: the slot that walking
/// would have found.
class Filler {
 public:
  explicit Filler(std::span<uint16_t> slots)
      : slots_(slots), size_(static_cast<uint32_t>(slots.size())), taken_(size_), left_(size_) {}

  bool full() const { return left_ == 0; }

  void take_turn(Walker& walker) {
    if (few_.empty() && uint64_t{left_} * left_ * 4 <= size_) list_free_slots();
    const uint32_t slot = few_.empty() ? walk(walker) : take_nearest(walker);
    taken_.add(slot);
    slots_[slot] = walker.index;
    walker.next = slot;
    --left_;
  }

 private:
  uint32_t walk(const Walker& walker) const {
    const uint32_t skip = walker.skip;
    const uint32_t wrap = size_ - skip;
    uint32_t slot = walker.next;
    while (taken_.has(slot)) slot = slot >= wrap ? slot - wrap : slot + skip;
    return slot;
  }

  uint32_t take_nearest(Walker& walker) {
    // Fermat: skip^(size - 2) is the inverse of skip modulo the prime size.
    if (walker.inverse == 0) {
      walker.inverse = static_cast<uint32_t>(power_modulo(walker.skip, size_ - 2, size_));
    }
    std::size_t nearest = 0;
    uint64_t nearest_steps = UINT64_MAX;
    for (std::size_t i = 0; i < few_.size(); ++i) {
      const uint64_t distance =
          few_[i] >= walker.next ? few_[i] - walker.next : few_[i] + size_ - walker.next;
      const uint64_t steps = distance * walker.inverse % size_;
      if (steps >= nearest_steps) continue;
      nearest_steps = steps;
      nearest = i;
    }
    const auto slot = static_cast<uint32_t>(few_[nearest]);
    few_[nearest] = few_.back();
    few_.pop_back();
    return slot;
  }

  void list_free_slots() {
    few_.reserve(left_);
    for (uint32_t slot = 0; slot < size_; ++slot) {
      if (!taken_.has(slot)) few_.push_back(slot);
    }
  }

  std::span<uint16_t> slots_;
  uint32_t size_;
  TakenSlots taken_;
  uint32_t left_;
  std::vector<uint64_t> few_;  // the free slots, once they are few
};

/// Fills every slot. Each turn ends with one slot taken, so there are as many turns as slots.
void fill(std::span<uint16_t> slots, std::span<Walker> walkers, std::vector<Turn>& turns) {
  Filler filler(slots);
  while (!filler.full()) {
    std::pop_heap(turns.begin(), turns.end(), Turn::later);
    Turn& turn = turns.back();
    for (uint32_t i = turn.first; i < turn.last && !filler.full(); ++i) filler.take_turn(walkers[i]);
    turn.twice_time_by_weight += turn.twice_time_by_weight == 0 ? 3 : 2;
    std::push_heap(turns.begin(), turns.end(), Turn::later);
  }
}

/// Of the backends in the order of their addresses, and of every slot's place among them: the same for every listing.
uint64_t digest_of(std::span<const uint16_t> slots, std::span<const MaglevBackend> backends,
                   std::vector<uint16_t> order) {
  std::sort(order.begin(), order.end(), [&](uint16_t a, uint16_t b) {
    return std::tie(backends[a].address, backends[a].port) < std::tie(backends[b].address, backends[b].port);
  });
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset(&state);
  std::vector<uint16_t> ranks(backends.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const MaglevBackend& backend = backends[order[rank]];
    const Be16 port = Be16::from_host(backend.port);
    XXH3_64bits_update(&state, backend.address.bytes.data(), backend.address.bytes.size());
    XXH3_64bits_update(&state, port.bytes, sizeof port);
    ranks[order[rank]] = static_cast<uint16_t>(rank);
  }
  std::vector<uint16_t> places(slots.size());
  std::transform(slots.begin(), slots.end(), places.begin(), [&](uint16_t slot) { return ranks[slot]; });
  XXH3_64bits_update(&state, places.data(), places.size() * sizeof places[0]);
  return XXH3_64bits_digest(&state);
}

}  // namespace

MaglevTable MaglevTable::build(std::string_view service, std::span<const MaglevBackend> backends,
                               uint64_t seed, uint32_t size) {
  const std::vector<uint16_t> order = check_and_order(backends, size);
  MaglevTable table;
  if (order.empty()) return table;

  std::string buffer(22, '\0');
  buffer += service;
  std::vector<Walker> walkers;
  walkers.reserve(order.size());
  for (uint16_t index : order) walkers.push_back(make_walker(buffer, backends[index], seed, size, index));
  std::vector<Turn> turns = first_turns(backends, order);
  table.slots_.resize(size);
  fill(table.slots_, walkers, turns);
  table.digest_ = digest_of(table.slots_, backends, order);
  return table;
}

bool is_prime(uint32_t n) {
  if (n < 4) return n >= 2;
  if (n % 2 == 0) return false;
  for (uint32_t divisor = 3; uint64_t{divisor} * divisor <= n; divisor += 2) {
    if (n % divisor == 0) return false;
  }
  return true;
}

}  // namespace xebec
