// SPDX-License-Identifier: BSD-2-Clause
// Frames for backends that the control thread makes up: what `xebec doctor` and health checks to a VIP send. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "dataplane/ip_address.h"
#include "dataplane/table.h"

namespace xebec {

/// Types and codes of RFC 792, and of RFC 4443 (with a 6).
inline constexpr uint8_t kIcmpEchoRequest = 8, kIcmpEchoAnswer = 0, kIcmpUnreachable = 3,
                         kIcmpTimeExceeded = 11;
inline constexpr uint8_t kIcmp6EchoRequest = 128, kIcmp6EchoAnswer = 129, kIcmp6Unreachable = 1,
                         kIcmp6TimeExceeded = 3, kIcmp6Parameter = 4;
inline constexpr uint8_t kProtocolUnreachable = 2, kPortUnreachable = 3, kPortUnreachable6 = 4,
                         kUnknownNextHeader = 1;

struct ProbeHeader {
  IpAddress source;
  IpAddress destination;  ///< of the source's family
  uint8_t protocol = 0;
  uint8_t ttl = 64;
};

/// An Ethernet frame with an IP packet that has `l4` in it, as a client's packet would come to us: link-layer addresses are zero.
/// `l4` is ICMP, ICMPv6, TCP or UDP with a checksum of zero, which is filled in.
std::vector<uint8_t> ip_frame(const ProbeHeader& header, std::span<const uint8_t> l4);

/// The same as the data path would send it to the backend; empty if it would not.
std::vector<uint8_t> through_data_path(const std::vector<uint8_t>& frame, const Backend& backend);
/// The same sent on its way to the next hop, as it is.
std::vector<uint8_t> to_next_hop(std::vector<uint8_t> frame, const NextHop& hop);

/// Of our addresses one that others can answer to; nullptr: there is none.
const IpAddress* own_address(const std::set<IpAddress>& own, bool v4);

}  // namespace xebec
