// SPDX-License-Identifier: BSD-2-Clause
// An IPv4 packet that is too big for its way and may be cut (no DF, and its service wants it): RFC 791 section 3.2.
//
// What is cut is the packet itself, before a tunnel's headers go around each piece, not the outer packet: then every piece finds
// its way alone, the end of the tunnel has nothing to put together, and the backend's kernel does what it does with fragments from
// any router (RFC 4459 section 3.4; docs/icmp.md).
#pragma once

#include <cstdint>

#include "dataplane/packet.h"
#include "dataplane/parse.h"
#include "dataplane/table.h"

namespace xebec {

class Pieces {
 public:
  /// A packet of 9,000 bytes at the smallest MTU a link has in practice, 576, makes 17. A longer row is refused: one packet
  /// shall not take a worker's frames.
  static constexpr uint32_t kMaxCount = 32;

  /// whole: as received, but for its checksum, which must be complete, and its MSS. It, `parsed` and `backend` outlive this.
  Pieces(const Packet& whole, const ParsedPacket& parsed, const Backend& backend);

  /// 0: it cannot be cut.
  uint32_t count() const { return count_; }
  /// Makes `out` the frame to send as piece `index`. out: empty, a whole frame's room behind kFrameHeadroom.
  void write(uint32_t index, Packet& out) const;

 private:
  const Packet& whole_;
  const ParsedPacket& parsed_;
  const Backend& backend_;
  uint32_t header_length_ = 0;
  uint32_t payload_ = 0;    ///< of the whole
  uint32_t per_piece_ = 0;  ///< payload of each but the last; of 8
  uint32_t count_ = 0;
};

}  // namespace xebec
