// SPDX-License-Identifier: BSD-2-Clause
// A TCP connection whose backend gets some bytes before the client's first one. The two ends then count differently for as long
// as it lives:
//
//   client    | SYN | first byte ...                     sequence number s
//   backend   | SYN | inserted bytes | first byte ...    s + length
//
// The client's sequence numbers go up, the backend's acknowledgements and SACK blocks (RFC 2018) go down. What the backend
// sends, and what the client acknowledges of it, nobody counts differently.
#pragma once

#include <cstdint>

#include "dataplane/packet.h"
#include "dataplane/parse.h"

namespace xebec {

/// Plain bytes, part of a NatMapping. length 0: nothing was inserted.
struct StreamShift {
  uint32_t first = 0;  ///< sequence number of the client's first byte, as he counts
  uint32_t latest_first =
      0;  ///< the same of his latest SYN: another one while the connection of `first` still stands
  uint32_t length = 0;  ///< of what was inserted, bytes
  bool operator==(const StreamShift&) const = default;
};

/// What of the connection is known when a segment passes.
struct ShiftState {
  bool sent = false;          ///< the inserted bytes went to the backend at least once
  bool acknowledged = false;  ///< it has them all
};

/// True if a client's segment has to carry the inserted bytes: it is the first one behind the SYN, sent again maybe, or a SYN
/// with data (RFC 7413). Not an RST.
bool carries_inserted(const StreamShift& shift, const ShiftState& state, uint8_t tcp_flags, uint32_t sequence,
                      uint32_t payload_length);

/// As the backend counts.
uint32_t shifted_sequence(const StreamShift& shift, const ShiftState& state, uint8_t tcp_flags,
                          uint32_t sequence);

/// As the client counts: an acknowledgement, the edge of a SACK block, the sequence number in an ICMP error. syn: of a SYN-ACK.
uint32_t unshifted(const StreamShift& shift, const ShiftState& state, bool syn, uint32_t number);

/// True if a backend's segment says that it has the inserted bytes.
bool acknowledges_inserted(const StreamShift& shift, uint8_t tcp_flags, uint32_t acknowledgement);

/// Moves the sequence number of a client's segment. The checksum follows.
void shift_to_backend(const Packet& packet, const ParsedPacket& parsed, const StreamShift& shift,
                      const ShiftState& state);

/// Moves the acknowledgement and the SACK blocks of a backend's segment, and takes what was inserted off the window of a
/// SYN-ACK. The checksum follows.
void shift_to_client(const Packet& packet, const ParsedPacket& parsed, const StreamShift& shift,
                     const ShiftState& state);

}  // namespace xebec
