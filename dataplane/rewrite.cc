// SPDX-License-Identifier: BSD-2-Clause
// Changing a packet's bytes as decided. A tunnelled packet is not decremented: a balancer beside the path,
// like a switch, is no hop of the inner packet, and the outer TTL ends loops.
#include "dataplane/rewrite.h"

#include <algorithm>
#include <utility>

#include "dataplane/checksum.h"
#include "dataplane/client_note.h"
#include "dataplane/crc32c.h"
#include "dataplane/encapsulate.h"
#include "dataplane/limits.h"
#include "dataplane/link_header.h"
#include "dataplane/packet.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr uint8_t kReplyTtl = 64;
constexpr uint32_t kMaxIpv4Length = 65535;

Be16* l4_checksum(const Packet& packet, const ParsedPacket& parsed) {
  uint8_t* l4 = packet.data + parsed.l4_offset;
  return parsed.protocol == kProtoTcp ? &view_as<TcpHeader>(l4)->checksum : &view_as<UdpHeader>(l4)->checksum;
}

// RFC 9260 section 6.8: over the packet with a checksum field of 0, which is how it came.
bool complete_crc(const Packet& packet, const ParsedPacket& parsed) {
  const uint32_t length = parsed.l3_offset + parsed.ip_length - parsed.l4_offset;
  const uint32_t crc = packet_crc32c(packet, parsed.l4_offset, length, offsetof(SctpHeader, checksum));
  std::memcpy(packet.data + parsed.l4_offset + offsetof(SctpHeader, checksum), &crc, sizeof crc);
  return true;
}

}  // namespace

bool complete_partial_checksum(const Packet& packet, const ParsedPacket& parsed) {
  if (!parsed.looks_partial) return false;
  if (parsed.protocol == kProtoSctp) return complete_crc(packet, parsed);
  const uint8_t* l4 = packet.data + parsed.l4_offset;
  const bool is_udp = parsed.protocol == kProtoUdp;
  const uint32_t l4_length =
      is_udp ? view_as<UdpHeader>(l4)->length.host() : parsed.l3_offset + parsed.ip_length - parsed.l4_offset;
  Be16* field = l4_checksum(packet, parsed);
  // The field is part of what is summed: taken out again by adding its complement.
  const uint64_t sum = pseudo_header_sum(parsed, l4_length) +
                       packet_sum(packet, parsed.l4_offset, l4_length) + static_cast<uint16_t>(~field->raw());
  *field = checksum_finish(sum);
  if (is_udp && field->raw() == 0) *field = Be16::from_raw(0xffff);  // 0 would say "none"
  return true;
}

uint32_t path_mtu(const Backend& backend, const ParsedPacket& parsed) {
  const uint32_t mtu = backend.next_hop.mtu != 0 ? backend.next_hop.mtu : kMaxIpv4Length;
  const uint32_t inner = mtu - std::min(mtu, overhead_of(backend) + note_overhead(backend, parsed.protocol));
  return parsed.ip_version == 4 ? inner : std::max(inner, kMinIpv6Mtu);
}

std::optional<DropReason> refusal_to_backend(const Packet& packet, const ParsedPacket& parsed,
                                             const Backend& backend) {
  const uint32_t overhead = overhead_of(backend);
  const uint32_t length = parsed.ip_length + overhead;
  if (backend.next_hop.mtu != 0 && length > backend.next_hop.mtu) return DropReason::too_big;
  if (overhead != 0 && !fits_outer_length(parsed, backend)) return DropReason::too_big;
  const LinkHeader link = link_header_of(packet, parsed, backend.next_hop);
  if (packet.headroom + parsed.l3_offset < overhead + link.length) return DropReason::no_headroom;
  return std::nullopt;
}

std::optional<DropReason> rewrite_to_backend(Packet& packet, const ParsedPacket& parsed,
                                             const Backend& backend) {
  if (const auto reason = refusal_to_backend(packet, parsed, backend)) return reason;
  const uint32_t overhead = overhead_of(backend);
  const uint32_t length = parsed.ip_length + overhead;
  const LinkHeader link = link_header_of(packet, parsed, backend.next_hop);
  const uint16_t type =
      overhead == 0 ? ether_type(parsed.ip_version) : ether_type(backend.address.is_v4() ? 4 : 6);
  replace_link_header(packet, parsed.l3_offset, link, overhead, type);
  fit_frames(packet, link.length + length);
  if (overhead != 0) write_outer(packet, parsed, backend, link.length);
  set_link_addresses(packet, backend.next_hop);
  return std::nullopt;
}

void rewrite_to_echo_reply(Packet& packet, const ParsedPacket& parsed) {
  constexpr uint8_t kIcmpEchoReply = 0;
  constexpr uint8_t kIcmpv6EchoReply = 129;
  auto* ethernet = view_as<EthernetHeader>(packet.data);
  std::swap(ethernet->destination, ethernet->source);

  uint8_t* l3 = packet.data + parsed.l3_offset;
  // Swapped addresses leave every sum they are part of as it was; incremental updates also leave a wrong
  // checksum wrong.
  if (parsed.ip_version == 4) {
    auto* ip = view_as<Ipv4Header>(l3);
    std::swap(ip->source, ip->destination);
    const Be16 before{{ip->ttl, ip->protocol}};
    ip->ttl = kReplyTtl;
    const Be16 after{{ip->ttl, ip->protocol}};
    ip->checksum = checksum_update(ip->checksum, before, after);
  } else {
    auto* ip = view_as<Ipv6Header>(l3);
    std::swap(ip->source, ip->destination);
    ip->hop_limit = kReplyTtl;
  }
  auto* icmp = view_as<IcmpHeader>(packet.data + parsed.l4_offset);
  const Be16 before{{icmp->type, icmp->code}};
  icmp->type = parsed.ip_version == 4 ? kIcmpEchoReply : kIcmpv6EchoReply;
  const Be16 after{{icmp->type, icmp->code}};
  icmp->checksum = checksum_update(icmp->checksum, before, after);
  // A reply may be nothing but zeros (type 0, id 0, no data): then only 0xffff adds up. Otherwise 0 is what a
  // full computation gives, too.
  const uint32_t length = parsed.l3_offset + parsed.ip_length - parsed.l4_offset;
  if (icmp->checksum.raw() == 0 && packet_sum(packet, parsed.l4_offset, length) == 0)
    icmp->checksum = Be16::from_raw(0xffff);
  fit_frames(packet, parsed.l3_offset + parsed.ip_length);
}

}  // namespace xebec
