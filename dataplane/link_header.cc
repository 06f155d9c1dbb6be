// SPDX-License-Identifier: BSD-2-Clause
// The link header a packet leaves with.
#include "dataplane/link_header.h"

namespace xebec {

namespace {
constexpr std::size_t kTagsAt = 2 * sizeof(MacAddress);
constexpr uint16_t kPriorityMask = 0xe000;  // IEEE 802.1Q: priority code point; DEI and VLAN id below
}  // namespace

LinkHeader link_header_of(const Packet& packet, const ParsedPacket& parsed, const NextHop& next_hop) {
  LinkHeader header;
  const uint32_t received = parsed.l3_offset - static_cast<uint32_t>(sizeof(EthernetHeader));
  if (next_hop.vlan == kVlanKeep) {
    header.length = parsed.l3_offset;
    std::memcpy(header.tags.data(), packet.data + kTagsAt, received);
  } else if (next_hop.vlan != kVlanNone) {
    const uint16_t priority =
        received == 0 ? uint16_t{0} : view_as<Be16>(packet.data + kTagsAt + sizeof(Be16))->host();
    const Be16 type = Be16::from_host(kEtherVlan);
    const Be16 tci = Be16::from_host(static_cast<uint16_t>((priority & kPriorityMask) | next_hop.vlan));
    header.length += static_cast<uint32_t>(sizeof(VlanTag));
    std::memcpy(header.tags.data(), type.bytes, sizeof type);
    std::memcpy(header.tags.data() + sizeof type, tci.bytes, sizeof tci);
  }
  return header;
}

void replace_link_header(Packet& packet, uint32_t l3_offset, const LinkHeader& header, uint32_t gap,
                         uint16_t type) {
  move_front(packet, static_cast<int32_t>(header.length + gap) - static_cast<int32_t>(l3_offset));
  std::memcpy(packet.data + kTagsAt, header.tags.data(), header.length - sizeof(EthernetHeader));
  const Be16 wire = Be16::from_host(type);
  std::memcpy(packet.data + header.length - sizeof wire, wire.bytes, sizeof wire);
}

}  // namespace xebec
