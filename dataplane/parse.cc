// SPDX-License-Identifier: BSD-2-Clause
// From bytes to meaning. The checks run from the outside in, and the first that fails is the reason:
//
//   Ethernet and tags -> IP header -> lengths -> addresses and TTL -> extension headers -> fragments -> L4
//
// The IPv4 header checksum is not verified: nothing Xebec decides lives longer than the packet, which goes on
// to a backend that verifies it.
#include "dataplane/parse.h"

#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/limits.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

using Result = std::optional<DropReason>;
constexpr Result kOk = std::nullopt;

// Bytes that may be read: offsets below `end`, from the start of the frame; and how many more there are in other
// frames.
struct Bytes {
  const uint8_t* data;
  std::size_t end;
  std::size_t beyond;

  bool holds(std::size_t offset, std::size_t length) const { return offset <= end && length <= end - offset; }
  // There are so many bytes, readable or not.
  bool reaches(std::size_t offset, std::size_t length) const {
    return offset <= end + beyond && length <= end + beyond - offset;
  }
  // Without what lies behind `last`, which it reaches.
  Bytes up_to(std::size_t last) const {
    return last <= end ? Bytes{data, last, 0} : Bytes{data, end, last - end};
  }
  template <typename T>
  const T* at(std::size_t offset) const {
    return view_as<T>(data + offset);
  }
};

// What stands behind an IP header and its extension headers.
struct Payload {
  uint8_t protocol = 0;
  std::size_t offset = 0;
  bool fragment = false;  // of a datagram that really has more than one
  uint16_t fragment_offset = 0;
  uint32_t fragment_id = 0;
};

constexpr uint8_t kIcmpEchoRequest = 8;
constexpr uint8_t kIcmpUnreachable = 3;
constexpr uint8_t kIcmpSourceQuench = 4;
constexpr uint8_t kIcmpTimeExceeded = 11;
constexpr uint8_t kIcmpParameterProblem = 12;
constexpr uint8_t kIcmpv6FirstError = 1;  // unreachable, too big, time exceeded, parameter problem
constexpr uint8_t kIcmpv6LastError = 4;
constexpr uint8_t kIcmpv6EchoRequest = 128;

constexpr std::size_t kMinIpv4HeaderLength = sizeof(Ipv4Header);
// RFC 792 promises this much of the L4 header in an error; RFC 4443 more.
constexpr std::size_t kEmbeddedL4Length = 8;

Result parse_ethernet(const Bytes& frame, ParsedPacket& out) {
  if (!frame.holds(0, sizeof(EthernetHeader))) return DropReason::truncated;
  std::size_t offset = sizeof(EthernetHeader);
  uint16_t type = frame.at<EthernetHeader>(0)->type.host();
  for (uint32_t tags = 0; tags < kMaxVlanTags && (type == kEtherVlan || type == kEtherQinq); ++tags) {
    if (!frame.holds(offset, sizeof(VlanTag))) return DropReason::truncated;
    type = frame.at<VlanTag>(offset)->type.host();
    offset += sizeof(VlanTag);
  }
  if (type != kEtherIpv4 && type != kEtherIpv6) return DropReason::not_ip;
  out.ip_version = type == kEtherIpv4 ? 4 : 6;
  out.l3_offset = static_cast<uint16_t>(offset);
  return kOk;
}

// RFC 1122 section 3.2.1.3, RFC 6890: what no packet may carry as source, and what never leaves a host.
bool is_martian_v4(Be32 source, Be32 destination) {
  const uint8_t s = source.bytes[0];
  const uint8_t d = destination.bytes[0];
  if (s == 0 || s == 127 || (s & 0xf0) == 224 || source.host() == 0xffffffffu) return true;
  if (d == 0 || d == 127) return true;
  return source == destination;  // a land attack; no host talks to itself through us
}

