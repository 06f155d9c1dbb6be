// SPDX-License-Identifier: BSD-2-Clause
// The flow table: two candidate buckets a flow, chosen by the hash; no chains, no tombstones, no sweeps.
//
// A place is free exactly if its tag is 0, so forgetting a flow is one store. The second bucket follows from
// the first and the tag and back again, so that a flow can go to its other bucket without its hash being
// known.
#include "dataplane/flow_table.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>
#include <stdexcept>
#include <string>

#include "dataplane/flow_bucket.h"

namespace xebec {
namespace {

/// Ages are counted in ticks of 2^26 ns (67 ms): a shift, not a division; 32 bits of them wrap after 9.1
/// years.
constexpr uint32_t kTickShift = 26;

/// Ages are compared as signed differences: right across the wrap, and a clock read that is a little behind
/// the last one expires nothing. Longer timeouts than 2.2 years are cut to that.
constexpr uint32_t kMaxTimeoutTicks = 1u << 30;

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint8_t kTcpOpenMask = kTcpSyn | kTcpAck;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kStates = 5;

uint32_t tick_of(uint64_t now_ns) {
  return static_cast<uint32_t>(now_ns >> kTickShift);
}

/// The ticks a flow may be silent. Both ends of the silence are rounded down to ticks, so one is added: a
/// flow may expire up to two ticks late, never early.
uint32_t timeout_ticks(uint32_t seconds) {
  const uint64_t ticks = ((seconds * kNsPerSecond) >> kTickShift) + 1;
  return static_cast<uint32_t>(std::min<uint64_t>(ticks, kMaxTimeoutTicks));
}

bool opens_connection(uint8_t tcp_flags) {
  return (tcp_flags & kTcpOpenMask) == kTcpSyn;
}

FlowState first_state(uint8_t protocol, uint8_t tcp_flags) {
  if (protocol != kProtoTcp) return FlowState::datagram;
  if (tcp_flags & (kTcpFin | kTcpRst)) return FlowState::closing;
  // A SYN with ACK never comes from a client unasked: if it is remembered at all, then as what gives way
  // first.
  return (tcp_flags & kTcpSyn) ? FlowState::half_open : FlowState::picked_up;
}

FlowState next_state(FlowState state, uint8_t tcp_flags) {
  if (state == FlowState::datagram || state == FlowState::closing) return state;
  if (tcp_flags & (kTcpFin | kTcpRst)) return FlowState::closing;
  return opens_connection(tcp_flags) ? state : FlowState::established;
}

bool gives_way(FlowState state) {
  return state != FlowState::established && state != FlowState::datagram;
}

uint32_t ports_of(const FlowKey& key) {
  uint32_t ports;
  static_assert(offsetof(FlowKey, destination_port) == offsetof(FlowKey, source_port) + 2);
  std::memcpy(&ports, key.source_port.bytes, 2);
  std::memcpy(reinterpret_cast<uint8_t*>(&ports) + 2, key.destination_port.bytes, 2);
  return ports;
}

/// 0 stands for a free place, so one of the 65,536 tags is twice as frequent.
uint16_t tag_of(uint64_t hash) {
  const auto tag = static_cast<uint16_t>(hash);
  return tag != 0 ? tag : 1;
}

/// Zero pages that are there when they are touched; huge ones if the table fills at least one.
class Pages {
 public:
  explicit Pages(std::size_t bytes) : mapped_(bytes + (bytes >= kHugePage ? kHugePage : 0)) {
    base_ =
        ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    start_ = base_;
    if (bytes < kHugePage) return;
    std::size_t space = mapped_;
    start_ = std::align(kHugePage, bytes, start_, space);
    // Advice only: a kernel without huge pages says no, and the table works.
    (void)::madvise(start_, bytes, MADV_HUGEPAGE);
  }
  ~Pages() { ::munmap(base_, mapped_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  void* start() const { return start_; }

 private:
  std::size_t mapped_;
  void* base_;
  void* start_;
};

/// At most `per_second` a second in the long run, a second's worth at once. Counted in ns of `per_second`, so
/// that nothing is lost to rounding.
class InsertBudget {
 public:
  explicit InsertBudget(uint32_t per_second) : per_second_(per_second), credit_(per_second * kNsPerSecond) {}
  bool any(uint64_t now_ns) {
    const uint64_t elapsed = now_ns > filled_ns_ ? std::min(now_ns - filled_ns_, kNsPerSecond) : 0;
    credit_ = std::min(credit_ + elapsed * per_second_, per_second_ * kNsPerSecond);
    filled_ns_ = std::max(filled_ns_, now_ns);
    return credit_ >= kNsPerSecond;
  }
  void take() { credit_ -= kNsPerSecond; }

 private:
  uint64_t per_second_;
  uint64_t credit_;
  uint64_t filled_ns_ = 0;
};

uint32_t bucket_count(uint32_t capacity) {
  if (capacity == 0 || capacity > FlowTable::kMaxCapacity) {
    throw std::invalid_argument("flow table capacity " + std::to_string(capacity) + " is not in 1.." +
                                std::to_string(FlowTable::kMaxCapacity));
  }
  const uint64_t places = capacity + (uint64_t{capacity} + 3) / 4;
  return std::max(2u, static_cast<uint32_t>((places + kBucketPlaces - 1) / kBucketPlaces));
}

}  // namespace

struct FlowTable::Impl {
  /// A place in the table; none if `bucket` is null.
  struct Place {
    FlowBucket* bucket = nullptr;
    uint32_t index = 0;
  };
  struct Candidates {
    FlowBucket* first;
    FlowBucket* second;
    uint16_t tag;
  };

