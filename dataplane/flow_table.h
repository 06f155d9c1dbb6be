// SPDX-License-Identifier: BSD-2-Clause
// A worker's memory of decisions: flow -> backend, with TCP state and age. Fixed memory, no allocation after
// construction, bounded probes. One thread; others may look (flow_reader.h).
//
// What every packet of a known flow needs is here and inline; what makes and ends flows is in flow_table.cc. With all of
// it behind calls and the buckets computed anew in each, a packet spent 190 instructions on its flow.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/flow_bucket.h"
#include "dataplane/flow_counts.h"
#include "dataplane/flow_filter.h"
#include "dataplane/flow_key.h"
#include "dataplane/flow_state.h"
#include "dataplane/flow_timeouts.h"
#include "dataplane/insert_budget.h"
#include "dataplane/limits.h"
#include "dataplane/zero_pages.h"

namespace xebec {

struct FlowTableConfig {
  /// Flows it shall hold at once. A quarter more places are made, 60 bytes a flow, so that a table with this
  /// many flows refuses fewer than 1 in 10,000 for want of a place.
  uint32_t capacity = kDefaultFlowCapacity;
  FlowTimeouts timeouts;                   ///< of every class, until set_timeouts()
  uint32_t max_inserts_per_s = 1'000'000;  ///< beyond it new flows are forwarded unremembered
};

/// What a lookup answers. `backend_id` is what insert() or move() stored (never
/// FlowTable::kNoBackend). Eight bytes, so that it is returned in one
/// register: with a bool it was built on the stack and read back before the stores were done; perf showed 40 % of
/// lookup() waiting there, and does no more.
struct FlowHit {
  static constexpr uint32_t kNoSlot = UINT32_MAX;
  uint32_t backend_id = 0;
  uint32_t slot = kNoSlot;  ///< to pass to move() before the next insert()
  bool found() const { return slot != kNoSlot; }
};

struct FlowTableStats {
  uint64_t inserts = 0;
  uint64_t evicted_expired = 0;
  uint64_t evicted_half_open = 0;  ///< a live half-open, closing or once-seen flow gave way to a new one
  uint64_t relocated = 0;          ///< a flow went to its other bucket to make room
  uint64_t refused_full = 0;       ///< no candidate place was free or gave way
  uint64_t refused_rate = 0;       ///< beyond max_inserts_per_s
  uint64_t swept = 0;              ///< forgotten by sweep()
  uint32_t used = 0;  ///< places ever filled and not erased; expired ones count until reused or swept
};

/// Where a flow may be: its two buckets and, once prefetch_entry() has looked, the place whose tag fits. Computed once a
/// packet and kept from stage to stage; as pointers, because from an index each stage had to multiply by 192 again.
struct FlowProbe {
  FlowBucket* first = nullptr;
  FlowBucket* second = nullptr;
  FlowBucket* guess = nullptr;  ///< lookup() compares the key; null: none
  uint16_t tag = 0;             ///< never 0 in a probe of some flow
  uint16_t guess_place = 0;
};

class FlowTable {
 public:
  static constexpr uint32_t kMaxCapacity = 1u << 30;

  /// Throws std::invalid_argument for a capacity of 0 or above kMaxCapacity, std::bad_alloc for want of
  /// address space. Memory is zero pages until flows come, first touched by the thread that inserts.
  explicit FlowTable(const FlowTableConfig& config);
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  /// The places of a flow.
  FlowProbe probe(uint64_t hash) const;
  /// Asks for the cache lines that tell whether a flow may be there. Call for a whole batch, then
  /// prefetch_entry() for the whole batch, then lookup().
  void prefetch(const FlowProbe& probe) const;
  /// Asks for the addresses lookup() will compare, and notes where; reads what prefetch() has brought. The backend id at
  /// that place, or kNoBackend: most likely the packet's.
  uint32_t prefetch_entry(FlowProbe& probe) const;
  static constexpr uint32_t kNoBackend = UINT32_MAX;

