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

ShimView::ShimView(const Table& table, std::vector<MacAddress> local_macs, ReplyRules replies)
    : table_(table),
      any_passes_(std::any_of(table.services().begin(), table.services().end(),
                              [](const Service& s) { return s.no_backend == NoBackend::pass; })),
      replies_(std::move(replies)),
      local_macs_(std::move(local_macs)) {
  const bool any = std::find(local_macs_.begin(), local_macs_.end(), MacAddress{}) != local_macs_.end();
  if (any) local_macs_.clear();
}

bool ShimView::steers(Bytes frame) {
  return is_ours(frame) && is_sent_to_us(frame);
}

/// l4: what the packet has behind its IP headers, by their length field and by the frame; shorter than kL4Read:
/// nothing is read of it.
bool ShimView::l4_is_ours(const Reply& packet, uint8_t protocol, bool ipv6, Bytes l4) const {
  const IpAddress& vip = packet.destination;
  const bool has_l4 = l4.size() >= kL4Read;
  const auto is_service = [&](uint16_t port) {
    const uint32_t found = table_.find_service(vip, protocol, Be16::from_host(port));
    if (found == Table::kNone) return false;
    const Service& service = table_.services()[found];
    if (service.sources && !service.sources->allows(packet.source)) return true;
    return service.no_backend != NoBackend::pass;
  };
  if (protocol == kProtoTcp || protocol == kProtoUdp || protocol == kProtoSctp)
    return has_l4 && is_service(host16(&l4[2]));
  if (protocol == (ipv6 ? kProtoIcmpv6 : kProtoIcmp))
    return has_l4 && !passes(vip) && (ipv6 ? is_icmpv6_for_service(l4[0]) : is_icmp_for_service(l4[0]));
  return is_service(0);
}

/// No service at the address has a backend, and all leave their packets to the host.
bool ShimView::passes(const IpAddress& vip) const {
  if (!any_passes_) return false;
  const auto services = table_.services();
  return std::none_of(services.begin(), services.end(), [&](const Service& s) {
    return s.no_backend != NoBackend::pass && s.match().vip.contains(vip);
  });
}

bool ShimView::is_translated(const IpAddress& backend, uint8_t protocol, uint16_t port, const IpAddress& to,
                             uint16_t to_port) const {
  auto how = replies_.backends.find({backend, port, protocol});
  if (how == replies_.backends.end()) how = replies_.backends.find({backend, 0, protocol});
  if (how == replies_.backends.end()) return false;
  const bool in_range = to_port >= replies_.first_port && to_port <= replies_.last_port;
  if ((how->second & XEBEC_NAT) != 0 && in_range && replies_.sources.contains(to)) return true;
  return (how->second & XEBEC_DNAT) != 0 && !replies_.own.contains(to);
}

namespace {

/// Of a quoted IPv6 packet: what is behind the extension headers, of which `next` is the first; `next` is then what that is.
/// Empty: no transport header is there.
Bytes behind_quoted_extensions(Bytes at, uint8_t& next) {
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS && is_extension(next); ++i) {
    if (at.size() < kExtensionRead) return {};
    std::size_t length = (at[1] + 1u) * 8;
    if (next == kProtoFragment) {
      if ((host16(&at[2]) & 0xfff8) != 0) return {};
      length = 8;
    } else if (next == kProtoAh) {
      length = (at[1] + 2u) * 4;
    }
    next = at[0];
    at = behind(at, length);
  }
  return is_extension(next) ? Bytes() : at;
}

}  // namespace

/// quoted: from its IP header on.
bool ShimView::quotes_translated(const Reply& reply, bool ipv6, Bytes quoted) const {
  IpAddress from, to;
  uint8_t protocol = 0;
  Bytes l4;
  if (ipv6) {
    if (quoted.size() < sizeof(Ipv6Header)) return false;
    const auto* ip = view_as<Ipv6Header>(quoted.data());
    from = IpAddress::from_v6(ip->source);
    to = IpAddress::from_v6(ip->destination);
    protocol = ip->next_header;
    l4 = behind_quoted_extensions(quoted.subspan(sizeof(Ipv6Header)), protocol);
  } else {
    if (quoted.size() < sizeof(Ipv4Header)) return false;
    const auto* ip = view_as<Ipv4Header>(quoted.data());
    if (ip->header_length() < sizeof(Ipv4Header) || (ip->fragment.host() & kIpv4OffsetMask) != 0)
      return false;
    from = IpAddress::from_v4(ip->source);
    to = IpAddress::from_v4(ip->destination);
    protocol = ip->protocol;
    l4 = behind(quoted, ip->header_length());
  }
  if (protocol != kProtoTcp && protocol != kProtoUdp && protocol != kProtoSctp) return false;
  if (from != reply.destination || l4.size() < kL4Read) return false;
  return is_translated(to, protocol, host16(&l4[2]), from, host16(l4.data()));
}

