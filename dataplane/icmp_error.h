// SPDX-License-Identifier: BSD-2-Clause
// The ICMP error that answers a packet which cannot go on: made in place, in the frame that the packet came in.
//
//   Ethernet, tags | IP packet ............    ->    Ethernet, tags | IP, ICMP | as much of the IP packet as fits
//
// Pure: whether one may be sent, and which bytes it has. How many are sent is the caller's to limit.
#pragma once

#include <cstdint>

#include "dataplane/icmp_error_kind.h"
#include "dataplane/limits.h"
#include "dataplane/parse.h"
#include "dataplane/rewrite.h"

namespace xebec {

/// What is said to the sender.
struct IcmpError {
  IcmpErrorKind kind = IcmpErrorKind::too_big;
  uint32_t mtu = 0;  ///< too_big: the largest IP packet that would have gone through
};

/// False where an answer of whatever kind would do harm or no good (RFC 1122 section 3.2.2, RFC 4443 section 2.4(e)): to an
/// ICMP error, to a later fragment, to what was sent to a group on the link, to a source that is not one host.
bool may_be_answered(const Packet& packet, const ParsedPacket& parsed);

/// may_be_answered(), by this error. Too big is one only where the sender forbade to fragment (IPv4 DF, IPv6), and of IPv6 only what is longer than every link carries.
bool may_answer_with(const IcmpError& error, const Packet& packet, const ParsedPacket& parsed);

/// Turns the packet, which is still as it was received, into the error, ready to go back where it came from: from the
/// packet's destination to its source, MACs swapped, VLAN tags kept, TTL 64. Quotes the IP packet up to 576 bytes of error
/// (RFC 1812 section 4.3.2.3) or 1280 (RFC 4443 section 2.4(c)), and what lies in further frames not at all.
/// False: the frame has no room in front; the packet is unchanged.
bool rewrite_to_icmp_error(const IcmpError& error, Packet& packet, const ParsedPacket& parsed);

}  // namespace xebec
