// SPDX-License-Identifier: BSD-2-Clause
// Which way a packet goes that is not simply the next one of a known flow: new flows, stateless services, fragments,
// ICMP. Everything that forward_batch()'s short way leaves over; parse, table and flow table are asked in full.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/forward.h"

namespace xebec {

/// The key under which the later fragments of a datagram find its backend.
FragmentKey fragment_key(const ParsedPacket& parsed);

/// What becomes of a packet of the batch, as it was received. A verdict `forward` may still turn out
/// impossible when the packet is rewritten. Cold, so that its calls cost the short way no registers.
[[gnu::cold, gnu::noinline]] Decision decide(const Table& table, ForwardState& state,
                                             const PacketInHand& hand, const Packet& packet, uint64_t now_ns);

}  // namespace xebec
