// SPDX-License-Identifier: BSD-2-Clause
// The link header a packet leaves with: Ethernet addresses, and the VLAN tags that its next hop wants.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet.h"
#include "dataplane/parse.h"
#include "dataplane/table.h"
#include "dataplane/wire.h"

namespace xebec {

constexpr uint16_t ether_type(uint8_t ip_version) {
  return ip_version == 4 ? kEtherIpv4 : kEtherIpv6;
}

/// Destination and source are both written at once, in the order of the wire: two stores.
inline void set_link_addresses(const Packet& packet, const NextHop& next_hop) {
  static_assert(offsetof(NextHop, source) == offsetof(NextHop, destination) + sizeof(MacAddress));
  std::memcpy(packet.data, reinterpret_cast<const uint8_t*>(&next_hop) + offsetof(NextHop, destination),
              2 * sizeof(MacAddress));
}

/// What stands between the addresses and the EtherType of the IP packet.
struct LinkHeader {
  uint32_t length = sizeof(EthernetHeader);  ///< of the whole header
  std::array<uint8_t, 2 * sizeof(VlanTag)> tags{};
};

/// As received, or as the next hop says: one tag, with the priority of the outermost one received, or none.
LinkHeader link_header_of(const Packet& packet, const ParsedPacket& parsed, const NextHop& next_hop);

/// Makes the packet begin with a link header of `header` and leaves `gap` bytes between it and what was behind the first
/// `l3_offset` bytes. There is headroom for that. The addresses are not written; `type`: EtherType, host order.
void replace_link_header(Packet& packet, uint32_t l3_offset, const LinkHeader& header, uint32_t gap,
                         uint16_t type);

}  // namespace xebec