// RFC 4291 sections 2.5.2, 2.5.3 (:: and ::1) and 2.7; RFC 4038 section 4.2 (mapped addresses are not for the
// wire).
bool is_reserved_v6(const IpAddress& address) {
  const auto& b = address.bytes;
  if (address.is_v4()) return true;
  for (std::size_t i = 0; i < 15; ++i) {
    if (b[i] != 0) return false;
  }
  return b[15] <= 1;
}

bool is_martian_v6(const IpAddress& source, const IpAddress& destination) {
  if (source.bytes[0] == 0xff) return true;
  if (is_reserved_v6(source) || is_reserved_v6(destination)) return true;
  return source == destination;
}

// Walks extension headers from `offset` to the payload, or to the payload of a later fragment.
Result walk_extensions(const Bytes& bytes, std::size_t offset, uint8_t next, Payload& out) {
  bool fragment_seen = false;
  for (uint32_t walked = 0;; ++walked) {
    const bool is_extension = next == kProtoHopByHop || next == kProtoDestination || next == kProtoRouting ||
                              next == kProtoAh || next == kProtoFragment;
    if (!is_extension) break;
    if (walked == kMaxIpv6Extensions) return DropReason::bad_extension;
    if (!bytes.holds(offset, 8)) return DropReason::truncated;
    const uint8_t* header = bytes.data + offset;
    std::size_t length = (std::size_t{header[1]} + 1) * 8;

    if (next == kProtoHopByHop && walked != 0) return DropReason::bad_extension;
    // Segments left: the packet is not at its destination yet, so the VIP is only a stop on its way.
    if (next == kProtoRouting && header[3] != 0) return DropReason::bad_extension;
    if (next == kProtoAh) {
      length = (std::size_t{header[1]} + 2) * 4;
      if (length < 12) return DropReason::bad_extension;  // RFC 4302: twelve fixed bytes
    }
    if (next == kProtoFragment) {
      if (fragment_seen) return DropReason::bad_extension;
      fragment_seen = true;
      length = sizeof(Ipv6FragmentHeader);
      const auto* fragment = bytes.at<Ipv6FragmentHeader>(offset);
      const uint16_t offset_flags = fragment->offset_flags.host();
      out.fragment_offset = static_cast<uint16_t>(offset_flags >> 3);
      // RFC 6946: offset 0 with nothing to come is a whole packet.
      out.fragment = (offset_flags & 0xfff9u) != 0;
      out.fragment_id = fragment->id.host();
    }
    if (!bytes.holds(offset, length)) return DropReason::truncated;
    next = header[0];
    offset += length;
    if (out.fragment_offset != 0) break;  // what follows is the middle of something
  }
  out.protocol = next;
  out.offset = offset;
  return kOk;
}

