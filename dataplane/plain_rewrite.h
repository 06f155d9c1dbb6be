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
#include "dataplane/parse.h"
#include "dataplane/rewrite.h"
#include "dataplane/table.h"

namespace xebec {

/// Destination and source are both written at once, in the order of the wire: two stores.
inline void set_link_addresses(const Packet& packet, const NextHop& next_hop) {
  static_assert(offsetof(NextHop, source) == offsetof(NextHop, destination) + sizeof(MacAddress));
  std::memcpy(packet.data, reinterpret_cast<const uint8_t*>(&next_hop) + offsetof(NextHop, destination),
              2 * sizeof(MacAddress));
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

/// True: done, as rewrite_to_backend() would have. False: the packet is unchanged, and rewrite_to_backend() is to say
/// why, or to do it. For packets in one frame.
inline bool rewrite_plain(Packet& packet, const ParsedPacket& parsed, const Backend& backend) {
  if (backend.mode == Mode::ipip) return !rewrite_to_backend(packet, parsed, backend);
  // An MTU of 0 is none: it becomes the largest number. No IP packet has no bytes.
  if (parsed.ip_length - 1 > uint32_t{backend.next_hop.mtu} - 1) return false;
  fit_length(packet, parsed.l3_offset + parsed.ip_length);
  set_link_addresses(packet, backend.next_hop);
  return true;
}

}  // namespace xebec
