// SPDX-License-Identifier: BSD-2-Clause
// Network address translation of one packet: addresses, ports, TTL and every checksum that covers them. In place; the
// length never changes.
#pragma once

#include <cstdint>

#include "dataplane/flow_key.h"
#include "dataplane/packet.h"
#include "dataplane/parse.h"

namespace xebec {

/// What the packet shall say: addresses of its family, ports where it has some.
struct Endpoints {
  IpAddress source;
  IpAddress destination;
  Be16 source_port{};
  Be16 destination_port{};
};

/// A transport packet, a first fragment, or a later one (which has no ports). The TTL or hop limit is decremented: the caller
/// has seen that it is more than 1. Checksums are updated by RFC 1624, so that a wrong one stays wrong; a partial one is
/// completed first; a UDP checksum of 0 over IPv4 stays 0. SCTP's CRC32c (RFC 9260 section 6.8) is computed anew if it was
/// right, and left wrong if it was not.
void translate(Packet& packet, const ParsedPacket& parsed, const Endpoints& to);

/// An ICMP or ICMPv6 error: its own addresses become those of `outer` (whose ports mean nothing), those of the packet it quotes
/// become `quoted`, as that packet's sender knew them. All checksums it carries follow.
/// sequence_less, mtu_less: so much is taken off the quoted TCP sequence number, and off the MTU that a "too big" tells.
void translate_icmp_error(Packet& packet, const ParsedPacket& parsed, const Endpoints& outer,
                          const Endpoints& quoted, uint32_t sequence_less = 0, uint32_t mtu_less = 0);

}  // namespace xebec
