// SPDX-License-Identifier: BSD-2-Clause
// Packets of the modes that translate: to a backend (dnat: only the destination changes; nat: the source, too), and back.
//
//   client -> VIP      decide() has chosen the backend as for any mode; the mapping is found or made, the packet translated
//   backend -> us      no service is found for it: it is the reply of some mapping, of whatever worker's
//   ICMP errors        quote a packet of a mapping: from the client's side (key: client -> VIP) or the backend's (key: a reply)
//   later fragments    follow their first one: the fragment table remembers the mapping instead of a backend
#pragma once

#include <optional>

#include "dataplane/forward.h"
#include "dataplane/nat_mapping.h"

namespace xebec {

/// Translates a packet to the backend that decide() has chosen for it. Empty optional: done; else the packet is unchanged.
/// inserted: bytes that were put behind the beginning of its transport header, which lies so much further to the front.
std::optional<DropReason> nat_to_backend(const Table& table, ForwardState& state, const PacketInHand& hand,
                                         Packet& packet, const Decision& decision, uint64_t now_ns,
                                         uint32_t& inserted);

/// Translates a packet that no service was found for. The decision says where it goes; of a drop, the packet is unchanged.
Decision nat_to_client(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
                       uint64_t now_ns);

/// The mapping leads where a new one would: not to what the backend was before a reload, where the shim expects no reply any more.
bool is_as_configured(const Table& table, const Backend& backend, const NatMapping& mapping);

/// What is decided of a packet that goes back to a client.
Decision decision_to_client(const Table& table, const NatMapping& mapping);

/// What the fragment table remembers of a translated datagram, beside backend ids: those stay below.
inline constexpr uint32_t kFragmentOfMapping = 0x80000000;

/// Translates a later fragment whose first one was a mapping's. `remembered`: by the fragment table.
Decision nat_fragment(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
                      uint32_t remembered);

}  // namespace xebec
