// SPDX-License-Identifier: BSD-2-Clause
#include "control/probe_frames.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/parse.h"
#include "dataplane/rewrite.h"

namespace xebec {
namespace {

constexpr std::size_t kLinkHeader = sizeof(EthernetHeader);
constexpr std::size_t kTunnelRoom = 128;  // for the longest outer headers

/// Where the checksum of a protocol's header is.
std::size_t checksum_at(uint8_t protocol) {
  switch (protocol) {
    case kProtoTcp:
      return offsetof(TcpHeader, checksum);
    case kProtoUdp:
      return offsetof(UdpHeader, checksum);
    default:
      return offsetof(IcmpHeader, checksum);
  }
}

void write_ip(uint8_t* at, const ProbeHeader& header, std::size_t payload) {
  if (header.source.is_v4()) {
    auto* ip = view_as<Ipv4Header>(at);
    ip->version_ihl = 0x45;
    ip->total_length = Be16::from_host(static_cast<uint16_t>(sizeof *ip + payload));
    ip->fragment = Be16::from_host(kIpv4DontFragment);
    ip->ttl = header.ttl;
    ip->protocol = header.protocol;
    ip->source = header.source.v4();
    ip->destination = header.destination.v4();
    ip->checksum = ipv4_header_checksum(ip, sizeof *ip);
    return;
  }
  auto* ip = view_as<Ipv6Header>(at);
  ip->version_class_flow = Be32::from_host(6u << 28);
  ip->payload_length = Be16::from_host(static_cast<uint16_t>(payload));
  ip->next_header = header.protocol;
  ip->hop_limit = header.ttl;
  std::memcpy(ip->source, header.source.bytes.data(), sizeof ip->source);
  std::memcpy(ip->destination, header.destination.bytes.data(), sizeof ip->destination);
}

uint64_t pseudo_sum(const ProbeHeader& header, std::size_t length) {
  const auto l4_length = static_cast<uint32_t>(length);
  if (header.protocol == kProtoIcmp) return 0;
  if (header.source.is_v4())
    return pseudo_header_sum_v4(header.source.v4(), header.destination.v4(), header.protocol, l4_length);
  return pseudo_header_sum_v6(header.source.bytes.data(), header.destination.bytes.data(), header.protocol,
                              l4_length);
}

}  // namespace

std::vector<uint8_t> ip_frame(const ProbeHeader& header, std::span<const uint8_t> l4) {
  assert(header.source.is_v4() == header.destination.is_v4());
  const bool v4 = header.source.is_v4();
  const std::size_t ip_header = v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  std::vector<uint8_t> frame(kLinkHeader + ip_header + l4.size());
  view_as<EthernetHeader>(frame.data())->type = Be16::from_host(v4 ? kEtherIpv4 : kEtherIpv6);
  write_ip(frame.data() + kLinkHeader, header, l4.size());
  uint8_t* const at = frame.data() + kLinkHeader + ip_header;
  std::copy(l4.begin(), l4.end(), at);
  Be16 sum = checksum_finish(checksum_sum(at, l4.size()) + pseudo_sum(header, l4.size()));
  if (header.protocol == kProtoUdp && sum.raw() == 0) sum = Be16::from_raw(0xffff);  // 0 would say "none"
  std::memcpy(at + checksum_at(header.protocol), &sum, sizeof sum);
  return frame;
}

std::vector<uint8_t> through_data_path(const std::vector<uint8_t>& frame, const Backend& backend) {
  std::vector<uint8_t> memory(kTunnelRoom + std::max<std::size_t>(frame.size(), kMinFrameLength));
  std::copy(frame.begin(), frame.end(), memory.begin() + kTunnelRoom);
  Packet packet{.data = memory.data() + kTunnelRoom,
                .length = static_cast<uint32_t>(frame.size()),
                .headroom = kTunnelRoom,
                .room = static_cast<uint32_t>(memory.size() - kTunnelRoom)};
  ParsedPacket parsed;
  if (parse(frame, parsed) || rewrite_to_backend(packet, parsed, backend)) return {};
  return {packet.data, packet.data + packet.length};
}

std::vector<uint8_t> to_next_hop(std::vector<uint8_t> frame, const NextHop& hop) {
  auto* ethernet = view_as<EthernetHeader>(frame.data());
  ethernet->destination = hop.destination;
  ethernet->source = hop.source;
  return frame;
}

const IpAddress* own_address(const std::set<IpAddress>& own, bool v4) {
  const auto it = std::find_if(own.begin(), own.end(), [&](const IpAddress& a) {
    if (a.is_v4() != v4) return false;
    if (v4) return a.bytes[12] != 127;
    const bool link_local = a.bytes[0] == 0xfe && (a.bytes[1] & 0xc0) == 0x80;
    return !link_local && a != *IpAddress::parse("::1");
  });
  return it == own.end() ? nullptr : &*it;
}

}  // namespace xebec