  /// Finds a live flow and advances it: age := now, TCP state by `tcp_flags` (0 for UDP).
  /// A SYN without ACK on a closing flow is a new connection: not found, the old entry is forgotten. On an
  /// established one it may be forged, so it changes nothing. now_ns: monotonic.
  FlowHit lookup(const FlowKey& key, const FlowProbe& probe, uint8_t tcp_flags, uint64_t now_ns);

  /// The usual case of lookup() in two steps. First, changing nothing: the backend of the flow, if it is still where
  /// prefetch_entry() saw it. kNoBackend: ask lookup(). Then its age and TCP state.
  uint32_t guessed(const FlowKey& key, const FlowProbe& probe, uint64_t now_ns) const;
  void advance_guessed(const FlowProbe& probe, uint8_t tcp_flags, uint64_t now_ns);

  /// Finds a live flow and changes nothing, neither age nor state: for a packet that only speaks about it
  /// (ICMP errors).
  FlowHit peek(const FlowKey& key, const FlowProbe& probe, uint64_t now_ns) const;

  /// Remembers a flow that lookup() did not find. False: refused, see stats(). A flow has at most 8 places.
  /// Taken is an expired one, else a free one, else that of the half-open, closing or once-seen flow which
  /// was silent longest; else one flow may go to its other bucket. An established TCP or live UDP flow never
  /// gives way. A FIN or RST makes nobody give way. A flow that is there after all, because an earlier packet
  /// of the batch made it, is advanced as by lookup() and gets `backend_id`. timeout_class: below kTimeoutClasses.
  bool insert(const FlowKey& key, const FlowProbe& probe, uint32_t backend_id, uint8_t tcp_flags,
              uint64_t now_ns, uint8_t timeout_class = 0);

  /// Of the classes from 0 on, at most kTimeoutClasses of them; those behind keep theirs. For flows that are there, too.
  void set_timeouts(std::span<const FlowTimeouts> classes);

  /// Gives a flow found in this batch another backend.
  void move(uint32_t slot, uint32_t backend_id);

  /// Forgets what is over in the next `buckets` buckets, and flows of backends that are gone (`is_gone(backend_id)`) as soon
  /// as they are silent: a packet of such a flow finds another backend, but one that sends none would count for as long as
  /// its timeout lasts, and for whoever gets the id next. Without it expired flows would count until their places are needed.
  template <typename IsGone>
  void sweep(uint32_t buckets, uint64_t now_ns, const IsGone& is_gone);

  /// f(backend_id, state) for every flow, also those that have expired and were not swept yet. By the owning thread.
  template <typename F>
  void for_each_flow(const F& f) const;

  /// Forgets what matches in so many buckets from `first` on; returns how many.
  uint32_t forget_matching(const FlowFilter& filter, uint32_t first, uint32_t buckets);

  /// Flows by backend id. At all times what a look at every place would find.
  const FlowCounts& counts() const { return counts_; }
  const FlowTableStats& stats() const { return stats_; }
  uint32_t buckets() const { return count_; }
  /// Places; stats().used never exceeds it.
  uint32_t capacity() const { return count_ * kBucketPlaces; }
  std::size_t memory_bytes() const { return count_ * sizeof(FlowBucket); }

 private:
  friend class FlowReader;  // of another thread
  /// A place in the table; none if `bucket` is null.
  struct Place {
    FlowBucket* bucket = nullptr;
    uint32_t index = 0;
  };

