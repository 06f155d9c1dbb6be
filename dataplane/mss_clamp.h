// SPDX-License-Identifier: BSD-2-Clause
// The MSS clamp: a TCP SYN says how long its sender's peer may make segments, and on a path with a tunnel that is less
// than the sender knows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/parse.h"
#include "dataplane/table.h"
#include "dataplane/wire.h"

namespace xebec {

/// The largest MSS that a SYN to this backend may announce; kMssAny if it is to be left alone.
uint32_t mss_limit(const Service& service, const Backend& backend, const ParsedPacket& parsed);
inline constexpr uint32_t kMssAny = UINT16_MAX;
/// The same of a backend's SYN-ACK, which tells the client how long his segments may be. Lowered, unless it is to be left
/// alone, where a segment may get a note of the client's address on its way (dataplane/client_note.h).
uint32_t mss_limit_to_client(const Service& service, const Backend& backend, const ParsedPacket& parsed);

/// Lowers the MSS option of a TCP header to `limit`; what is lower stays, and what is not there is not added (RFC 9293
/// section 3.7.1: absent means 536, which every path takes). `available`: bytes of TCP that may be read and written, at
/// least the fixed header; options beyond are left alone. The checksum follows by RFC 1624, unless it is partial: that one
/// does not cover the options, and who completes it comes after. True if the MSS was lowered.
bool clamp_mss(uint8_t* tcp, std::size_t available, uint32_t limit, bool checksum_is_partial);

}  // namespace xebec
