// SPDX-License-Identifier: BSD-2-Clause
#include "control/vip_frames.h"

#include <algorithm>
#include <cstring>

#include "control/probe_frames.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr uint16_t kWindow = 1024;
constexpr std::size_t kQuotedL4 = 8;  // RFC 792: so much at least

/// Behind type, code and checksum, RFC 792 and RFC 4443 section 4.1: identifier and sequence, which are the mark.
struct EchoHeader {
  uint8_t type, code;
  Be16 checksum;
  Be32 mark;
};
static_assert(sizeof(EchoHeader) == 8 && alignof(EchoHeader) == 1);

template <typename Header>
std::span<const uint8_t> raw_bytes(const Header& header) {
  return {reinterpret_cast<const uint8_t*>(&header), sizeof header};
}

TcpHeader tcp_of(const VipQuestion& q, uint32_t sequence, uint8_t flags) {
  TcpHeader tcp{};
  tcp.source_port = Be16::from_host(q.source_port);
  tcp.destination_port = Be16::from_host(q.port);
  tcp.sequence = Be32::from_host(sequence);
  tcp.data_offset = (sizeof tcp / 4) << 4;
  tcp.flags = flags;
  tcp.window = Be16::from_host(kWindow);
  return tcp;
}

std::vector<uint8_t> datagram_of(const VipQuestion& q) {
  UdpHeader udp{};
  udp.source_port = Be16::from_host(q.source_port);
  udp.destination_port = Be16::from_host(q.port);
  udp.length = Be16::from_host(static_cast<uint16_t>(sizeof udp + q.payload.size()));
  std::vector<uint8_t> l4(raw_bytes(udp).begin(), raw_bytes(udp).end());
  l4.insert(l4.end(), q.payload.begin(), q.payload.end());
  return l4;
}

/// The IP header of a packet, as far as it matters here.
struct Outer {
  bool v4 = false;
  uint8_t protocol = 0;
  IpAddress source, destination;
  std::span<const uint8_t> l4;
};

std::optional<Outer> read_ip(std::span<const uint8_t> packet) {
  if (packet.size() < sizeof(Ipv4Header)) return std::nullopt;
  Outer out;
  out.v4 = packet[0] >> 4 == 4;
  if (out.v4) {
    const auto* ip = view_as<Ipv4Header>(packet.data());
    if (ip->header_length() < sizeof(Ipv4Header) || ip->header_length() > packet.size()) return std::nullopt;
    if ((ip->fragment.host() & kIpv4OffsetMask) != 0) return std::nullopt;  // what follows is no header
    out.protocol = ip->protocol;
    out.source = IpAddress::from_v4(ip->source);
    out.destination = IpAddress::from_v4(ip->destination);
    out.l4 = packet.subspan(ip->header_length());
    return out;
  }
  if (packet[0] >> 4 != 6 || packet.size() < sizeof(Ipv6Header)) return std::nullopt;
  const auto* ip = view_as<Ipv6Header>(packet.data());
  out.protocol = ip->next_header;
  out.source = IpAddress::from_v6(ip->source);
  out.destination = IpAddress::from_v6(ip->destination);
  out.l4 = packet.subspan(sizeof(Ipv6Header));
  return out;
}

/// Which question a quoted packet is. Of what is no question of ours nothing but its destination.
void read_quoted(std::span<const uint8_t> quoted, VipAnswer& answer) {
  const auto ip = read_ip(quoted);
  if (!ip) return;
  answer.quoted = ip->destination;
  answer.to = ip->source;
  answer.quoted_protocol = ip->protocol;
  answer.protocol = ip->protocol == kProtoIcmpv6 ? kProtoIcmp : ip->protocol;
  if (ip->l4.size() < kQuotedL4) return;
  if (ip->protocol == kProtoTcp) {
    Be32 sequence;
    std::memcpy(&sequence, ip->l4.data() + offsetof(TcpHeader, sequence), sizeof sequence);
    answer.mark = sequence.host();
  } else if (ip->protocol == kProtoUdp) {
    answer.source_port = view_as<UdpHeader>(ip->l4.data())->source_port.host();
    answer.quoted_port = view_as<UdpHeader>(ip->l4.data())->destination_port.host();
  } else if (answer.protocol == kProtoIcmp) {
    answer.mark = view_as<EchoHeader>(ip->l4.data())->mark.host();
  }
}