  explicit Impl(const FlowTableConfig& config)
      : count(bucket_count(config.capacity)),
        pages(count * sizeof(FlowBucket)),
        buckets(static_cast<FlowBucket*>(pages.start())),
        budget(config.max_inserts_per_s) {
    auto set = [this](FlowState state, uint32_t seconds) {
      timeouts[static_cast<std::size_t>(state)] = timeout_ticks(seconds);
    };
    set(FlowState::half_open, config.timeouts.syn_s);
    set(FlowState::established, config.timeouts.established_s);
    set(FlowState::picked_up, config.timeouts.established_s);
    set(FlowState::closing, config.timeouts.fin_s);
    set(FlowState::datagram, config.timeouts.udp_s);
  }

  uint32_t index_of(uint64_t hash) const { return scale(static_cast<uint32_t>(hash >> 32)); }
  uint32_t scale(uint32_t value) const { return static_cast<uint32_t>((uint64_t{value} * count) >> 32); }

  /// The other bucket of a flow with this tag: f(tag) - bucket modulo count is its own inverse. Now and then
  /// it is the same bucket, which costs such a flow half its places and nothing else.
  uint32_t other(uint32_t bucket, uint16_t tag) const {
    const uint32_t sum = scale(tag * 0x9e3779b1u);
    return sum >= bucket ? sum - bucket : sum + (count - bucket);
  }
  FlowBucket* other(const FlowBucket* bucket, uint16_t tag) const {
    return buckets + other(static_cast<uint32_t>(bucket - buckets), tag);
  }

  Candidates candidates(uint64_t hash) const {
    const uint32_t first = index_of(hash);
    const uint16_t tag = tag_of(hash);
    return {buckets + first, buckets + other(first, tag), tag};
  }

  static bool holds(const FlowBucket& bucket, uint32_t i, const FlowKey& key) {
    return bucket.ports[i] == ports_of(key) && bucket.protocols[i] == key.protocol &&
           std::memcmp(&bucket.addresses[i], &key, sizeof(FlowAddresses)) == 0;
  }

  static Place find(const Candidates& at, const FlowKey& key) {
    for (uint32_t matches = match_tags(*at.first, *at.second, at.tag); matches != 0; matches &= matches - 1) {
      const auto bit = static_cast<uint32_t>(std::countr_zero(matches));
      FlowBucket* bucket = bit < kBucketPlaces ? at.first : at.second;
      if (holds(*bucket, bit % kBucketPlaces, key)) return {bucket, bit % kBucketPlaces};
    }
    return {};
  }

