// SPDX-License-Identifier: BSD-2-Clause
// Changing a packet's bytes as decided. A tunnelled packet is not decremented: a balancer beside the path,
// like a switch, is no hop of the inner packet, and the outer TTL ends loops.
#include "dataplane/rewrite.h"

#include <algorithm>
#include <utility>

#include "dataplane/checksum.h"
#include "dataplane/crc32c.h"
#include "dataplane/limits.h"
#include "dataplane/outer_header.h"
#include "dataplane/plain_rewrite.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr uint8_t kReplyTtl = 64;
constexpr uint32_t kMaxIpv4Length = 65535;
constexpr uint32_t kMaxIpv6Payload = 65535;

// fit_length() for a packet in one frame or several.
void fit_frames(Packet& packet, uint32_t length) {
  const uint32_t beyond = length - std::min(length, packet.length);
  if (beyond < packet.rest_length) {
    std::size_t frames = 0;
    for (uint32_t left = beyond; left != 0; ++frames) {
      auto& piece = packet.rest[frames];
      piece = piece.first(std::min<std::size_t>(piece.size(), left));
      left -= static_cast<uint32_t>(piece.size());
    }
    packet.rest = packet.rest.first(frames);
    packet.rest_length = beyond;
  }
  if (packet.rest_length == 0) fit_length(packet, length);
}

std::optional<DropReason> encapsulate(Packet& packet, const ParsedPacket& parsed, const Backend& backend) {
  const bool outer_v4 = backend.address.is_v4();
  const auto overhead = static_cast<uint32_t>(outer_v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header));
  const uint32_t outer_length = parsed.ip_length + overhead;
  // An outer header cannot say more than 16 bits.
  if (outer_v4 ? outer_length > kMaxIpv4Length : parsed.ip_length > kMaxIpv6Payload)
    return DropReason::too_big;
  if (backend.next_hop.mtu != 0 && outer_length > backend.next_hop.mtu) return DropReason::too_big;
  if (packet.headroom < overhead) return DropReason::no_headroom;

  packet.data -= overhead;
  packet.length += overhead;
  packet.headroom -= overhead;
  packet.room += overhead;
  // Ethernet and its tags to the front. Without tags there is nothing to move: addresses and type are written anew.
  if (parsed.l3_offset != sizeof(EthernetHeader))
    std::memmove(packet.data, packet.data + overhead, parsed.l3_offset);
  uint8_t* outer = packet.data + parsed.l3_offset;
  const Be16 type = Be16::from_host(outer_v4 ? kEtherIpv4 : kEtherIpv6);
  std::memcpy(outer - sizeof type, type.bytes, sizeof type);
  if (outer_v4) {
    write_outer_v4(outer, parsed, backend);
  } else {
    write_outer_v6(outer, parsed, backend);
  }
  fit_frames(packet, parsed.l3_offset + outer_length);
  return std::nullopt;
}

Be16* l4_checksum(const Packet& packet, const ParsedPacket& parsed) {
  uint8_t* l4 = packet.data + parsed.l4_offset;
  return parsed.protocol == kProtoTcp ? &view_as<TcpHeader>(l4)->checksum : &view_as<UdpHeader>(l4)->checksum;
}

// Sum of `length` bytes from `offset` on, over all frames of the packet.
uint64_t packet_sum(const Packet& packet, uint32_t offset, uint32_t length) {
  uint32_t here = std::min(length, packet.length - offset);
  uint64_t sum = checksum_sum(packet.data + offset, here);
  uint32_t done = here;
  for (const auto& piece : packet.rest) {
    here = static_cast<uint32_t>(std::min<std::size_t>(length - done, piece.size()));
    const uint16_t words = checksum_fold(checksum_sum(piece.data(), here));
    // Behind an odd number of bytes every byte stands in the other half of its word (RFC 1071 section 2B).
    sum += done % 2 == 0 ? words : static_cast<uint16_t>(words << 8 | words >> 8);
    done += here;
  }
  return sum;
}

// RFC 9260 section 6.8: over the packet with a checksum field of 0, which is how it came.
bool complete_crc(const Packet& packet, const ParsedPacket& parsed) {
  uint32_t left = parsed.l3_offset + parsed.ip_length - parsed.l4_offset;
  const auto here = std::min(left, packet.length - parsed.l4_offset);
  uint8_t* const l4 = packet.data + parsed.l4_offset;
  uint32_t crc = crc32c(kCrc32cInitial, l4, here);
  left -= here;
  for (const auto& piece : packet.rest) {
    const auto length = std::min<std::size_t>(left, piece.size());
    crc = crc32c(crc, piece.data(), length);
    left -= static_cast<uint32_t>(length);
  }
  crc = ~crc;
  for (uint8_t& byte : view_as<SctpHeader>(l4)->checksum) {
    byte = static_cast<uint8_t>(crc);
    crc >>= 8;
  }
  return true;
}

}  // namespace

void pad(Packet& packet) {
  const uint32_t padded = std::min(kMinFrameLength, packet.room);
  if (packet.length >= padded) return;
  std::memset(packet.data + packet.length, 0, padded - packet.length);
  packet.length = padded;
}

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

std::optional<DropReason> rewrite_to_backend(Packet& packet, const ParsedPacket& parsed,
                                             const Backend& backend) {
  if (backend.mode == Mode::ipip) {
    if (const auto reason = encapsulate(packet, parsed, backend)) return reason;
  } else {
    const uint32_t mtu = backend.next_hop.mtu;
    if (mtu != 0 && parsed.ip_length > mtu) return DropReason::too_big;
    fit_frames(packet, parsed.l3_offset + parsed.ip_length);
  }
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