/// l4: what the frame has behind the IP headers; has_l4: what is read of it belongs to the packet by its length field, too.
bool ShimView::l4_is_reply(const Reply& reply, uint8_t protocol, bool ipv6, bool has_l4, Bytes l4) {
  if (!has_l4 || l4.size() < kL4Read) return false;
  if (protocol == (ipv6 ? kProtoIcmpv6 : kProtoIcmp)) {
    const bool error = ipv6 ? l4[0] >= 1 && l4[0] <= 4 : is_icmp_for_service(l4[0]) && l4[0] != 8;
    return error && quotes_translated(reply, ipv6, behind(l4, sizeof(IcmpHeader)));
  }
  if (protocol != kProtoTcp && protocol != kProtoUdp && protocol != kProtoSctp) return false;
  const bool translated =
      is_translated(reply.source, protocol, host16(l4.data()), reply.destination, host16(&l4[2]));
  if (reply.is_fragment && (translated || may_be_translated(reply.source, protocol, reply.destination)))
    fragments_[{reply.source, reply.destination, reply.fragment_id, ipv6 ? uint8_t{0} : protocol}] =
        translated;
  return translated;
}

/// By what a later fragment tells.
bool ShimView::may_be_translated(const IpAddress& backend, uint8_t protocol, const IpAddress& to) const {
  const auto how = replies_.backends.find({backend, 0, protocol, true});
  if (how == replies_.backends.end()) return false;
  if ((how->second & XEBEC_NAT) != 0 && replies_.sources.contains(to)) return true;
  return (how->second & XEBEC_DNAT) != 0 && !replies_.own.contains(to);
}

bool ShimView::is_fragment_of_reply(const Reply& reply, uint8_t protocol, bool ipv6) const {
  const auto first =
      fragments_.find({reply.source, reply.destination, reply.fragment_id, ipv6 ? uint8_t{0} : protocol});
  return first != fragments_.end() ? first->second
                                   : may_be_translated(reply.source, protocol, reply.destination);
}

bool ShimView::ipv4_is_ours(Bytes packet) {
  if (packet.size() < sizeof(Ipv4Header)) return false;
  const auto* ip = view_as<Ipv4Header>(packet.data());
  const IpAddress vip = IpAddress::from_v4(ip->destination);
  const bool is_vip = table_.is_vip(vip);
  if (!is_vip && replies_.backends.empty()) return false;
  if (ip->version_ihl >> 4 != 4 || ip->header_length() < sizeof(Ipv4Header)) return false;
  const uint16_t fragment = ip->fragment.host();
  Reply reply{IpAddress::from_v4(ip->source), vip};
  reply.is_fragment = (fragment & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0;
  if (reply.is_fragment) reply.fragment_id = ip->id.host();
  if ((fragment & kIpv4OffsetMask) != 0)
    return is_vip ? !passes(vip) : is_fragment_of_reply(reply, ip->protocol, false);
  const std::size_t header = ip->header_length();
  const bool has_l4 = ip->total_length.host() >= header + kL4Read;
  if (!is_vip) return l4_is_reply(reply, ip->protocol, false, has_l4, behind(packet, header));
  return l4_is_ours(reply, ip->protocol, false, has_l4 ? behind(packet, header) : Bytes());
}

/// packet: from the IPv6 header on.
bool ShimView::extended_is_ours(bool is_vip, Reply& reply, Bytes packet) {
  const auto* ip = view_as<Ipv6Header>(packet.data());
  uint8_t next = ip->next_header;
  int room = ip->payload_length.host();
  Bytes at = packet.subspan(sizeof(Ipv6Header));
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS && is_extension(next); ++i) {
    if (room < static_cast<int>(kExtensionRead) || at.size() < kExtensionRead) return false;
    std::size_t length = (at[1] + 1u) * 8;
    if (next == kProtoFragment) {
      const uint16_t offset = host16(&at[2]);
      if ((offset & 0xfff9) != 0) {  // RFC 8200 section 4.5: the offset, and M
        reply.is_fragment = true;
        reply.fragment_id = view_as<Ipv6FragmentHeader>(at.data())->id.host();
      }
      if ((offset & 0xfff8) != 0)
        return is_vip ? !passes(reply.destination) : is_fragment_of_reply(reply, at[0], true);
      length = 8;
    } else if (next == kProtoAh) {
      length = (at[1] + 2u) * 4;  // RFC 4302 section 2.2
    }
    next = at[0];
    at = behind(at, length);
    room -= static_cast<int>(length);
  }
  if (is_extension(next)) return false;
  const bool has_l4 = room >= static_cast<int>(kL4Read);
  if (!is_vip) return l4_is_reply(reply, next, true, has_l4, at);
  return l4_is_ours(reply, next, true, has_l4 ? at : Bytes());
}

bool ShimView::ipv6_is_ours(Bytes packet) {
  if (packet.size() < sizeof(Ipv6Header)) return false;
  const auto* ip = view_as<Ipv6Header>(packet.data());
  const IpAddress vip = IpAddress::from_v6(ip->destination);
  if (vip.is_v4()) return false;  // ::ffff:0:0/96, no address on a wire
  const bool is_vip = table_.is_vip(vip);
  if (!is_vip && replies_.backends.empty()) return false;
  if (packet[0] >> 4 != 6) return false;
  Reply reply{IpAddress::from_v6(ip->source), vip};
  if (!is_vip && reply.source.is_v4()) return false;
  return extended_is_ours(is_vip, reply, packet);
}

bool ShimView::is_ours(Bytes frame) {
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
