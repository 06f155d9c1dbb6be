// SPDX-License-Identifier: BSD-2-Clause
// CRC32c (Castagnoli), the checksum of SCTP (RFC 9260 section 6.8 and appendix A).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/packet.h"

namespace xebec {

/// Goes on from `crc`; begin with ~0u and invert the end.
uint32_t crc32c_update(uint32_t crc, const uint8_t* bytes, std::size_t length);

/// Of `length` bytes from `offset` on, over all frames of the packet, the four bytes at offset + field taken as zero; as it
/// stands in the packet.
uint32_t packet_crc32c(const Packet& packet, uint32_t offset, uint32_t length, std::size_t field);

}  // namespace xebec