  static FlowState state_at(Place p) { return static_cast<FlowState>(p.bucket->states[p.index]); }
  static int32_t silence(Place p, uint32_t tick) {
    return static_cast<int32_t>(tick - p.bucket->seen[p.index]);
  }
  bool expired(Place p, uint32_t tick) const {
    return silence(p, tick) > static_cast<int32_t>(timeouts[p.bucket->states[p.index]]);
  }

  uint32_t slot_of(Place p) const {
    return static_cast<uint32_t>(p.bucket - buckets) * kBucketPlaces + p.index;
  }

  void forget(Place p) {
    p.bucket->tags[p.index] = 0;
    --stats.used;
  }

  /// Finds a flow a packet with these flags belongs to; forgets one that is over.
  Place find_live(const Candidates& at, const FlowKey& key, uint8_t tcp_flags, uint32_t tick) {
    const Place place = find(at, key);
    if (place.bucket == nullptr) return {};
    const bool reopened = state_at(place) == FlowState::closing && opens_connection(tcp_flags);
    if (!reopened && !expired(place, tick)) return place;
    forget(place);
    return {};
  }

  static void advance(Place p, uint8_t tcp_flags, uint32_t tick) {
    const auto next = static_cast<uint8_t>(next_state(state_at(p), tcp_flags));
    // Most packets change neither; a line that is not written need not be written back.
    if (p.bucket->states[p.index] != next) p.bucket->states[p.index] = next;
    if (p.bucket->seen[p.index] != tick) p.bucket->seen[p.index] = tick;
  }

  Place choose(const Candidates& at, FlowState newcomer, uint32_t tick);
  Place make_room(const Candidates& at, uint32_t tick);

