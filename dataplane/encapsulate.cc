// SPDX-License-Identifier: BSD-2-Clause
// The headers of a tunnel.
#include "dataplane/encapsulate.h"

#include "dataplane/checksum.h"
#include "dataplane/link_header.h"
#include "dataplane/outer_header.h"
#include "dataplane/rewrite.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr uint32_t kMaxLength = UINT16_MAX;  // of an IPv4 packet, of an IPv6 payload, of a UDP datagram

// RFC 7348 section 5 and RFC 8085 section 5.1.1: source ports for entropy come from the dynamic range.
constexpr uint16_t kFirstDynamicPort = 49152;
constexpr uint32_t kDynamicPortBits = 14;

uint32_t ip_header_length(const Backend& backend) {
  return static_cast<uint32_t>(backend.address.is_v4() ? sizeof(Ipv4Header) : sizeof(Ipv6Header));
}

bool has_udp(const Backend& backend) {
  return backend.mode == Mode::gue || backend.mode == Mode::vxlan;
}

// Of the outer IP header.
uint8_t outer_protocol(const ParsedPacket& parsed, const Backend& backend) {
  if (has_udp(backend)) return kProtoUdp;
  return backend.mode == Mode::gre ? kProtoGre : tunnel_protocol(parsed);
}

// From behind the outer IP header to the packet.
uint32_t tunnel_header_length(const Backend& backend) {
  switch (backend.mode) {
    case Mode::gre:
      return sizeof(GreHeader);
    case Mode::gue:
      return static_cast<uint32_t>(sizeof(UdpHeader) + (backend.gue_header ? sizeof(GueHeader) : 0));
    case Mode::vxlan:
      return sizeof(UdpHeader) + sizeof(VxlanHeader) + sizeof(EthernetHeader);
    case Mode::dsr_l2:
    case Mode::ipip:
    case Mode::dnat:
    case Mode::nat:
      break;
  }
  return 0;
}

void write_gre(uint8_t* at, const ParsedPacket& parsed) {
  auto* gre = view_as<GreHeader>(at);
  gre->flags_version = Be16::from_host(0);
  gre->protocol = Be16::from_host(ether_type(parsed.ip_version));
}

void write_gue(uint8_t* at, const ParsedPacket& parsed) {
  auto* gue = view_as<GueHeader>(at);
  gue->version_control_length = 0;  // version 0, data, no optional fields
  gue->protocol = tunnel_protocol(parsed);
  gue->flags = Be16::from_host(0);
}

// A tag of the packet stays outside: RFC 7348 section 6.1 wants none inside.
void write_vxlan(uint8_t* at, const ParsedPacket& parsed, const Backend& backend) {
  auto* vxlan = view_as<VxlanHeader>(at);
  vxlan->flags = Be32::from_host(kVxlanFlagVni);
  vxlan->vni = Be32::from_host(backend.vni << 8);
  auto* inner = view_as<EthernetHeader>(at + sizeof(VxlanHeader));
  inner->destination = backend.inner_destination;
  inner->source = backend.inner_source;
  inner->type = Be16::from_host(ether_type(parsed.ip_version));
}

// Sum of the outer pseudo header; the source is read back, because it may be spread.
uint64_t outer_pseudo_sum(const uint8_t* ip, uint32_t udp_length) {
  const auto* header = view_as<Ipv6Header>(ip);
  return pseudo_header_sum_v6(header->source, header->destination, kProtoUdp, udp_length);
}

// The checksum is left 0, "none": IPv4 has a header checksum and RFC 7348 wants it so; over IPv6 set_udp6_checksum() sets it.
void write_udp(uint8_t* at, const ParsedPacket& parsed, const Backend& backend, uint32_t length) {
  const auto entropy = static_cast<uint16_t>(flow_entropy(parsed.key) >> (64 - kDynamicPortBits));
  auto* udp = view_as<UdpHeader>(at);
  udp->source_port = Be16::from_host(static_cast<uint16_t>(kFirstDynamicPort + entropy));
  udp->destination_port = Be16::from_host(backend.tunnel_port);
  udp->length = Be16::from_host(static_cast<uint16_t>(length));
  udp->checksum = Be16::from_raw(0);
}

void set_udp6_checksum(const Packet& packet, uint32_t ip, uint32_t udp_length) {
  const uint32_t at = ip + static_cast<uint32_t>(sizeof(Ipv6Header));
  auto* udp = view_as<UdpHeader>(packet.data + at);
  udp->checksum =
      checksum_finish(outer_pseudo_sum(packet.data + ip, udp_length) + packet_sum(packet, at, udp_length));
  if (udp->checksum.raw() == 0) udp->checksum = Be16::from_raw(0xffff);  // RFC 8200 section 8.1
}

// complete_partial_checksum() where the packet lies now: `moved` bytes behind where it was received.
void complete_inner_checksum(const Packet& packet, const ParsedPacket& received, int32_t moved) {
  ParsedPacket parsed = received;
  parsed.l3_offset = static_cast<uint16_t>(parsed.l3_offset + moved);
  parsed.l4_offset = static_cast<uint16_t>(parsed.l4_offset + moved);
  static_cast<void>(complete_partial_checksum(packet, parsed));
}

}  // namespace

uint32_t overhead_of(const Backend& backend) {
  return is_tunnel(backend.mode) ? ip_header_length(backend) + tunnel_header_length(backend) : 0;
}

bool fits_outer_length(const ParsedPacket& parsed, const Backend& backend) {
  const uint32_t payload = parsed.ip_length + tunnel_header_length(backend);
  return backend.address.is_v4() ? payload + sizeof(Ipv4Header) <= kMaxLength : payload <= kMaxLength;
}

void write_outer(Packet& packet, const ParsedPacket& parsed, const Backend& backend, uint32_t link_length) {
  const uint32_t payload = parsed.ip_length + tunnel_header_length(backend);
  uint8_t* const ip = packet.data + link_length;
  uint8_t* inside = ip + ip_header_length(backend);
  const uint8_t protocol = outer_protocol(parsed, backend);
  if (has_udp(backend)) {
    write_udp(inside, parsed, backend, payload);
    inside += sizeof(UdpHeader);
  }
  if (backend.mode == Mode::gre) write_gre(inside, parsed);
  if (backend.mode == Mode::gue && backend.gue_header) write_gue(inside, parsed);
  if (backend.mode == Mode::vxlan) write_vxlan(inside, parsed, backend);
  if (backend.address.is_v4()) {
    write_outer_v4(ip, parsed, backend, protocol, payload + static_cast<uint32_t>(sizeof(Ipv4Header)));
    return;
  }
  write_outer_v6(ip, parsed, backend, protocol, payload);
  if (!has_udp(backend) || !backend.udp6_checksum) return;
  const uint32_t begins = link_length + overhead_of(backend);
  complete_inner_checksum(packet, parsed, static_cast<int32_t>(begins) - parsed.l3_offset);
  set_udp6_checksum(packet, link_length, payload);
}

}  // namespace xebec
