// SPDX-License-Identifier: BSD-2-Clause
// Where a fragmented datagram goes: the first fragment carries the ports and is decided like any packet; the
// later ones follow it by (source, destination, id, protocol).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/ip_address.h"

namespace xebec {

struct FragmentKey {
  IpAddress source;
  IpAddress destination;
  uint32_t id = 0;  ///< IPv4 identification or IPv6 fragment identification, host order
  uint8_t protocol = 0;
  uint8_t zero[3] = {};
};
static_assert(sizeof(FragmentKey) == 40);

/// Fixed size, four places a set, the oldest gives way. One thread.
class FragmentTable {
 public:
  /// How long a datagram's fragments may be apart: 30 s, as net.ipv4.ipfrag_time.
  static constexpr uint64_t kLifetimeNs = 30ull * 1'000'000'000;
  static constexpr uint32_t kSets = 256;
  static constexpr uint32_t kWays = 4;

  void remember(const FragmentKey& key, uint64_t hash, uint32_t backend_id, uint64_t now_ns);
  std::optional<uint32_t> find(const FragmentKey& key, uint64_t hash, uint64_t now_ns) const;

 private:
  struct Entry {
    FragmentKey key;
    uint32_t backend_id = 0;
    uint64_t at_ns = 0;  ///< 0 = empty
  };
  std::array<std::array<Entry, kWays>, kSets> sets_{};
};

}  // namespace xebec
