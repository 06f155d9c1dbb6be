// SPDX-License-Identifier: BSD-2-Clause
// Hash -> slot numbers, written by one thread and read by all: where a NatTable finds a mapping. Only candidates: who asks
// compares the keys.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/zero_pages.h"

namespace xebec {

/// Two buckets of eight places a hash, a cache line each, of which an insert takes the emptier one. There are 2.7 places a
/// slot: nat_table_test fills tables to the last slot.
class NatIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit NatIndex(uint32_t slots)
      : count_(slots / 3 + 1),
        pages_(count_ * sizeof(Bucket)),
        buckets_(static_cast<Bucket*>(pages_.start())) {}

  std::size_t memory_bytes() const { return count_ * sizeof(Bucket); }
  void prefetch(uint64_t hash) const {
    __builtin_prefetch(&buckets_[first(hash)]);
    __builtin_prefetch(&buckets_[second(hash)]);
  }

  /// The first candidate that `is_it(slot)`; kNone if none is. Any thread.
  template <typename IsIt>
  uint32_t find(uint64_t hash, IsIt&& is_it) const {
    for (const Bucket* bucket : {&buckets_[first(hash)], &buckets_[second(hash)]}) {
      for (uint32_t fitting = matching(*bucket, tag_of(hash)); fitting != 0; fitting &= fitting - 1) {
        // Pairs with the release in insert(): who sees the place sees the slot as it was written before.
        const uint64_t word =
            bucket->places[static_cast<uint32_t>(std::countr_zero(fitting))].load(std::memory_order_acquire);
        if (word >> 32 != tag_of(hash) || word == 0) continue;
        const uint32_t slot = static_cast<uint32_t>(word) - 1;
        if (is_it(slot)) return slot;
      }
    }
    return kNone;
  }

  /// The first slot of this hash, whatever it holds; kNone if there is none.
  uint32_t candidate(uint64_t hash) const {
    return find(hash, [](uint32_t) { return true; });
  }

  /// The writer only. False: no place is free.
  bool insert(uint64_t hash, uint32_t slot) {
    Bucket& one = buckets_[first(hash)];
    Bucket& other = buckets_[second(hash)];
    for (auto& place : (taken(one) <= taken(other) ? one : other).places) {
      if (place.load(std::memory_order_relaxed) != 0) continue;
      place.store(tag_of(hash) << 32 | (uint64_t{slot} + 1), std::memory_order_release);
      return true;
    }
    return false;
  }

  /// The writer only.
  void erase(uint64_t hash, uint32_t slot) {
    const uint64_t word = tag_of(hash) << 32 | (uint64_t{slot} + 1);
    for (Bucket* bucket : {&buckets_[first(hash)], &buckets_[second(hash)]}) {
      for (auto& place : bucket->places) {
        if (place.load(std::memory_order_relaxed) != word) continue;
        place.store(0, std::memory_order_relaxed);
        return;
      }
    }
  }

 private:
  struct alignas(64) Bucket {
    std::array<std::atomic<uint64_t>, 8> places;  ///< tag and slot + 1; 0: free
  };
  static_assert(sizeof(Bucket) == 64 && std::atomic<uint64_t>::is_always_lock_free);

  static uint32_t taken(const Bucket& bucket) {
    uint32_t count = 0;
    for (const auto& place : bucket.places) count += place.load(std::memory_order_relaxed) != 0;
    return count;
  }
  /// A bit for each place with that tag. Without a branch: at which place a search ends no CPU predicts.
  static uint32_t matching(const Bucket& bucket, uint64_t tag) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < bucket.places.size(); ++i)
      bits |= static_cast<uint32_t>(bucket.places[i].load(std::memory_order_relaxed) >> 32 == tag) << i;
    return bits;
  }
  static uint64_t tag_of(uint64_t hash) { return hash >> 32; }
  uint64_t scaled(uint32_t value) const { return uint64_t{value} * count_ >> 32; }
  uint64_t first(uint64_t hash) const { return scaled(static_cast<uint32_t>(hash)); }
  // Of the tag as well, so that hashes which share one bucket do not share the other.
  uint64_t second(uint64_t hash) const {
    return scaled(static_cast<uint32_t>((hash ^ hash >> 29) * 0x9e3779b97f4a7c15u >> 32));
  }

  std::size_t count_;
  ZeroPages pages_;
  Bucket* buckets_;
};

}  // namespace xebec