  uint32_t count;
  Pages pages;
  FlowBucket* buckets;
  std::array<uint32_t, kStates> timeouts{};
  InsertBudget budget;
  FlowTableStats stats;
};

/// Where a new flow goes; the place is free when this returns. None: every candidate place holds a live flow
/// that stays.
FlowTable::Impl::Place FlowTable::Impl::choose(const Candidates& at, FlowState newcomer, uint32_t tick) {
  Place free;
  Place weakest;
  uint32_t fewest = kBucketPlaces;
  for (FlowBucket* bucket : {at.first, at.second}) {
    Place free_here;
    uint32_t taken_here = 0;
    for (uint32_t i = 0; i < kBucketPlaces; ++i) {
      const Place place{bucket, i};
      if (bucket->tags[i] == 0) {
        free_here = place;
        continue;
      }
      ++taken_here;
      if (expired(place, tick)) {
        forget(place);
        ++stats.evicted_expired;
        return place;
      }
      if (!gives_way(state_at(place))) continue;
      if (weakest.bucket == nullptr || silence(place, tick) > silence(weakest, tick)) weakest = place;
    }
    // The emptier bucket of the two, so that both fill evenly and few flows find both full.
    if (taken_here < fewest) {
      fewest = taken_here;
      free = free_here;
    }
  }
  if (free.bucket != nullptr) return free;
  if (newcomer == FlowState::closing) return {};
  if (weakest.bucket != nullptr) {
    forget(weakest);
    ++stats.evicted_half_open;
    return weakest;
  }
  return make_room(at, tick);
}

/// Sends one flow to its other bucket. One step only: with a quarter of spare places it nearly always
/// suffices, and the work stays bounded at eight lines when it does not.
FlowTable::Impl::Place FlowTable::Impl::make_room(const Candidates& at, uint32_t tick) {
  for (FlowBucket* bucket : {at.first, at.second}) {
    for (uint32_t i = 0; i < kBucketPlaces; ++i) __builtin_prefetch(other(bucket, bucket->tags[i]));
  }
  for (FlowBucket* bucket : {at.first, at.second}) {
    for (uint32_t i = 0; i < kBucketPlaces; ++i) {
      FlowBucket* to = other(bucket, bucket->tags[i]);
      for (uint32_t j = 0; j < kBucketPlaces; ++j) {
        if (to->tags[j] != 0) {
          if (!expired({to, j}, tick)) continue;
          forget({to, j});
          ++stats.evicted_expired;
        }
        to->tags[j] = bucket->tags[i];
        to->protocols[j] = bucket->protocols[i];
        to->states[j] = bucket->states[i];
        to->seen[j] = bucket->seen[i];
        to->ports[j] = bucket->ports[i];
        to->backends[j] = bucket->backends[i];
        to->addresses[j] = bucket->addresses[i];
        bucket->tags[i] = 0;
        ++stats.relocated;
        return {bucket, i};
      }
    }
  }
  return {};
}

FlowTable::FlowTable(const FlowTableConfig& config) : impl_(std::make_unique<Impl>(config)) {}
FlowTable::~FlowTable() = default;

void FlowTable::prefetch(uint64_t hash) const {
  const Impl::Candidates at = impl_->candidates(hash);
  __builtin_prefetch(at.first);
  __builtin_prefetch(at.second);
}

void FlowTable::prefetch_entry(uint64_t hash) const {
  const Impl::Candidates at = impl_->candidates(hash);
  for (uint32_t matches = match_tags(*at.first, *at.second, at.tag); matches != 0; matches &= matches - 1) {
    const auto bit = static_cast<uint32_t>(std::countr_zero(matches));
    const FlowBucket* bucket = bit < kBucketPlaces ? at.first : at.second;
    __builtin_prefetch(&bucket->addresses[bit % kBucketPlaces]);
  }
}

FlowHit FlowTable::lookup(const FlowKey& key, uint64_t hash, uint8_t tcp_flags, uint64_t now_ns) {
  const uint32_t tick = tick_of(now_ns);
  const Impl::Place place = impl_->find_live(impl_->candidates(hash), key, tcp_flags, tick);
  if (place.bucket == nullptr) return {};
  Impl::advance(place, tcp_flags, tick);
  return {.backend_id = place.bucket->backends[place.index], .slot = impl_->slot_of(place)};
}

FlowHit FlowTable::peek(const FlowKey& key, uint64_t hash, uint64_t now_ns) const {
  const Impl::Place place = Impl::find(impl_->candidates(hash), key);
  if (place.bucket == nullptr || impl_->expired(place, tick_of(now_ns))) return {};
  return {.backend_id = place.bucket->backends[place.index], .slot = impl_->slot_of(place)};
}

bool FlowTable::insert(const FlowKey& key, uint64_t hash, uint32_t backend_id, uint8_t tcp_flags,
                       uint64_t now_ns) {
  Impl& table = *impl_;
  const uint32_t tick = tick_of(now_ns);
  const Impl::Candidates at = table.candidates(hash);
  if (const Impl::Place known = table.find_live(at, key, tcp_flags, tick); known.bucket != nullptr) {
    Impl::advance(known, tcp_flags, tick);
    known.bucket->backends[known.index] = backend_id;
    return true;
  }
  if (!table.budget.any(now_ns)) {
    ++table.stats.refused_rate;
    return false;
  }
  const FlowState state = first_state(key.protocol, tcp_flags);
  const Impl::Place place = table.choose(at, state, tick);
  if (place.bucket == nullptr) {
    ++table.stats.refused_full;
    return false;
  }
  table.budget.take();
  FlowBucket& bucket = *place.bucket;
  bucket.tags[place.index] = at.tag;
  bucket.protocols[place.index] = key.protocol;
  bucket.states[place.index] = static_cast<uint8_t>(state);
  bucket.seen[place.index] = tick;
  bucket.ports[place.index] = ports_of(key);
  bucket.backends[place.index] = backend_id;
  bucket.addresses[place.index] = {key.source, key.destination};
  ++table.stats.inserts;
  ++table.stats.used;
  return true;
}

void FlowTable::move(uint32_t slot, uint32_t backend_id) {
  impl_->buckets[slot / kBucketPlaces].backends[slot % kBucketPlaces] = backend_id;
}

const FlowTableStats& FlowTable::stats() const {
  return impl_->stats;
}
uint32_t FlowTable::capacity() const {
  return impl_->count * kBucketPlaces;
}
std::size_t FlowTable::memory_bytes() const {
  return impl_->count * sizeof(FlowBucket);
}

}  // namespace xebec
