// SPDX-License-Identifier: BSD-2-Clause
// Changing a packet's bytes as decided. Obeys, never chooses.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/drop_reason.h"
#include "dataplane/packet.h"
#include "dataplane/parse.h"
#include "dataplane/table.h"

namespace xebec {

/// Completes the TCP or UDP checksum if the sender left it to its NIC (ParsedPacket::looks_partial). True if it did.
bool complete_partial_checksum(const Packet& packet, const ParsedPacket& parsed);

/// Why the packet cannot go to `backend`; empty if it can.
std::optional<DropReason> refusal_to_backend(const Packet& packet, const ParsedPacket& parsed,
                                             const Backend& backend);

/// Turns the packet into the frame to send to `backend`: MAC addresses, VLAN tags as its next hop wants them, and in tunnel
/// modes the outer headers (encapsulate.h). Bytes behind the IP length are cut; a frame shorter than kMinFrameLength is
/// padded with zeros. Empty optional: done. Otherwise the packet is unchanged and the reason says why it cannot go.
std::optional<DropReason> rewrite_to_backend(Packet& packet, const ParsedPacket& parsed,
                                             const Backend& backend);

/// The largest IP packet of this one's family that gets to `backend`: the egress MTU without what the mode puts around
/// it. IPv6 has no smaller one than kMinIpv6Mtu to offer (RFC 2473 section 7.1).
uint32_t path_mtu(const Backend& backend, const ParsedPacket& parsed);

/// Turns an ICMP or ICMPv6 echo request into its reply in place: addresses and MACs swapped, checksum by RFC
/// 1624.
void rewrite_to_echo_reply(Packet& packet, const ParsedPacket& parsed);

}  // namespace xebec
