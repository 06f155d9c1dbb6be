// SPDX-License-Identifier: BSD-2-Clause
// What the shim would do with a frame. Function by function the order of bpf/shim.bpf.c, so that the two can be read
// side by side; every doubt ends in false, XDP_PASS there.
#include "control/shim_view.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "bpf/abi.h"

namespace xebec {
namespace {

using Bytes = std::span<const uint8_t>;

/// Bytes of a transport header that are read: ports, or ICMP type, code and checksum.
constexpr std::size_t kL4Read = 4;
constexpr std::size_t kExtensionRead = 8;

// RFC 792, 4443: what a worker acts on.
bool is_icmp_for_service(uint8_t type) {
  return type == 8 || type == 3 || type == 4 || type == 11 || type == 12;
}
bool is_icmpv6_for_service(uint8_t type) {
  return type == 128 || (type >= 1 && type <= 4);
}

bool is_extension(uint8_t header) {
  return header == kProtoHopByHop || header == kProtoRouting || header == kProtoDestination ||
         header == kProtoFragment || header == kProtoAh;
}

/// What lies behind `count` bytes; empty if that is not there.
Bytes behind(Bytes bytes, std::size_t count) {
  return bytes.size() < count ? Bytes() : bytes.subspan(count);
}

uint16_t host16(const uint8_t* bytes) {
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

}  // namespace

ShimView::ShimView(std::span<const SteeredService> services, std::vector<MacAddress> local_macs)
    : services_(services.begin(), services.end()), local_macs_(std::move(local_macs)) {
  for (const SteeredService& service : services) vips_.insert(service.vip);
  const bool any = std::find(local_macs_.begin(), local_macs_.end(), MacAddress{}) != local_macs_.end();
  if (any) local_macs_.clear();
}

bool ShimView::steers(Bytes frame) const {
  return is_ours(frame) && is_sent_to_us(frame);
}

bool ShimView::is_service(const IpAddress& vip, uint8_t protocol, uint16_t port) const {
  return services_.contains({vip, port, protocol}) || services_.contains({vip, 0, protocol});
}

/// l4: what the packet has behind its IP headers, by their length field and by the frame; shorter than kL4Read:
/// nothing is read of it.
bool ShimView::l4_is_ours(const IpAddress& vip, uint8_t protocol, bool ipv6, Bytes l4) const {
  const bool has_l4 = l4.size() >= kL4Read;
  if (protocol == kProtoTcp || protocol == kProtoUdp || protocol == kProtoSctp)
    return has_l4 && is_service(vip, protocol, host16(&l4[2]));
  if (protocol == (ipv6 ? kProtoIcmpv6 : kProtoIcmp))
    return has_l4 && (ipv6 ? is_icmpv6_for_service(l4[0]) : is_icmp_for_service(l4[0]));
  return is_service(vip, protocol, 0);
}

bool ShimView::ipv4_is_ours(Bytes packet) const {
  if (packet.size() < sizeof(Ipv4Header)) return false;
  const auto* ip = view_as<Ipv4Header>(packet.data());
  const IpAddress vip = IpAddress::from_v4(ip->destination);
  if (!vips_.contains(vip)) return false;
  if (ip->version_ihl >> 4 != 4 || ip->header_length() < sizeof(Ipv4Header)) return false;
  if ((ip->fragment.host() & kIpv4OffsetMask) != 0) return true;
  const std::size_t header = ip->header_length();
  const bool has_l4 = ip->total_length.host() >= header + kL4Read;
  return l4_is_ours(vip, ip->protocol, false, has_l4 ? behind(packet, header) : Bytes());
}

/// packet: from the IPv6 header on.
bool ShimView::extended_is_ours(const IpAddress& vip, Bytes packet) const {
  const auto* ip = view_as<Ipv6Header>(packet.data());
  uint8_t next = ip->next_header;
  int room = ip->payload_length.host();
  Bytes at = packet.subspan(sizeof(Ipv6Header));
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS && is_extension(next); ++i) {
    if (room < static_cast<int>(kExtensionRead) || at.size() < kExtensionRead) return false;
    std::size_t length = (at[1] + 1u) * 8;
    if (next == kProtoFragment) {
      if ((host16(&at[2]) & 0xfff8) != 0) return true;  // RFC 8200 section 4.5: the offset
      length = 8;
    } else if (next == kProtoAh) {
      length = (at[1] + 2u) * 4;  // RFC 4302 section 2.2
    }
    next = at[0];
    at = behind(at, length);
    room -= static_cast<int>(length);
  }
  if (is_extension(next)) return false;
  return l4_is_ours(vip, next, true, room >= static_cast<int>(kL4Read) ? at : Bytes());
}

bool ShimView::ipv6_is_ours(Bytes packet) const {
  if (packet.size() < sizeof(Ipv6Header)) return false;
  const auto* ip = view_as<Ipv6Header>(packet.data());
  const IpAddress vip = IpAddress::from_v6(ip->destination);
  if (vip.is_v4()) return false;  // ::ffff:0:0/96, no address on a wire
  if (!vips_.contains(vip)) return false;
  if (packet[0] >> 4 != 6) return false;
  return extended_is_ours(vip, packet);
}

bool ShimView::is_ours(Bytes frame) const {
  if (frame.size() < sizeof(EthernetHeader)) return false;
  uint16_t type = host16(&frame[offsetof(EthernetHeader, type)]);
  Bytes at = frame.subspan(sizeof(EthernetHeader));
  for (int i = 0; i < XEBEC_MAX_VLAN_TAGS && (type == kEtherVlan || type == kEtherQinq); ++i) {
    if (at.size() < sizeof(VlanTag)) return false;
    type = host16(&at[offsetof(VlanTag, type)]);
    at = at.subspan(sizeof(VlanTag));
  }
  if (type == kEtherIpv4) return ipv4_is_ours(at);
  if (type == kEtherIpv6) return ipv6_is_ours(at);
  return false;
}

bool ShimView::is_sent_to_us(Bytes frame) const {
  const MacAddress& to = view_as<EthernetHeader>(frame.data())->destination;
  return local_macs_.empty() || std::find(local_macs_.begin(), local_macs_.end(), to) != local_macs_.end();
}

}  // namespace xebec
