// SPDX-License-Identifier: BSD-2-Clause
// The TCP reset that answers a segment which no backend takes: made in place, in the frame that the segment came in.
//
//   Ethernet, tags | IP, TCP, data ....    ->    Ethernet, tags | IP, TCP with RST
//
// Pure: whether one may be sent, and which bytes it has. How many are sent is the caller's to limit.
#pragma once

#include "dataplane/packet.h"
#include "dataplane/parse.h"

namespace xebec {

/// False where a reset would do harm or no good: to a reset (RFC 9293 section 3.10.7.1), to anything but a whole TCP segment,
/// to what may_be_answered() (dataplane/icmp_error.h) rules out.
bool may_answer_with_reset(const Packet& packet, const ParsedPacket& parsed);

/// Turns the segment, which is still as it was received, into the reset that a host without the connection sends (RFC 9293
/// section 3.10.7.1), ready to go back where it came from: from the segment's destination to its source, MACs swapped, VLAN
/// tags kept, TTL 64, no IP options or extension headers. One that acknowledges gets its own number back, which is what the
/// sender expects next, so he believes it (RFC 5961 section 3.2).
void rewrite_to_reset(Packet& packet, const ParsedPacket& parsed);

}  // namespace xebec
