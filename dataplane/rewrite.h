// SPDX-License-Identifier: BSD-2-Clause
// Changing a packet's bytes as decided. Obeys, never chooses.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/drop_reason.h"
#include "dataplane/parse.h"
#include "dataplane/table.h"

namespace xebec {

/// A packet in a frame, or in several: then all its headers are in the first. The memory from data - headroom to
/// data + room is the first frame's own and may be written.
struct Packet {
  uint8_t* data = nullptr;
  uint32_t length = 0;
  uint32_t headroom = 0;     ///< bytes free before data
  uint32_t room = 0;         ///< bytes from data to the end of the frame; length <= room
  uint32_t rest_length = 0;  ///< bytes of the packet in further frames
  std::span<std::span<const uint8_t>>
      rest{};  ///< those bytes, frame by frame; what is cut off gets shorter here, too
};

/// Pads with zeros to kMinFrameLength, as far as there is room.
void pad(Packet& packet);

/// Completes the TCP or UDP checksum if the sender left it to its NIC (ParsedPacket::looks_partial). True if it did.
bool complete_partial_checksum(const Packet& packet, const ParsedPacket& parsed);

/// Turns the packet into the frame to send to `backend`: MAC addresses, VLAN tags kept as received, for
/// Mode::ipip the outer header (DF, TTL 64, DSCP and ECN per RFC 6040, id 0 per RFC 6864). Bytes behind the
/// IP length are cut; a frame shorter than kMinFrameLength is padded with zeros. Empty optional: done.
/// Otherwise the packet is unchanged and the reason says why it cannot go.
std::optional<DropReason> rewrite_to_backend(Packet& packet, const ParsedPacket& parsed,
                                             const Backend& backend);

/// The largest IP packet of this one's family that gets to `backend`: the egress MTU without what the mode puts around
/// it. IPv6 has no smaller one than kMinIpv6Mtu to offer (RFC 2473 section 7.1).
uint32_t path_mtu(const Backend& backend, const ParsedPacket& parsed);

/// Turns an ICMP or ICMPv6 echo request into its reply in place: addresses and MACs swapped, checksum by RFC
/// 1624.
void rewrite_to_echo_reply(Packet& packet, const ParsedPacket& parsed);

}  // namespace xebec
