// SPDX-License-Identifier: BSD-2-Clause
// Rewriting of the usual packet, inline: one that is whole in its frame.
//
// rewrite_to_backend() is the truth; this is a short way to the same bytes. What does not fit, right or wrong, is left
// to it. forward_bench and the tests of forward_batch() go both ways.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/limits.h"
#include "dataplane/outer_header.h"
#include "dataplane/parse.h"
#include "dataplane/rewrite.h"
#include "dataplane/table.h"
#include "dataplane/wire.h"

namespace xebec {

/// Destination and source are both written at once, in the order of the wire: two stores.
inline void set_link_addresses(const Packet& packet, const NextHop& next_hop) {
  static_assert(offsetof(NextHop, source) == offsetof(NextHop, destination) + sizeof(MacAddress));
  std::memcpy(packet.data, reinterpret_cast<const uint8_t*>(&next_hop) + offsetof(NextHop, destination),
              2 * sizeof(MacAddress));
}

/// An MTU of 0 is none: it becomes the largest number. No IP packet has no bytes.
inline bool fits_mtu(uint32_t ip_length, const Backend& backend) {
  return ip_length - 1 <= uint32_t{backend.next_hop.mtu} - 1;
}

/// Cuts what lies behind the IP packet (link padding, or a trailer somebody added) and pads with zeros, never
/// with the old bytes of the frame. For a packet in one frame.
inline void fit_length(Packet& packet, uint32_t length) {
  packet.length = length;
  if (length >= kMinFrameLength) return;
  constexpr uint32_t kLastWord = kMinFrameLength - sizeof(uint64_t);
  if (length >= kLastWord && packet.room >= kMinFrameLength) {
    // A bare TCP segment, the usual short packet: one masked word, where calling memset() took 14 instructions (callgrind).
    uint64_t word;
    std::memcpy(&word, packet.data + kLastWord, sizeof word);
    word &= (uint64_t{1} << (length - kLastWord) * 8) - 1;
    std::memcpy(packet.data + kLastWord, &word, sizeof word);
    packet.length = kMinFrameLength;
    return;
  }
  pad(packet);
}

/// An untagged packet into an outer IPv4 header: nothing has to be moved, addresses and type are written anew. False: the
/// packet is unchanged. One call: in pieces an ipip packet took 532 instructions, inline it took registers from the
/// dsr-l2 packet (436 instead of 408).
[[gnu::noinline]] inline bool encapsulate_plain(Packet& packet, const ParsedPacket& parsed,
                                                const Backend& backend) {
  constexpr uint32_t kOverhead = sizeof(Ipv4Header);
  if (parsed.l3_offset != sizeof(EthernetHeader) || !backend.address.is_v4()) return false;
  const uint32_t outer_length = parsed.ip_length + kOverhead;
  if (outer_length > UINT16_MAX || !fits_mtu(outer_length, backend) || packet.headroom < kOverhead)
    return false;
  packet.data -= kOverhead;
  packet.headroom -= kOverhead;
  packet.room += kOverhead;
  const Be16 type = Be16::from_host(kEtherIpv4);
  std::memcpy(packet.data + offsetof(EthernetHeader, type), type.bytes, sizeof type);
  write_outer_v4(packet.data + sizeof(EthernetHeader), parsed, backend);
  fit_length(packet, static_cast<uint32_t>(sizeof(EthernetHeader)) + outer_length);
  set_link_addresses(packet, backend.next_hop);
  return true;
}

/// True: done, as rewrite_to_backend() would have. False: the packet is unchanged, and rewrite_to_backend() is to say
/// why, or to do it. For packets in one frame.
inline bool rewrite_plain(Packet& packet, const ParsedPacket& parsed, const Backend& backend) {
  if (backend.mode == Mode::ipip)
    return encapsulate_plain(packet, parsed, backend) || !rewrite_to_backend(packet, parsed, backend);
  if (!fits_mtu(parsed.ip_length, backend)) return false;
  fit_length(packet, parsed.l3_offset + parsed.ip_length);
  set_link_addresses(packet, backend.next_hop);
  return true;
}

}  // namespace xebec
