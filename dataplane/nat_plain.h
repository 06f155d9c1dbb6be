// SPDX-License-Identifier: BSD-2-Clause
// The short way of a translated connection: one more packet of a known mapping, TCP or UDP, whole in one frame, untagged, with
// nothing to be told or moved. nat.cc is the truth; this comes to the same bytes and marks. What does not fit, right or wrong, is
// left to it: false, and nothing has happened.
#pragma once

#include <cstdint>

#include "dataplane/forward.h"
#include "dataplane/table.h"

namespace xebec {

/// A client's packet to `backend`, whose id is `id`. No SYN.
[[gnu::noinline]] bool nat_plain_to_backend(const Table& table, ForwardState& state, const PacketInHand& hand,
                                            Packet& packet, const Backend& backend, uint32_t id,
                                            uint64_t now_ns);

/// A backend's packet.
[[gnu::noinline]] bool nat_plain_to_client(const Table& table, ForwardState& state, const PacketInHand& hand,
                                           Packet& packet, Decision& decision, uint64_t now_ns);

}  // namespace xebec
