// SPDX-License-Identifier: BSD-2-Clause
// Telling a backend of mode nat who its client is: which packets of a mapping carry a note (client_note.h), and whose numbers
// have to move because of it (stream_shift.h).
//
//   TOA        every SYN, and all of the client's segments until the backend has sent one without SYN: that one says that its
//              end of the connection is there, made from a segment that had the option. Left out where there is no room.
//   PROXY v2   TCP: the first segment behind the SYN, be it empty, and again until the backend has acknowledged the header; a
//              backend that speaks first waits for it, too. UDP: every datagram. Never left out.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/client_note.h"
#include "dataplane/link_header.h"
#include "dataplane/nat_table.h"

namespace xebec {

/// What one packet to the backend gets.
struct NotePlan {
  ClientNote note = ClientNote::none;
  NoteBytes bytes;      ///< to be put in; none if it has to do without
  bool move = false;    ///< its sequence number moves
  bool untold = false;  ///< it should have got a note, and there is no room
  ShiftState state;     ///< as of before this packet
};

/// True if planning could find something to do.
inline bool wants_note(const Backend& backend, const NatMapping& mapping) {
  return backend.client_note != ClientNote::none || mapping.shift.length != 0;
}

/// Brings the mapping up to date by the client's packet and says what the packet gets. Its bytes are not touched; a reason:
/// it cannot go.
std::optional<DropReason> plan_note(NatTable& table, uint32_t slot, NatMapping& mapping,
                                    const Backend& backend, const Packet& packet, const ParsedPacket& parsed,
                                    const LinkHeader& link, NotePlan& plan);

/// Obeys. Offsets in `parsed` stay right, its lengths grow. Before translate().
void write_note(NatTable& table, uint32_t slot, const NatMapping& mapping, const NotePlan& plan,
                Packet& packet, ParsedPacket& parsed);

/// A backend's packet, before translate(): numbers move back. Returns what NatTable::replied() is to note.
uint8_t take_back_shift(const NatTable& table, uint32_t slot, const NatMapping& mapping, const Packet& packet,
                        const ParsedPacket& parsed);

/// What an ICMP error about a packet to the backend says too much: of the quoted TCP sequence number, and of the MTU it tells.
struct QuotedExcess {
  uint32_t sequence = 0;
  uint32_t mtu = 0;
};
QuotedExcess quoted_excess(const NatTable& table, uint32_t slot, const NatMapping& mapping, ClientNote note,
                           const Packet& packet, const ParsedPacket& parsed);

}  // namespace xebec
