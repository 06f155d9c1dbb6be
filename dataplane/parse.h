// SPDX-License-Identifier: BSD-2-Clause
// From bytes to meaning: what a received frame is, and which flow it belongs to. Total: any bytes give an
// answer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/drop_reason.h"
#include "dataplane/flow_key.h"

namespace xebec {

enum class PacketKind : uint8_t {
  transport,  ///< TCP, UDP or SCTP with its ports, or another protocol without: key is the packet's own 5-tuple
  later_fragment,  ///< no ports: key has addresses and protocol only, fragment_id names the datagram
  icmp_error,      ///< key is the flow the error is about, seen from the client: the embedded tuple mirrored
  icmp_echo,       ///< echo request; key has addresses and protocol only
};

/// Offsets are from the start of the frame. Valid as long as the frame's bytes are. A cache line.
struct alignas(64) ParsedPacket {
  FlowKey key;
  PacketKind kind = PacketKind::transport;
  uint8_t ip_version = 0;       ///< 4 or 6
  uint8_t protocol = 0;         ///< of the packet itself, behind extension headers
  uint8_t tcp_flags = 0;        ///< of SCTP what its first chunk means, in TCP's flags; 0 of others
  uint8_t ttl = 0;              ///< TTL or hop limit
  uint8_t dscp_ecn = 0;         ///< the IPv4 TOS or IPv6 traffic-class byte
  bool first_fragment = false;  ///< offset 0 with more to come: ports are there, the L4 length is not
  bool dont_fragment = false;   ///< IPv4 DF; always true for IPv6
  uint16_t l3_offset = 0;       ///< Ethernet and VLAN tags end here
  uint16_t l4_offset = 0;
  uint32_t ip_length = 0;    ///< IP header and payload by the IP length field; trailing padding not counted
  uint32_t fragment_id = 0;  ///< of a first or later fragment; host order
  /// The L4 checksum is what a sender leaves to its NIC (checksum_is_partial()). Whole transport packets only: the
  /// checksum of a fragment covers bytes that are elsewhere. Seen here, where the addresses are at hand: of every packet, for
  /// 10 instructions (looking again while rewriting took 62).
  bool looks_partial = false;
  uint16_t quoted_l4_offset = 0;  ///< of an ICMP error: where the ports of the packet it quotes are

  friend bool operator==(const ParsedPacket&, const ParsedPacket&) = default;
};
static_assert(sizeof(ParsedPacket) == 64);

/// Parses a received frame. Reads only inside `frame`; `beyond` more bytes of the packet are in other frames, and
/// all headers must be in this one. Empty optional: `out` is filled. Otherwise the reason to drop it. Lengths are
/// checked against the frame: IPv4 total length, IPv6 payload length, TCP data offset, UDP length. RFC 791, 8200, 9293, 768,
/// 9260, 792, 4443; IEEE 802.1Q and 802.1ad, up to two tags.
std::optional<DropReason> parse(std::span<const uint8_t> frame, ParsedPacket& out, std::size_t beyond = 0);

/// Sum of the pseudo header of a transport packet. l4_length: header and payload, host order.
uint64_t pseudo_header_sum(const ParsedPacket& parsed, uint32_t l4_length);

}  // namespace xebec
