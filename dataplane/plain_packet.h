// SPDX-License-Identifier: BSD-2-Clause
// The plain packet: TCP or UDP right behind an IP header without options or extensions, untagged, whole. Nearly every
// packet is one, and needs a dozen checks where parse() makes the general case out of many.
//
// parse() is the truth; this is a short way to the same words for packets that need no other. Whatever looks unusual,
// right or wrong, is left to parse(): so a check here may be stricter than there, never weaker. mutation_test and the
// fuzzer compare the two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/parse.h"
#include "dataplane/wire.h"

namespace xebec {

namespace plain {

template <typename Word>
inline Word load(const uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

/// The protocol as the last word of a pseudo header.
constexpr uint64_t kTcpOnWire = kProtoTcp << 8;
constexpr uint64_t kUdpOnWire = kProtoUdp << 8;

/// Sum of four words, for checksum_fold(): the carries are added back in.
inline uint64_t sum_of(const uint64_t (&words)[4]) {
  uint64_t sum = words[0];
  for (const uint64_t word : {words[1], words[2], words[3]}) {
    sum += word;
    sum += sum < word;
  }
  // Room for the rest of the pseudo header.
  return (sum & 0xffffffff) + (sum >> 32);
}

/// One of the key's five words. A word read back from stores of its parts, or two words read as one, would wait until the
/// stores have retired; so each is stored once, alone and from a register. (As an array of four, gcc put the addresses on
/// the stack and copied them from there in halves of the wrong size: a quarter of all samples.)
inline void write_key_word(FlowKey& key, std::size_t offset, uint64_t word) {
  std::memcpy(reinterpret_cast<uint8_t*>(&key) + offset, &word, sizeof word);
}

inline void write_key_rest(FlowKey& key, const uint8_t* l4, uint8_t protocol) {
  static_assert(sizeof key == 40 && offsetof(FlowKey, source_port) == 32 &&
                offsetof(FlowKey, protocol) == 36);
  write_key_word(key, 32, load<uint32_t>(l4) | uint64_t{protocol} << 32);
}

/// Ports, TCP flags and whether the checksum is partial; false unless parse() would accept the header, too. `length`: of
/// header and payload. `addresses`: their checksum sum.
inline bool parse_l4(const uint8_t* l4, uint32_t length, uint8_t protocol, uint64_t addresses,
                     ParsedPacket& out) {
  if (protocol == kProtoTcp) {
    const auto& tcp = *view_as<TcpHeader>(l4);
    if (length < sizeof(TcpHeader)) return false;
    const uint32_t header_length = (tcp.data_offset & 0xf0u) / 4;  // words in the upper half
    if (header_length < sizeof(TcpHeader) || header_length > length) return false;
    out.tcp_flags = tcp.flags;
    const Be16 length_on_wire = Be16::from_host(static_cast<uint16_t>(length));
    out.looks_partial = checksum_is_partial(tcp.checksum, addresses + kTcpOnWire + length_on_wire.raw());
    return true;
  }
  const auto& udp = *view_as<UdpHeader>(l4);
  const uint32_t udp_length = udp.length.host();
  if (protocol != kProtoUdp || udp_length < sizeof(UdpHeader) || udp_length > length) return false;
  out.tcp_flags = 0;
  out.looks_partial = checksum_is_partial(udp.checksum, addresses + kUdpOnWire + udp.length.raw());
  return out.ip_version == 4 || udp.checksum.raw() != 0;
}

inline bool parse_ipv4(const uint8_t* frame, uint32_t length, ParsedPacket& out) {
  constexpr uint32_t kL3 = sizeof(EthernetHeader);
  constexpr uint32_t kL4 = kL3 + sizeof(Ipv4Header);
  const auto& ip = *view_as<Ipv4Header>(frame + kL3);
  const uint32_t ip_length = ip.total_length.host();
  // No less than a UDP header behind it, no more than the frame has: one comparison, as the frame has so much.
  constexpr uint32_t kLeast = sizeof(Ipv4Header) + sizeof(UdpHeader);
  if (ip_length - kLeast > length - kL3 - kLeast || ip.ttl == 0) return false;
  const uint16_t fragment = ip.fragment.host();
  if ((fragment & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0) return false;
  // 0, 127 and everything from 224 up; 240 to 255 is not all martian, but rare enough for the general way.
  const uint32_t s = ip.source.bytes[0];
  const uint32_t d = ip.destination.bytes[0];
  if (s - 1 >= 223 || s == 127 || d == 0 || d == 127 || ip.source == ip.destination) return false;

  out.kind = PacketKind::transport;
  out.ip_version = 4;
  out.protocol = ip.protocol;
  out.ttl = ip.ttl;
  out.dscp_ecn = ip.tos;
  out.first_fragment = false;
  out.dont_fragment = (fragment & kIpv4DontFragment) != 0;
  out.l3_offset = kL3;
  out.l4_offset = kL4;
  out.ip_length = ip_length;
  out.fragment_id = 0;
  out.quoted_l4_offset = 0;
  constexpr uint64_t kMapped = 0xffff0000;  // ::ffff:0:0/96, the second word's first half in memory order
  write_key_word(out.key, 0, 0);
  write_key_word(out.key, 8, kMapped | uint64_t{ip.source.raw()} << 32);
  write_key_word(out.key, 16, 0);
  write_key_word(out.key, 24, kMapped | uint64_t{ip.destination.raw()} << 32);
  write_key_rest(out.key, frame + kL4, ip.protocol);
  return parse_l4(frame + kL4, ip_length - static_cast<uint32_t>(sizeof(Ipv4Header)), ip.protocol,
                  uint64_t{ip.source.raw()} + ip.destination.raw(), out);
}

inline bool parse_ipv6(const uint8_t* frame, uint32_t length, ParsedPacket& out) {
  constexpr uint32_t kL3 = sizeof(EthernetHeader);
  constexpr uint32_t kL4 = kL3 + sizeof(Ipv6Header);
  if (length < kL4 + sizeof(UdpHeader)) return false;
  const auto& ip = *view_as<Ipv6Header>(frame + kL3);
  const uint32_t l4_length = ip.payload_length.host();
  constexpr uint32_t kLeast = sizeof(UdpHeader);
  if (l4_length - kLeast > length - kL4 - kLeast || ip.hop_limit == 0) return false;
  const uint64_t addresses[4] = {load<uint64_t>(ip.source), load<uint64_t>(ip.source + 8),
                                 load<uint64_t>(ip.destination), load<uint64_t>(ip.destination + 8)};
  // All reserved addresses (::, ::1, mapped ones) begin with eight zeros.
  if (addresses[0] == 0 || addresses[2] == 0 || ip.source[0] == 0xff) return false;
  if (addresses[0] == addresses[2] && addresses[1] == addresses[3]) return false;

  out.kind = PacketKind::transport;
  out.ip_version = 6;
  out.protocol = ip.next_header;
  out.ttl = ip.hop_limit;
  out.dscp_ecn = static_cast<uint8_t>(ip.version_class_flow.host() >> 20);
  out.first_fragment = false;
  out.dont_fragment = true;
  out.l3_offset = kL3;
  out.l4_offset = kL4;
  out.ip_length = l4_length + static_cast<uint32_t>(sizeof(Ipv6Header));
  out.fragment_id = 0;
  out.quoted_l4_offset = 0;
  for (std::size_t i = 0; i < 4; ++i) write_key_word(out.key, 8 * i, addresses[i]);
  write_key_rest(out.key, frame + kL4, ip.next_header);
  return parse_l4(frame + kL4, l4_length, ip.next_header, sum_of(addresses), out);
}

}  // namespace plain

/// What a frame could be a plain packet of. `none`: it is none.
enum class PlainFamily : uint8_t { none, ipv4, ipv6 };

inline PlainFamily plain_family(const uint8_t* frame, uint32_t length) {
  constexpr uint32_t kShortest = sizeof(EthernetHeader) + sizeof(Ipv4Header) + sizeof(UdpHeader);
  if (length < kShortest) return PlainFamily::none;
  // EtherType, version and (IPv4) header length at once, in memory order.
  const uint32_t type_version = plain::load<uint32_t>(frame + 12);
  if ((type_version & 0x00ffffff) == 0x00450008) return PlainFamily::ipv4;
  if ((type_version & 0x00f0ffff) == 0x0060dd86) return PlainFamily::ipv6;
  return PlainFamily::none;
}

/// True: the frame is a plain packet and `out` is what parse() makes of it. False: ask parse(); `out` means nothing.
/// Reads only inside the frame. `family`: the frame's.
[[gnu::always_inline]] inline bool parse_plain(PlainFamily family, const uint8_t* frame, uint32_t length,
                                               ParsedPacket& out) {
  if (family == PlainFamily::ipv4) return plain::parse_ipv4(frame, length, out);
  return family == PlainFamily::ipv6 && plain::parse_ipv6(frame, length, out);
}
inline bool parse_plain(const uint8_t* frame, uint32_t length, ParsedPacket& out) {
  return parse_plain(plain_family(frame, length), frame, length, out);
}

}  // namespace xebec