void set_fragment_v4(const Ipv4Header& header, Payload& out) {
  const uint16_t fragment = header.fragment.host();
  out.fragment_offset = fragment & kIpv4OffsetMask;
  out.fragment = (fragment & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0;
  out.fragment_id = header.id.host();
}

Result parse_ipv4(const Bytes& frame, ParsedPacket& out, Payload& payload) {
  if (!frame.holds(out.l3_offset, kMinIpv4HeaderLength)) return DropReason::truncated;
  const auto& header = *frame.at<Ipv4Header>(out.l3_offset);
  const uint32_t header_length = header.header_length();
  if ((header.version_ihl >> 4) != 4 || header_length < kMinIpv4HeaderLength)
    return DropReason::bad_ip_header;
  out.ip_length = header.total_length.host();
  if (out.ip_length < header_length) return DropReason::bad_ip_header;
  if (!frame.reaches(out.l3_offset, out.ip_length)) return DropReason::truncated;
  if (is_martian_v4(header.source, header.destination)) return DropReason::martian;
  if (header.ttl == 0) return DropReason::ttl_expired;

  out.ttl = header.ttl;
  out.dscp_ecn = header.tos;
  out.dont_fragment = (header.fragment.host() & kIpv4DontFragment) != 0;
  out.key.source = IpAddress::from_v4(header.source);
  out.key.destination = IpAddress::from_v4(header.destination);
  payload.protocol = header.protocol;
  payload.offset = out.l3_offset + header_length;
  set_fragment_v4(header, payload);
  return kOk;
}

Result parse_ipv6(const Bytes& frame, ParsedPacket& out, Payload& payload) {
  if (!frame.holds(out.l3_offset, sizeof(Ipv6Header))) return DropReason::truncated;
  const auto& header = *frame.at<Ipv6Header>(out.l3_offset);
  const uint32_t version_class_flow = header.version_class_flow.host();
  if ((version_class_flow >> 28) != 6) return DropReason::bad_ip_header;
  // A jumbogram (RFC 2675) says length 0 here and is then too short for its hop-by-hop header.
  out.ip_length = static_cast<uint32_t>(sizeof(Ipv6Header)) + header.payload_length.host();
  if (!frame.reaches(out.l3_offset, out.ip_length)) return DropReason::truncated;
  out.key.source = IpAddress::from_v6(header.source);
  out.key.destination = IpAddress::from_v6(header.destination);
  if (is_martian_v6(out.key.source, out.key.destination)) return DropReason::martian;
  if (header.hop_limit == 0) return DropReason::ttl_expired;

  out.ttl = header.hop_limit;
  out.dscp_ecn = static_cast<uint8_t>((version_class_flow >> 20) & 0xff);
  out.dont_fragment = true;
  const Bytes packet = frame.up_to(out.l3_offset + std::size_t{out.ip_length});
  return walk_extensions(packet, out.l3_offset + sizeof(Ipv6Header), header.next_header, payload);
}

Result parse_later_fragment(ParsedPacket& out) {
  out.kind = PacketKind::later_fragment;
  // In IPv6 the fragmentable part may begin with extension headers; only the first fragment shows the protocol.
  const uint8_t icmp = out.ip_version == 4 ? kProtoIcmp : kProtoIcmpv6;
  if (out.protocol == icmp) return DropReason::icmp_unhandled;
  return kOk;
}

Result parse_tcp(const Bytes& packet, ParsedPacket& out) {
  // Also of a first fragment the whole fixed header is asked for: less is a trick (RFC 1858 section 3).
  if (!packet.holds(out.l4_offset, sizeof(TcpHeader))) return DropReason::truncated;
  const auto& header = *packet.at<TcpHeader>(out.l4_offset);
  const std::size_t header_length = static_cast<std::size_t>(header.data_offset >> 4) * 4;
  if (header_length < sizeof(TcpHeader)) return DropReason::bad_l4_header;
  if (!out.first_fragment && !packet.reaches(out.l4_offset, header_length)) return DropReason::bad_l4_header;
  out.tcp_flags = header.flags;
  out.key.source_port = header.source_port;
  out.key.destination_port = header.destination_port;
  // A TCP segment reaches to the end of its IP packet.
  const uint32_t length = out.l3_offset + out.ip_length - out.l4_offset;
  out.looks_partial =
      !out.first_fragment && checksum_is_partial(header.checksum, pseudo_header_sum(out, length));
  return kOk;
}

Result parse_udp(const Bytes& packet, ParsedPacket& out) {
  if (!packet.holds(out.l4_offset, sizeof(UdpHeader))) return DropReason::truncated;
  const auto& header = *packet.at<UdpHeader>(out.l4_offset);
  const uint16_t length = header.length.host();
  if (length < sizeof(UdpHeader)) return DropReason::bad_l4_header;
  if (!out.first_fragment && !packet.reaches(out.l4_offset, length)) return DropReason::bad_l4_header;
  // RFC 8200 section 8.1: without a checksum it is not UDP over IPv6.
  if (out.ip_version == 6 && header.checksum.raw() == 0) return DropReason::bad_l4_header;
  out.key.source_port = header.source_port;
  out.key.destination_port = header.destination_port;
  // UDP says its own length, and its checksum covers that much (RFC 768).
  out.looks_partial =
      !out.first_fragment && checksum_is_partial(header.checksum, pseudo_header_sum(out, length));
  return kOk;
}

// The first chunk in TCP's words, which is what the flow table understands (dataplane/flow_state.h). The chunks that open
// and end an association may not share a packet with others (RFC 9260 section 6.10), but for ABORT and SHUTDOWN, which
// are missed behind another: then the association is forgotten when it has been silent for long.
uint8_t flags_of_chunk(uint8_t type) {
  switch (type) {
    case kSctpInit:
      return kTcpSyn;
    case kSctpAbort:
      return kTcpRst;
    case kSctpShutdown:
    case kSctpShutdownAck:
    case kSctpShutdownComplete:
      return kTcpFin | kTcpAck;
    default:
      return kTcpAck;
  }
}

Result parse_sctp(const Bytes& packet, ParsedPacket& out) {
  if (!packet.holds(out.l4_offset, sizeof(SctpHeader))) return DropReason::truncated;
  const auto& header = *packet.at<SctpHeader>(out.l4_offset);
  out.key.source_port = header.source_port;
  out.key.destination_port = header.destination_port;
  const std::size_t chunk = out.l4_offset + sizeof(SctpHeader);
  out.tcp_flags = flags_of_chunk(packet.holds(chunk, 1) ? packet.data[chunk] : uint8_t{0});
  // Linux leaves 0 where the device shall compute the CRC (net/sctp/output.c). A true CRC of 0 comes out as 0 again.
  static constexpr uint8_t kLeftToDevice[4] = {};
  out.looks_partial =
      !out.first_fragment && std::memcmp(header.checksum, kLeftToDevice, sizeof kLeftToDevice) == 0;
  return kOk;
}

// The IP header of the packet an ICMP error quotes; the quotation may end early, so its lengths mean nothing.
bool parse_embedded_ip(const Bytes& packet, std::size_t offset, uint8_t version, FlowKey& key,
                       Payload& payload) {
  if (version == 4) {
    if (!packet.holds(offset, kMinIpv4HeaderLength)) return false;
    const auto& header = *packet.at<Ipv4Header>(offset);
    if ((header.version_ihl >> 4) != 4 || header.header_length() < kMinIpv4HeaderLength) return false;
    key.source = IpAddress::from_v4(header.destination);
    key.destination = IpAddress::from_v4(header.source);
    payload.protocol = header.protocol;
    payload.offset = offset + header.header_length();
    set_fragment_v4(header, payload);
    return true;
  }
  if (!packet.holds(offset, sizeof(Ipv6Header))) return false;
  const auto& header = *packet.at<Ipv6Header>(offset);
  if ((header.version_class_flow.host() >> 28) != 6) return false;
  key.source = IpAddress::from_v6(header.destination);
  key.destination = IpAddress::from_v6(header.source);
  return walk_extensions(packet, offset + sizeof(Ipv6Header), header.next_header, payload) == kOk;
}

// The quoted packet is what the backend sent, VIP to client; the key is the flow as the client sends it.
Result parse_icmp_error(const Bytes& packet, ParsedPacket& out) {
  FlowKey key;
  Payload embedded;
  if (!parse_embedded_ip(packet, out.l4_offset + sizeof(IcmpHeader), out.ip_version, key, embedded)) {
    return DropReason::icmp_unhandled;
  }
  if (embedded.fragment_offset != 0) return DropReason::icmp_unhandled;
  // An error goes to the sender of what it quotes; another destination is a forgery.
  if (key.destination != out.key.destination) return DropReason::icmp_unhandled;
  // An error about an error is none (RFC 1122 section 3.2.2), and echoes are answered here.
  if (embedded.protocol == out.protocol) return DropReason::icmp_unhandled;
  if (has_ports(embedded.protocol)) {
    if (!packet.holds(embedded.offset, kEmbeddedL4Length)) return DropReason::icmp_unhandled;
    const auto& ports = *packet.at<UdpHeader>(embedded.offset);  // TCP and SCTP have theirs in the same place
    key.source_port = ports.destination_port;
    key.destination_port = ports.source_port;
  }
  key.protocol = embedded.protocol;
  out.key = key;
  out.quoted_l4_offset = static_cast<uint16_t>(embedded.offset);
  out.kind = PacketKind::icmp_error;
  return kOk;
}

// Only what can be answered by a swap: with a source route the swap would send it astray, and a group address
// on the link would make one request many answers.
bool is_plain_request(const Bytes& packet, const ParsedPacket& out) {
  const auto& ethernet = *packet.at<EthernetHeader>(0);
  if (((ethernet.destination.bytes[0] | ethernet.source.bytes[0]) & 1) != 0) return false;
  const std::size_t plain = out.ip_version == 4 ? kMinIpv4HeaderLength : sizeof(Ipv6Header);
  return out.l4_offset == out.l3_offset + plain;
}

Result parse_icmp(const Bytes& packet, ParsedPacket& out) {
  if (out.first_fragment) return DropReason::icmp_unhandled;
  if (!packet.holds(out.l4_offset, sizeof(IcmpHeader))) return DropReason::truncated;
  const uint8_t type = packet.at<IcmpHeader>(out.l4_offset)->type;
  const bool v4 = out.ip_version == 4;
  if (type == (v4 ? kIcmpEchoRequest : kIcmpv6EchoRequest)) {
    if (!is_plain_request(packet, out)) return DropReason::icmp_unhandled;
    out.kind = PacketKind::icmp_echo;
    return kOk;
  }
  const bool is_error = v4 ? type == kIcmpUnreachable || type == kIcmpSourceQuench ||
                                 type == kIcmpTimeExceeded || type == kIcmpParameterProblem
                           : type >= kIcmpv6FirstError && type <= kIcmpv6LastError;
  return is_error ? parse_icmp_error(packet, out) : DropReason::icmp_unhandled;
}

Result parse_l4(const Bytes& packet, ParsedPacket& out) {
  out.kind = PacketKind::transport;
  if (out.protocol == kProtoTcp) return parse_tcp(packet, out);
  if (out.protocol == kProtoUdp) return parse_udp(packet, out);
  if (out.protocol == kProtoSctp) return parse_sctp(packet, out);
  if (out.protocol == (out.ip_version == 4 ? kProtoIcmp : kProtoIcmpv6)) return parse_icmp(packet, out);
  return kOk;  // no ports: the flow is the addresses and the protocol
}

}  // namespace

