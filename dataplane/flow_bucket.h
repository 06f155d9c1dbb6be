// SPDX-License-Identifier: BSD-2-Clause
// A bucket of the flow table: four places in three cache lines, and the search for a tag in two buckets at once.
//
//   line 0   tags, protocols, states, ages, ports, backends of all four: whatever decides is here, and whatever
//            a packet changes
//   line 1   addresses of places 0 and 1
//   line 2   addresses of places 2 and 3
//
// So a miss reads line 0 of two buckets, a hit one address line more, and choosing whom to evict reads no other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/flow_key.h"

#if defined(__SSE2__) && !defined(XEBEC_PORTABLE_TAGS)
#include <emmintrin.h>
#define XEBEC_SSE2_TAGS 1
#else
#define XEBEC_SSE2_TAGS 0
#endif

namespace xebec {

/// The table's owner stores every field by this, so that another thread may look (flow_reader.h). Plain moves, both.
template <typename T>
inline void put(T& field, T value) {
  std::atomic_ref<T>(field).store(value, std::memory_order_relaxed);
}
template <typename T>
inline T peek_at(T& field) {
  return std::atomic_ref<T>(field).load(std::memory_order_relaxed);
}

/// Two buckets of four are the eight places a flow may be in. Four make line 0 exactly one cache line.
inline constexpr uint32_t kBucketPlaces = 4;

struct FlowAddresses {
  IpAddress source;
  IpAddress destination;
};
static_assert(sizeof(FlowAddresses) == 32);

struct alignas(64) FlowBucket {
  std::array<uint16_t, kBucketPlaces> tags;      ///< of the hash; 0: the place is free
  std::array<uint8_t, kBucketPlaces> protocols;  ///< IP protocol
  std::array<uint8_t, kBucketPlaces> states;     ///< FlowState, and the timeout class above it
  std::array<uint32_t, kBucketPlaces> seen;      ///< tick of the flow's last packet
  std::array<uint32_t, kBucketPlaces> ports;     ///< source and destination, as on the wire
  std::array<uint32_t, kBucketPlaces> backends;
  std::array<FlowAddresses, kBucketPlaces> addresses;
};
static_assert(sizeof(FlowBucket) == 3 * 64);
static_assert(offsetof(FlowBucket, addresses) == 64);

/// Word by word: see put().
inline void put_addresses(FlowAddresses& place, const FlowAddresses& value) {
  uint64_t words[sizeof value / 8];
  std::memcpy(words, &value, sizeof value);
  auto* to = reinterpret_cast<uint64_t*>(&place);  // aligned: a bucket is, and two places fill a line
  for (std::size_t i = 0; i < sizeof value / 8; ++i) put(to[i], words[i]);
}

/// Bit i: place i of `first` (0..3) or place i - 4 of `second` (4..7) has this tag.
inline uint32_t match_tags_portable(const FlowBucket& first, const FlowBucket& second, uint16_t tag) {
  uint32_t matches = 0;
  for (uint32_t i = 0; i < kBucketPlaces; ++i) {
    matches |= static_cast<uint32_t>(first.tags[i] == tag) << i;
    matches |= static_cast<uint32_t>(second.tags[i] == tag) << (i + kBucketPlaces);
  }
  return matches;
}

/// The addresses of two flows, without a branch: memcmp() was called, and made one for each half.
inline bool same_addresses_portable(const void* a, const void* b) {
  uint64_t have[4];
  uint64_t want[4];
  static_assert(sizeof have == sizeof(FlowAddresses));
  std::memcpy(have, a, sizeof have);
  std::memcpy(want, b, sizeof want);
  return ((have[0] ^ want[0]) | (have[1] ^ want[1]) | (have[2] ^ want[2]) | (have[3] ^ want[3])) == 0;
}

#if XEBEC_SSE2_TAGS
inline bool same_addresses(const void* a, const void* b) {
  const auto* have = static_cast<const __m128i*>(a);
  const auto* want = static_cast<const __m128i*>(b);
  const __m128i sources = _mm_cmpeq_epi8(_mm_loadu_si128(have), _mm_loadu_si128(want));
  const __m128i destinations = _mm_cmpeq_epi8(_mm_loadu_si128(have + 1), _mm_loadu_si128(want + 1));
  return _mm_movemask_epi8(_mm_and_si128(sources, destinations)) == 0xffff;
}

inline uint32_t match_tags_sse2(const FlowBucket& first, const FlowBucket& second, uint16_t tag) {
  const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(first.tags.data()));
  const __m128i high = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(second.tags.data()));
  const __m128i equal =
      _mm_cmpeq_epi16(_mm_unpacklo_epi64(low, high), _mm_set1_epi16(static_cast<int16_t>(tag)));
  // 0xffff or 0 a lane, packed to bytes with saturation: a bit a lane.
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())));
}
inline uint32_t match_tags(const FlowBucket& first, const FlowBucket& second, uint16_t tag) {
  return match_tags_sse2(first, second, tag);
}
#else
inline bool same_addresses(const void* a, const void* b) {
  return same_addresses_portable(a, b);
}
inline uint32_t match_tags(const FlowBucket& first, const FlowBucket& second, uint16_t tag) {
  return match_tags_portable(first, second, tag);
}
#endif

}  // namespace xebec
