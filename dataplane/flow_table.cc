// SPDX-License-Identifier: BSD-2-Clause
// The flow table: two candidate buckets a flow, chosen by the hash; no chains, no tombstones. A sweep, a
// little at a time, forgets what is over; nothing depends on it but the counts.
//
// A place is free exactly if its tag is 0, so forgetting a flow is one store. The second bucket follows from
// the first and the tag and back again, so that a flow can go to its other bucket without its hash being
// known.
#include "dataplane/flow_table.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace xebec {
namespace {

uint32_t bucket_count(uint32_t capacity) {
  if (capacity == 0 || capacity > FlowTable::kMaxCapacity) {
    throw std::invalid_argument("flow table capacity " + std::to_string(capacity) + " is not in 1.." +
                                std::to_string(FlowTable::kMaxCapacity));
  }
  const uint64_t places = capacity + (uint64_t{capacity} + 3) / 4;
  return std::max(2u, static_cast<uint32_t>((places + kBucketPlaces - 1) / kBucketPlaces));
}

}  // namespace

/// The ticks a flow may be silent. Both ends of the silence are rounded down to ticks, so one is added: a
/// flow may expire up to two ticks late, never early. Longer timeouts than 2.2 years are cut to that, for the signed
/// comparison.
uint32_t FlowTable::timeout_ticks(uint32_t seconds) {
  constexpr uint32_t kMaxTimeoutTicks = 1u << 30;
  const uint64_t ticks = ((seconds * uint64_t{1'000'000'000}) >> kTickShift) + 1;
  return static_cast<uint32_t>(std::min<uint64_t>(ticks, kMaxTimeoutTicks));
}

FlowTable::FlowTable(const FlowTableConfig& config)
    : count_(bucket_count(config.capacity)),
      pages_(count_ * sizeof(FlowBucket)),
      buckets_(static_cast<FlowBucket*>(pages_.start())),
      budget_(config.max_inserts_per_s) {
  std::array<FlowTimeouts, kTimeoutClasses> classes;
  classes.fill(config.timeouts);
  set_timeouts(classes);
}

void FlowTable::set_timeouts(std::span<const FlowTimeouts> classes) {
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const auto set = [&](FlowState state, uint32_t seconds) {
      put(timeouts_[(c << kClassShift) + static_cast<std::size_t>(state)], timeout_ticks(seconds));
    };
    set(FlowState::half_open, classes[c].syn_s);
    set(FlowState::established, classes[c].established_s);
    set(FlowState::picked_up, classes[c].established_s);
    set(FlowState::closing, classes[c].fin_s);
    set(FlowState::datagram, classes[c].udp_s);
  }
}

void FlowTable::forget(Place p) {
  counts_.ends(p.bucket->backends[p.index], state_at(p));
  put(p.bucket->tags[p.index], uint16_t{0});
  --stats_.used;
}

void FlowTable::change_state(Place p, uint8_t tcp_flags) {
  const FlowState state = state_at(p);
  const FlowState next = next_state(state, tcp_flags);
  if (next == state) return;
  uint8_t& byte = p.bucket->states[p.index];
  put(byte, static_cast<uint8_t>((byte & ~kStateMask) | static_cast<uint8_t>(next)));
  if (next == FlowState::closing) counts_.closes(p.bucket->backends[p.index]);
}

FlowTable::Place FlowTable::find(const FlowKey& key, const FlowProbe& probe) const {
  FlowBucket* first = probe.first;
  FlowBucket* second = probe.second;
  for (uint32_t matches = match_tags(*first, *second, probe.tag); matches != 0; matches &= matches - 1) {
    const auto bit = static_cast<uint32_t>(std::countr_zero(matches));
    FlowBucket* bucket = bit < kBucketPlaces ? first : second;
    if (holds(*bucket, bit % kBucketPlaces, key)) return {bucket, bit % kBucketPlaces};
  }
  return {};
}

/// Finds a flow a packet with these flags belongs to; forgets one that is over.
FlowTable::Place FlowTable::find_live(const FlowKey& key, const FlowProbe& probe, uint8_t tcp_flags,
                                      uint32_t tick) {
  const Place place = find(key, probe);
  if (place.bucket == nullptr) return {};
  const bool reopened = state_at(place) == FlowState::closing && opens_connection(tcp_flags);
  if (!reopened && !expired(place, tick)) return place;
  forget(place);
  return {};
}

/// lookup() of whatever is not at the guessed place.
FlowHit FlowTable::search(const FlowKey& key, const FlowProbe& probe, uint8_t tcp_flags, uint32_t tick) {
  const Place place = find_live(key, probe, tcp_flags, tick);
  if (place.bucket == nullptr) return {};
  advance(place, tcp_flags, tick);
  return hit_of(place);
}

/// Where a new flow goes; the place is free when this returns. None: every candidate place holds a live flow
/// that stays.
FlowTable::Place FlowTable::choose(const FlowProbe& at, FlowState newcomer, uint32_t tick) {
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
        ++stats_.evicted_expired;
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
    ++stats_.evicted_half_open;
    return weakest;
  }
  return make_room(at, tick);
}

/// Sends one flow to its other bucket. One step only: with a quarter of spare places it nearly always
/// suffices, and the work stays bounded at eight lines when it does not.
FlowTable::Place FlowTable::make_room(const FlowProbe& at, uint32_t tick) {
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
          ++stats_.evicted_expired;
        }
        put(to->tags[j], bucket->tags[i]);
        put(to->protocols[j], bucket->protocols[i]);
        put(to->states[j], bucket->states[i]);
        put(to->seen[j], bucket->seen[i]);
        put(to->ports[j], bucket->ports[i]);
        put(to->backends[j], bucket->backends[i]);
        put_addresses(to->addresses[j], bucket->addresses[i]);
        put(bucket->tags[i], uint16_t{0});
        ++stats_.relocated;
        return {bucket, i};
      }
    }
  }
  return {};
}