  /// Ages are counted in ticks of 2^26 ns (67 ms): a shift, not a division; 32 bits of them wrap after 9.1
  /// years. They are compared as signed differences: right across the wrap, and a clock read that is a little behind the
  /// last one expires nothing.
  static constexpr uint32_t kTickShift = 26;
  /// How long a flow of a backend that is gone may be silent, a minute: a packet that comes meanwhile goes to another
  /// backend as one of a known flow, rather than as one out of nowhere.
  static constexpr uint32_t kGoneTicks = (60'000'000'000u >> kTickShift) + 1;
  static uint32_t tick_of(uint64_t now_ns) { return static_cast<uint32_t>(now_ns >> kTickShift); }
  static uint32_t timeout_ticks(uint32_t seconds);
  static uint32_t seconds_of(int32_t ticks) {
    return ticks <= 0 ? 0
                      : static_cast<uint32_t>((static_cast<uint64_t>(ticks) << kTickShift) / 1'000'000'000);
  }

  uint32_t scale(uint32_t value) const { return static_cast<uint32_t>((uint64_t{value} * count_) >> 32); }
  uint32_t other(uint32_t bucket, uint16_t tag) const;
  FlowBucket* other(const FlowBucket* bucket, uint16_t tag) const {
    return buckets_ + other(static_cast<uint32_t>(bucket - buckets_), tag);
  }
  static uint32_t ports_of(const FlowKey& key);
  static bool holds(const FlowBucket& bucket, uint32_t i, const FlowKey& key);

  /// A place's state byte: the state in the lower bits, the timeout class above.
  static constexpr uint32_t kClassShift = 3;
  static constexpr uint8_t kStateMask = (1u << kClassShift) - 1;
  static_assert(kFlowStates <= 1u << kClassShift && kTimeoutClasses << kClassShift == 256);
  static FlowState state_in(uint8_t byte) { return static_cast<FlowState>(byte & kStateMask); }
  static FlowState state_at(Place p) { return state_in(p.bucket->states[p.index]); }
  static int32_t silence(Place p, uint32_t tick) {
    return static_cast<int32_t>(tick - p.bucket->seen[p.index]);
  }
  bool expired(Place p, uint32_t tick) const {
    return silence(p, tick) > static_cast<int32_t>(timeouts_[p.bucket->states[p.index]]);
  }
  void advance(Place p, uint8_t tcp_flags, uint32_t tick);
  /// A flow that gives way, or a packet that ends its connection.
  void change_state(Place p, uint8_t tcp_flags);
  FlowHit hit_of(Place p) const;

  FlowHit search(const FlowKey& key, const FlowProbe& probe, uint8_t tcp_flags, uint32_t tick);
  Place find(const FlowKey& key, const FlowProbe& probe) const;
  Place find_live(const FlowKey& key, const FlowProbe& probe, uint8_t tcp_flags, uint32_t tick);
  void forget(Place p);
  Place choose(const FlowProbe& at, FlowState newcomer, uint32_t tick);
  Place make_room(const FlowProbe& at, uint32_t tick);

  uint32_t count_;
  ZeroPages pages_;
  FlowBucket* buckets_;
  uint32_t swept_to_ = 0;  // the bucket that sweep() looks at next
  FlowCounts counts_;
  std::array<uint32_t, 256> timeouts_{};  // ticks, by state byte
  InsertBudget budget_;
  FlowTableStats stats_;
};

/// The other bucket of a flow with this tag: f(tag) - bucket modulo count is its own inverse. Now and then
/// it is the same bucket, which costs such a flow half its places and nothing else.
inline uint32_t FlowTable::other(uint32_t bucket, uint16_t tag) const {
  const uint32_t sum = scale(tag * 0x9e3779b1u);
  const uint32_t difference = sum - bucket;
  return sum >= bucket ? difference : difference + count_;
}

inline FlowProbe FlowTable::probe(uint64_t hash) const {
  // 0 stands for a free place, so one of the 65,536 tags is twice as frequent.
  const auto low = static_cast<uint16_t>(hash);
  const uint16_t tag = low != 0 ? low : uint16_t{1};
  const uint32_t first = scale(static_cast<uint32_t>(hash >> 32));
  return {.first = buckets_ + first, .second = buckets_ + other(first, tag), .tag = tag};
}

inline void FlowTable::prefetch(const FlowProbe& probe) const {
  __builtin_prefetch(probe.first);
  __builtin_prefetch(probe.second);
}

inline uint32_t FlowTable::prefetch_entry(FlowProbe& probe) const {
  const uint32_t matches = match_tags(*probe.first, *probe.second, probe.tag);
  if (matches == 0) return kNoBackend;
  // A second fit is one flow in 10,000: lookup() will find it without having been asked for.
  const auto bit = static_cast<uint32_t>(std::countr_zero(matches));
  const uint32_t place = bit % kBucketPlaces;
  probe.guess = bit < kBucketPlaces ? probe.first : probe.second;
  probe.guess_place = static_cast<uint16_t>(place);
  __builtin_prefetch(&probe.guess->addresses[place]);
  return probe.guess->backends[place];
}

inline uint32_t FlowTable::ports_of(const FlowKey& key) {
  uint32_t ports;
  static_assert(offsetof(FlowKey, destination_port) == offsetof(FlowKey, source_port) + 2);
  std::memcpy(&ports, reinterpret_cast<const uint8_t*>(&key) + offsetof(FlowKey, source_port), sizeof ports);
  return ports;
}

inline bool FlowTable::holds(const FlowBucket& bucket, uint32_t i, const FlowKey& key) {
  static_assert(offsetof(FlowKey, source) == 0 && offsetof(FlowKey, destination) == sizeof(IpAddress));
  return same_addresses(&bucket.addresses[i], &key) && bucket.ports[i] == ports_of(key) &&
         bucket.protocols[i] == key.protocol;
}

inline void FlowTable::advance(Place p, uint8_t tcp_flags, uint32_t tick) {
  // Most packets change neither; a line that is not written need not be written back.
  const FlowState state = state_at(p);
  const bool stays = !gives_way(state) && !ends_connection(tcp_flags);  // next_state() says so in more steps
  if (!stays) change_state(p, tcp_flags);
  if (p.bucket->seen[p.index] != tick) put(p.bucket->seen[p.index], tick);
}

inline uint32_t FlowTable::guessed(const FlowKey& key, const FlowProbe& probe, uint64_t now_ns) const {
  if (probe.guess == nullptr) return kNoBackend;
  const Place place{probe.guess, probe.guess_place};
  // A packet of the same batch may have moved or ended what was seen there: the tag is compared again. A flow has one
  // place, so this one is its own.
  if (place.bucket->tags[place.index] != probe.tag || !holds(*place.bucket, place.index, key))
    return kNoBackend;
  if (state_at(place) == FlowState::closing || expired(place, tick_of(now_ns))) return kNoBackend;
  return place.bucket->backends[place.index];
}

inline void FlowTable::advance_guessed(const FlowProbe& probe, uint8_t tcp_flags, uint64_t now_ns) {
  advance({probe.guess, probe.guess_place}, tcp_flags, tick_of(now_ns));
}

inline FlowHit FlowTable::lookup(const FlowKey& key, const FlowProbe& probe, uint8_t tcp_flags,
                                 uint64_t now_ns) {
  if (guessed(key, probe, now_ns) == kNoBackend) return search(key, probe, tcp_flags, tick_of(now_ns));
  advance_guessed(probe, tcp_flags, now_ns);
  return hit_of({probe.guess, probe.guess_place});
}

template <typename IsGone>
void FlowTable::sweep(uint32_t buckets, uint64_t now_ns, const IsGone& is_gone) {
  if (stats_.used == 0) return;
  const uint32_t tick = tick_of(now_ns);
  for (uint32_t n = std::min(buckets, count_); n != 0; --n) {
    FlowBucket* const bucket = buckets_ + swept_to_;
    if (++swept_to_ == count_) swept_to_ = 0;
    for (uint32_t i = 0; i < kBucketPlaces; ++i) {
      const Place place{bucket, i};
      if (bucket->tags[i] == 0) continue;
      const bool silent = silence(place, tick) > static_cast<int32_t>(kGoneTicks);
      if (!expired(place, tick) && !(silent && is_gone(bucket->backends[i]))) continue;
      forget(place);
      ++stats_.swept;
    }
  }
}

template <typename F>
void FlowTable::for_each_flow(const F& f) const {
  for (const FlowBucket* bucket = buckets_; bucket != buckets_ + count_; ++bucket) {
    for (uint32_t i = 0; i < kBucketPlaces; ++i) {
      if (bucket->tags[i] != 0) f(bucket->backends[i], state_in(bucket->states[i]));
    }
  }
}

inline FlowHit FlowTable::hit_of(Place p) const {
  const auto bucket = static_cast<uint32_t>(p.bucket - buckets_);
  return {.backend_id = p.bucket->backends[p.index], .slot = bucket * kBucketPlaces + p.index};
}

}  // namespace xebec
