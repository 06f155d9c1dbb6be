// SPDX-License-Identifier: BSD-2-Clause
// The header that is put around a packet for a tunnel: IPv4 or IPv6 (RFC 2003, 2473, 4213).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/parse.h"
#include "dataplane/table.h"
#include "dataplane/wire.h"

namespace xebec {

/// As many hops as the network may have; it also ends loops.
inline constexpr uint8_t kOuterTtl = 64;

/// What a backend's mode puts around an IP packet, in bytes: it has to fit the egress MTU together with the packet.
inline uint32_t overhead_of(const Backend& backend) {
  if (backend.mode != Mode::ipip) return 0;
  return static_cast<uint32_t>(backend.address.is_v4() ? sizeof(Ipv4Header) : sizeof(Ipv6Header));
}

inline uint8_t tunnel_protocol(const ParsedPacket& parsed) {
  return parsed.ip_version == 4 ? kProtoIpip : kProtoIpv6;
}

/// Put together and summed in registers: written as fields and summed from memory, the sum waited for the small stores it
/// loaded as words.
inline void write_outer_v4(uint8_t* at, const ParsedPacket& parsed, const Backend& backend) {
  const auto length = static_cast<uint16_t>(parsed.ip_length + sizeof(Ipv4Header));
  // 0x45, TOS (RFC 6040 section 4.1, normal mode: both fields are copied), length, id 0 (RFC 6864 section 4.1: free
  // where DF is set), DF.
  const uint64_t first = 0x45 | uint64_t{parsed.dscp_ecn} << 8 |
                         uint64_t{Be16::from_host(length).raw()} << 16 |
                         uint64_t{Be16::from_host(kIpv4DontFragment).raw()} << 48;
  // TTL, protocol, checksum, source.
  const uint64_t second =
      kOuterTtl | uint64_t{tunnel_protocol(parsed)} << 8 | uint64_t{backend.tunnel_source.v4().raw()} << 32;
  const uint32_t destination = backend.address.v4().raw();
  const uint64_t sum =
      (first & 0xffffffff) + (first >> 32) + (second & 0xffffffff) + (second >> 32) + destination;
  const uint64_t summed = second | uint64_t{checksum_finish(sum).raw()} << 16;
  static_assert(offsetof(Ipv4Header, checksum) == 10 && offsetof(Ipv4Header, destination) == 16);
  std::memcpy(at, &first, sizeof first);
  std::memcpy(at + 8, &summed, sizeof summed);
  std::memcpy(at + 16, &destination, sizeof destination);
}

/// RFC 6438: the label lets routers spread tunnelled flows. The same flow always gets the same one. A multiplication a
/// word: what a word holds reaches the upper bits and does not leave them. Not the flow's keyed hash: that is not for the wire.
inline uint64_t flow_label(const FlowKey& key) {
  uint64_t words[5];
  static_assert(sizeof words == sizeof key);
  std::memcpy(words, &key, sizeof words);
  uint64_t mixed = 0;
  for (const uint64_t word : words) mixed = (mixed ^ word) * 0x9e3779b97f4a7c15u;
  return mixed >> 44;
}

/// In words, as write_outer_v4().
inline void write_outer_v6(uint8_t* at, const ParsedPacket& parsed, const Backend& backend) {
  const auto label = static_cast<uint32_t>(flow_label(parsed.key));
  const uint64_t first = Be32::from_host(6u << 28 | uint32_t{parsed.dscp_ecn} << 20 | label).raw() |
                         uint64_t{Be16::from_host(static_cast<uint16_t>(parsed.ip_length)).raw()} << 32 |
                         uint64_t{tunnel_protocol(parsed)} << 48 | uint64_t{kOuterTtl} << 56;
  static_assert(offsetof(Ipv6Header, hop_limit) == 7 && offsetof(Ipv6Header, destination) == 24);
  std::memcpy(at, &first, sizeof first);
  std::memcpy(at + 8, backend.tunnel_source.bytes.data(), 16);
  std::memcpy(at + 24, backend.address.bytes.data(), 16);
}

}  // namespace xebec