std::optional<DropReason> parse(std::span<const uint8_t> frame, ParsedPacket& out, std::size_t beyond) {
  out = ParsedPacket{};
  const Bytes bytes{frame.data(), frame.size(), beyond};
  if (const Result bad = parse_ethernet(bytes, out)) return bad;
  Payload payload;
  const Result bad_ip =
      out.ip_version == 4 ? parse_ipv4(bytes, out, payload) : parse_ipv6(bytes, out, payload);
  if (bad_ip) return bad_ip;

  // Fits: an IP packet is at most 65,575 bytes behind 22 of Ethernet, and the headers before L4 are far
  // fewer.
  out.l4_offset = static_cast<uint16_t>(payload.offset);
  out.protocol = payload.protocol;
  out.key.protocol = payload.protocol;
  if (payload.fragment) {
    out.fragment_id = payload.fragment_id;
    if (payload.fragment_offset != 0) return parse_later_fragment(out);
    out.first_fragment = true;
  }
  return parse_l4(bytes.up_to(out.l3_offset + std::size_t{out.ip_length}), out);
}

uint64_t pseudo_header_sum(const ParsedPacket& parsed, uint32_t l4_length) {
  const IpAddress& source = parsed.key.source;
  const IpAddress& destination = parsed.key.destination;
  if (parsed.ip_version == 4) {
    return pseudo_header_sum_v4(source.v4(), destination.v4(), parsed.protocol, l4_length);
  }
  return pseudo_header_sum_v6(source.bytes.data(), destination.bytes.data(), parsed.protocol, l4_length);
}

}  // namespace xebec