FlowHit FlowTable::peek(const FlowKey& key, const FlowProbe& probe, uint64_t now_ns) const {
  const Place place = find(key, probe);
  if (place.bucket == nullptr || expired(place, tick_of(now_ns))) return {};
  return hit_of(place);
}

bool FlowTable::insert(const FlowKey& key, const FlowProbe& probe, uint32_t backend_id, uint8_t tcp_flags,
                       uint64_t now_ns, uint8_t timeout_class) {
  const uint32_t tick = tick_of(now_ns);
  if (const Place known = find_live(key, probe, tcp_flags, tick); known.bucket != nullptr) {
    advance(known, tcp_flags, tick);
    move(hit_of(known).slot, backend_id);
    return true;
  }
  if (!budget_.any(now_ns)) {
    ++stats_.refused_rate;
    return false;
  }
  const FlowState state = first_state(key.protocol, tcp_flags);
  const Place place = choose(probe, state, tick);
  if (place.bucket == nullptr) {
    ++stats_.refused_full;
    return false;
  }
  budget_.take();
  FlowBucket& bucket = *place.bucket;
  put(bucket.tags[place.index], probe.tag);
  put(bucket.protocols[place.index], key.protocol);
  put(bucket.states[place.index],
      static_cast<uint8_t>(uint32_t{timeout_class} << kClassShift | static_cast<uint8_t>(state)));
  put(bucket.seen[place.index], tick);
  put(bucket.ports[place.index], ports_of(key));
  put(bucket.backends[place.index], backend_id);
  put_addresses(bucket.addresses[place.index], {key.source, key.destination});
  counts_.begins(backend_id, state);
  ++stats_.inserts;
  ++stats_.used;
  return true;
}

uint32_t FlowTable::forget_matching(const FlowFilter& filter, uint32_t first, uint32_t buckets) {
  uint32_t forgotten = 0;
  for (uint32_t b = first; b < count_ && b - first < buckets; ++b) {
    for (uint32_t i = 0; i < kBucketPlaces; ++i) {
      const Place place{buckets_ + b, i};
      if (place.bucket->tags[i] == 0) continue;
      if (!filter.matches(place.bucket->addresses[i].source, place.bucket->backends[i])) continue;
      forget(place);
      ++forgotten;
    }
  }
  return forgotten;
}

void FlowTable::move(uint32_t slot, uint32_t backend_id) {
  const Place place{buckets_ + slot / kBucketPlaces, slot % kBucketPlaces};
  uint32_t& backend = place.bucket->backends[place.index];
  counts_.ends(backend, state_at(place));
  put(backend, backend_id);
  counts_.begins(backend, state_at(place));
}

}  // namespace xebec
