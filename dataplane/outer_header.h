// SPDX-License-Identifier: BSD-2-Clause
// The IP header that is put around a packet for a tunnel: IPv4 or IPv6 (RFC 2003, 2473, 4213).
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

/// The protocol number of the packet itself inside another IP packet.
inline uint8_t tunnel_protocol(const ParsedPacket& parsed) {
  return parsed.ip_version == 4 ? kProtoIpip : kProtoIpv6;
}

/// 64 bits of a flow, the same for each of its packets, the upper ones mixed well. A multiplication a word: what a word
/// holds reaches the upper bits and does not leave them. Not the flow's keyed hash: that is not for the wire.
inline uint64_t flow_entropy(const FlowKey& key) {
  static_assert(sizeof key == 5 * sizeof(uint64_t));
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&key);
  uint64_t mixed = 0;
#pragma GCC unroll 5
  for (std::size_t i = 0; i < sizeof key; i += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes + i, sizeof word);
    mixed = (mixed ^ word) * 0x9e3779b97f4a7c15u;
  }
  return mixed;
}

/// RFC 6438: the label lets routers spread tunnelled flows.
inline uint32_t flow_label(const FlowKey& key) {
  return static_cast<uint32_t>(flow_entropy(key) >> 44);
}

/// The last four bytes of the outer source: as configured, or with the low bits spread over flows, so that the backend's
/// NIC and routers that look at addresses only (ipip, gre) spread them, too.
inline uint32_t outer_source_end(const ParsedPacket& parsed, const Backend& backend) {
  uint32_t end;
  std::memcpy(&end, backend.tunnel_source.bytes.data() + 12, sizeof end);
  if (backend.source_spread == 0) [[likely]]
    return end;
  const auto mask = static_cast<uint32_t>((uint64_t{1} << backend.source_spread) - 1);
  const auto spread = static_cast<uint32_t>(flow_entropy(parsed.key) >> 20) & mask;
  return (end & ~__builtin_bswap32(mask)) | __builtin_bswap32(spread);
}

/// Put together and summed in registers: written as fields and summed from memory, the sum waited for the small stores it
/// loaded as words. `length`: of the outer packet, header included; at most 65,535.
inline void write_outer_v4(uint8_t* at, const ParsedPacket& parsed, const Backend& backend, uint8_t protocol,
                           uint32_t length) {
  // 0x45, TOS (RFC 6040 section 4.1, normal mode: both fields are copied), length, id 0 (RFC 6864 section 4.1: free
  // where DF is set), DF.
  const uint64_t first = 0x45 | uint64_t{parsed.dscp_ecn} << 8 |
                         uint64_t{Be16::from_host(static_cast<uint16_t>(length)).raw()} << 16 |
                         uint64_t{Be16::from_host(kIpv4DontFragment).raw()} << 48;
  // TTL, protocol, checksum, source.
  const uint64_t second =
      kOuterTtl | uint64_t{protocol} << 8 | uint64_t{outer_source_end(parsed, backend)} << 32;
  const uint32_t destination = backend.address.v4().raw();
  const uint64_t sum =
      (first & 0xffffffff) + (first >> 32) + (second & 0xffffffff) + (second >> 32) + destination;
  const uint64_t summed = second | uint64_t{checksum_finish(sum).raw()} << 16;
  static_assert(offsetof(Ipv4Header, checksum) == 10 && offsetof(Ipv4Header, destination) == 16);
  std::memcpy(at, &first, sizeof first);
  std::memcpy(at + 8, &summed, sizeof summed);
  std::memcpy(at + 16, &destination, sizeof destination);
}

/// In words, as write_outer_v4(). `payload`: bytes behind the header; at most 65,535.
inline void write_outer_v6(uint8_t* at, const ParsedPacket& parsed, const Backend& backend, uint8_t protocol,
                           uint32_t payload) {
  const uint32_t label = flow_label(parsed.key);
  const uint64_t first = Be32::from_host(6u << 28 | uint32_t{parsed.dscp_ecn} << 20 | label).raw() |
                         uint64_t{Be16::from_host(static_cast<uint16_t>(payload)).raw()} << 32 |
                         uint64_t{protocol} << 48 | uint64_t{kOuterTtl} << 56;
  static_assert(offsetof(Ipv6Header, hop_limit) == 7 && offsetof(Ipv6Header, destination) == 24);
  const uint32_t source_end = outer_source_end(parsed, backend);
  std::memcpy(at, &first, sizeof first);
  std::memcpy(at + 8, backend.tunnel_source.bytes.data(), 12);
  std::memcpy(at + 20, &source_end, sizeof source_end);
  std::memcpy(at + 24, backend.address.bytes.data(), 16);
}

}  // namespace xebec
