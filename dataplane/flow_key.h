// SPDX-License-Identifier: BSD-2-Clause
// What makes two packets one flow, and the keyed hash of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/ip_address.h"
#include "dataplane/wire.h"

#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

namespace xebec {

/// The 5-tuple as the client sends it: source is the client, destination the VIP. No padding bytes are
/// undefined.
struct FlowKey {
  IpAddress source;
  IpAddress destination;
  Be16 source_port{};
  Be16 destination_port{};
  uint8_t protocol = 0;
  uint8_t zero[3] = {};

  friend bool operator==(const FlowKey& a, const FlowKey& b) { return std::memcmp(&a, &b, sizeof a) == 0; }
};
static_assert(sizeof(FlowKey) == 40 && alignof(FlowKey) == 1);

/// 128 secret bits turned into the 192 bytes XXH3 mixes its input with. Equal secrets on two nodes give equal
/// hashes; without the secret an outsider cannot choose tuples that collide.
class HashSecret {
 public:
  HashSecret() : HashSecret(std::array<uint8_t, 16>{}) {}
  explicit HashSecret(const std::array<uint8_t, 16>& key) {
    XXH3_generateSecret(bytes_.data(), bytes_.size(), key.data(), key.size());
  }
  [[gnu::always_inline]] uint64_t hash(const void* bytes, std::size_t length) const {
    return XXH3_64bits_withSecret(bytes, length, bytes_.data(), bytes_.size());
  }

 private:
  std::array<uint8_t, 192> bytes_{};
};

/// Hash of a flow. IPv4 keys are packed into 16 bytes first: XXH3's 9-to-16-byte path is a third of the 40-byte one.
/// Packed in registers: bytes stored one by one and read back as words wait for the stores to retire.
[[gnu::always_inline]] inline uint64_t flow_hash(const HashSecret& secret, const FlowKey& key, bool is_v4) {
  if (is_v4) {
    uint64_t packed[2] = {key.source.v4().raw() | uint64_t{key.destination.v4().raw()} << 32, 0};
    static_assert(offsetof(FlowKey, zero) + sizeof FlowKey::zero == offsetof(FlowKey, source_port) + 8);
    std::memcpy(&packed[1], reinterpret_cast<const uint8_t*>(&key) + offsetof(FlowKey, source_port), 8);
    return secret.hash(packed, sizeof packed);
  }
  return secret.hash(&key, sizeof key);
}
[[gnu::always_inline]] inline uint64_t flow_hash(const HashSecret& secret, const FlowKey& key) {
  return flow_hash(secret, key, key.destination.is_v4());
}

}  // namespace xebec
