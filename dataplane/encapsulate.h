// SPDX-License-Identifier: BSD-2-Clause
// The headers of a tunnel: what is put in front of the IP packet, from the outer IP header inwards.
//
//   ipip   IP                                            RFC 2003, 2473, 4213
//   gre    IP  GRE                                       RFC 2784
//   gue    IP  UDP           (variant 1)                 draft-ietf-intarea-gue section 4: IP right behind UDP
//          IP  UDP  GUE      (variant 0)                 ... section 3
//   vxlan  IP  UDP  VXLAN  Ethernet                      RFC 7348
//
// DF, TTL 64, DSCP and ECN copied from the packet (RFC 6040), id 0 (RFC 6864).
#pragma once

#include <cstdint>

#include "dataplane/packet.h"
#include "dataplane/parse.h"
#include "dataplane/table.h"

namespace xebec {

/// Bytes a packet to this backend grows by; 0 without a tunnel.
uint32_t overhead_of(const Backend& backend);

/// False: the outer length field cannot say how long the packet would be.
bool fits_outer_length(const ParsedPacket& parsed, const Backend& backend);

/// Writes the outer headers into the overhead_of() bytes behind the link header of `link_length` bytes. The packet has its
/// final length. Where the outer checksum covers the packet, a partial one inside is completed first.
void write_outer(Packet& packet, const ParsedPacket& parsed, const Backend& backend, uint32_t link_length);

}  // namespace xebec