std::optional<VipAnswer::Kind> error_kind(bool v4, uint8_t type, uint8_t code) {
  using Kind = VipAnswer::Kind;
  if (type == (v4 ? kIcmpTimeExceeded : kIcmp6TimeExceeded) && code == 0) return Kind::passed_on;
  if (v4 && type == kIcmpUnreachable && code == kPortUnreachable) return Kind::port_unreachable;
  if (v4 && type == kIcmpUnreachable && code == kProtocolUnreachable) return Kind::protocol_unreachable;
  if (!v4 && type == kIcmp6Unreachable && code == kPortUnreachable6) return Kind::port_unreachable;
  if (!v4 && type == kIcmp6Parameter && code == kUnknownNextHeader) return Kind::protocol_unreachable;
  return std::nullopt;
}

std::optional<VipAnswer> read_icmp_answer(const Outer& ip, VipAnswer answer) {
  if (ip.l4.size() < sizeof(EchoHeader)) return std::nullopt;
  const auto* icmp = view_as<EchoHeader>(ip.l4.data());
  answer.protocol = kProtoIcmp;
  if (icmp->type == (ip.v4 ? kIcmpEchoAnswer : kIcmp6EchoAnswer)) {
    answer.kind = VipAnswer::Kind::echo;
    answer.mark = icmp->mark.host();
    return answer;
  }
  const auto kind = error_kind(ip.v4, icmp->type, icmp->code);
  if (!kind) return std::nullopt;
  answer.kind = *kind;
  read_quoted(ip.l4.subspan(sizeof(EchoHeader)), answer);
  return answer;
}

std::optional<VipAnswer> read_tcp_answer(const Outer& ip, VipAnswer answer) {
  if (ip.l4.size() < sizeof(TcpHeader)) return std::nullopt;
  const auto* tcp = view_as<TcpHeader>(ip.l4.data());
  if ((tcp->flags & kTcpAck) == 0 || (tcp->flags & (kTcpSyn | kTcpRst)) == 0) return std::nullopt;
  answer.kind = (tcp->flags & kTcpRst) != 0 ? VipAnswer::Kind::reset : VipAnswer::Kind::accepted;
  answer.mark = tcp->acknowledgement.host() - 1;
  answer.source_port = tcp->destination_port.host();
  return answer;
}

}  // namespace

std::vector<uint8_t> frame_of(const VipQuestion& q) {
  ProbeHeader header{.source = q.source, .destination = q.vip, .protocol = q.protocol, .ttl = 1};
  if (q.protocol == kProtoTcp) return ip_frame(header, raw_bytes(tcp_of(q, q.mark, kTcpSyn)));
  if (q.protocol == kProtoUdp) return ip_frame(header, datagram_of(q));
  const bool v4 = q.source.is_v4();
  header.protocol = v4 ? kProtoIcmp : kProtoIcmpv6;
  const EchoHeader echo{v4 ? kIcmpEchoRequest : kIcmp6EchoRequest, 0, {}, Be32::from_host(q.mark)};
  return ip_frame(header, raw_bytes(echo));
}

std::vector<uint8_t> reset_of(const VipQuestion& q) {
  return ip_frame({.source = q.source, .destination = q.vip, .protocol = kProtoTcp, .ttl = 1},
                  raw_bytes(tcp_of(q, q.mark + 1, kTcpRst)));
}

std::optional<VipAnswer> read_vip_answer(std::span<const uint8_t> packet) {
  const auto ip = read_ip(packet);
  if (!ip) return std::nullopt;
  VipAnswer answer;
  answer.from = ip->source;
  answer.to = ip->destination;
  answer.protocol = ip->protocol;
  if (ip->protocol == kProtoTcp) return read_tcp_answer(*ip, answer);
  if (ip->protocol == (ip->v4 ? kProtoIcmp : kProtoIcmpv6)) return read_icmp_answer(*ip, answer);
  if (ip->protocol != kProtoUdp || ip->l4.size() < sizeof(UdpHeader)) return std::nullopt;
  const auto* udp = view_as<UdpHeader>(ip->l4.data());
  answer.kind = VipAnswer::Kind::datagram;
  answer.source_port = udp->destination_port.host();
  // Of a frame that was padded, the datagram alone.
  const std::size_t length = std::min<std::size_t>(udp->length.host(), ip->l4.size());
  if (length < sizeof(UdpHeader)) return std::nullopt;
  answer.payload = {reinterpret_cast<const char*>(ip->l4.data()) + sizeof(UdpHeader),
                    length - sizeof(UdpHeader)};
  return answer;
}

}  // namespace xebec
