// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/icmp_error.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/checksum.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr uint8_t kErrorTtl = 64;
constexpr uint32_t kMaxIpv4Error = 576;

// RFC 1812 section 4.3.2.5: errors travel with the precedence of network control.
constexpr uint8_t kNetworkControl = 0xc0;

constexpr uint8_t kIcmpUnreachable = 3;
constexpr uint8_t kIcmpPortUnreachable = 3;
constexpr uint8_t kIcmpFragmentationNeeded = 4;
constexpr uint8_t kIcmpTimeExceeded = 11;
constexpr uint8_t kIcmpv6Unreachable = 1;
constexpr uint8_t kIcmpv6PortUnreachable = 4;
constexpr uint8_t kIcmpv6TooBig = 2;
constexpr uint8_t kIcmpv6TimeExceeded = 3;

IcmpHeader icmp_header(const IcmpError& error, bool v4) {
  IcmpHeader icmp{};
  if (error.kind == IcmpErrorKind::time_exceeded) {
    icmp.type = v4 ? kIcmpTimeExceeded : kIcmpv6TimeExceeded;  // code 0: in transit
    return icmp;
  }
  if (error.kind == IcmpErrorKind::port_unreachable) {
    icmp.type = v4 ? kIcmpUnreachable : kIcmpv6Unreachable;
    icmp.code = v4 ? kIcmpPortUnreachable : kIcmpv6PortUnreachable;
    return icmp;
  }
  icmp.type = v4 ? kIcmpUnreachable : kIcmpv6TooBig;
  icmp.code = v4 ? kIcmpFragmentationNeeded : 0;
  // RFC 1191 section 4: the lower half; the upper one is unused and zero.
  icmp.rest = Be32::from_host(v4 ? std::min<uint32_t>(error.mtu, UINT16_MAX) : error.mtu);
  return icmp;
}

// ip and icmp are adjacent, the quotation follows.
void write_headers_v4(uint8_t* ip, IcmpHeader icmp, const ParsedPacket& parsed, uint32_t quoted) {
  const auto icmp_length = static_cast<uint32_t>(sizeof icmp) + quoted;
  Ipv4Header header{};
  header.version_ihl = 0x45;
  header.tos = kNetworkControl;
  header.total_length = Be16::from_host(static_cast<uint16_t>(sizeof header + icmp_length));
  header.fragment = Be16::from_host(kIpv4DontFragment);  // and id 0: RFC 6864 section 4.1
  header.ttl = kErrorTtl;
  header.protocol = kProtoIcmp;
  header.source = parsed.key.destination.v4();
  header.destination = parsed.key.source.v4();
  header.checksum = ipv4_header_checksum(&header, sizeof header);
  std::memcpy(ip, &header, sizeof header);
  uint8_t* at = ip + sizeof header;
  std::memcpy(at, &icmp, sizeof icmp);
  view_as<IcmpHeader>(at)->checksum = checksum_finish(checksum_sum(at, icmp_length));
}

void write_headers_v6(uint8_t* ip, IcmpHeader icmp, const ParsedPacket& parsed, uint32_t quoted) {
  const auto icmp_length = static_cast<uint32_t>(sizeof icmp) + quoted;
  Ipv6Header header{};
  header.version_class_flow = Be32::from_host(6u << 28);
  header.payload_length = Be16::from_host(static_cast<uint16_t>(icmp_length));
  header.next_header = kProtoIcmpv6;
  header.hop_limit = kErrorTtl;
  std::memcpy(header.source, parsed.key.destination.bytes.data(), sizeof header.source);
  std::memcpy(header.destination, parsed.key.source.bytes.data(), sizeof header.destination);
  std::memcpy(ip, &header, sizeof header);
  uint8_t* at = ip + sizeof header;
  std::memcpy(at, &icmp, sizeof icmp);
  const uint64_t pseudo = pseudo_header_sum_v6(header.source, header.destination, kProtoIcmpv6, icmp_length);
  view_as<IcmpHeader>(at)->checksum = checksum_finish(pseudo + checksum_sum(at, icmp_length));
}

bool is_one_host(const ParsedPacket& parsed) {
  const auto& source = parsed.key.source;
  if (parsed.ip_version == 6) return source.bytes[0] != 0xff;
  const uint8_t first = source.bytes[12];
  return first != 0 && first != 127 && first < 224;  // from 224 on: groups, class E, broadcast
}

}  // namespace

bool may_be_answered(const Packet& packet, const ParsedPacket& parsed) {
  if (parsed.kind == PacketKind::icmp_error || parsed.kind == PacketKind::later_fragment) return false;
  const auto& ethernet = *view_as<EthernetHeader>(packet.data);
  if (((ethernet.destination.bytes[0] | ethernet.source.bytes[0]) & 1) != 0) return false;
  return is_one_host(parsed);
}

bool may_answer_with(const IcmpError& error, const Packet& packet, const ParsedPacket& parsed) {
  if (!may_be_answered(packet, parsed)) return false;
  if (error.kind != IcmpErrorKind::too_big) return true;
  return parsed.ip_version == 4 ? parsed.dont_fragment : parsed.ip_length > kMinIpv6Mtu;
}

bool rewrite_to_icmp_error(const IcmpError& error, Packet& packet, const ParsedPacket& parsed) {
  const bool v4 = parsed.ip_version == 4;
  const auto added =
      static_cast<uint32_t>((v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header)) + sizeof(IcmpHeader));
  if (packet.headroom < added) return false;
  const uint32_t here = std::min(parsed.ip_length, packet.length - parsed.l3_offset);
  const uint32_t quoted = std::min(here, (v4 ? kMaxIpv4Error : kMinIpv6Mtu) - added);

  packet.data -= added;
  packet.headroom -= added;
  packet.room += added;
  packet.rest = {};
  packet.rest_length = 0;
  packet.length = parsed.l3_offset + added + quoted;
  std::memmove(packet.data, packet.data + added, parsed.l3_offset);
  auto* ethernet = view_as<EthernetHeader>(packet.data);
  std::swap(ethernet->destination, ethernet->source);
  uint8_t* ip = packet.data + parsed.l3_offset;
  if (v4) {
    write_headers_v4(ip, icmp_header(error, v4), parsed, quoted);
  } else {
    write_headers_v6(ip, icmp_header(error, v4), parsed, quoted);
  }
  pad(packet);
  return true;
}

}  // namespace xebec
