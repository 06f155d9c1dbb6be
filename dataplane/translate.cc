// SPDX-License-Identifier: BSD-2-Clause
// Network address translation of one packet. What changes in the bytes a checksum covers is collected as a difference, and
// added to every checksum that covers it.
#include "dataplane/translate.h"

#include <algorithm>

#include "dataplane/checksum.h"
#include "dataplane/crc32c.h"
#include "dataplane/rewrite.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr std::size_t kTcpChecksumAt = 16;
constexpr std::size_t kUdpChecksumAt = 6;
constexpr std::size_t kSctpChecksumAt = 8;

// Ones'-complement sum of what is new less what was there (RFC 1624 eqn. 3: adding the complement subtracts).
class Difference {
 public:
  void replace(uint8_t* at, const uint8_t* with, std::size_t length) {
    sum_ += checksum_fold(checksum_sum(with, length));
    sum_ += static_cast<uint16_t>(~checksum_fold(checksum_sum(at, length)));
    std::memcpy(at, with, length);
  }
  void add(const Difference& other) { sum_ += checksum_fold(other.sum_); }
  bool none() const { return sum_ == 0; }

  /// The checksum field at `at`; what changes in the field itself is added to `outer`, which covers it.
  void apply(uint8_t* at, Difference& outer) const {
    Be16 field;
    std::memcpy(field.bytes, at, sizeof field);
    const Be16 updated = checksum_finish(static_cast<uint16_t>(~field.raw()) + uint64_t{checksum_fold(sum_)});
    outer.replace(at, updated.bytes, sizeof updated);
  }
  void apply(uint8_t* at) const {
    Difference nobody;
    apply(at, nobody);
  }

 private:
  uint64_t sum_ = 0;
};

void replace_addresses(uint8_t* l3, uint8_t ip_version, const Endpoints& to, Difference& addresses) {
  if (ip_version == 4) {
    addresses.replace(l3 + offsetof(Ipv4Header, source), to.source.bytes.data() + 12, 4);
    addresses.replace(l3 + offsetof(Ipv4Header, destination), to.destination.bytes.data() + 12, 4);
  } else {
    addresses.replace(l3 + offsetof(Ipv6Header, source), to.source.bytes.data(), 16);
    addresses.replace(l3 + offsetof(Ipv6Header, destination), to.destination.bytes.data(), 16);
  }
}

void replace_ports(uint8_t* l4, const Endpoints& to, Difference& difference) {
  difference.replace(l4, to.source_port.bytes, 2);
  difference.replace(l4 + 2, to.destination_port.bytes, 2);
}

// TTL and, for IPv4, the header checksum. `addresses`: what has changed of them. TTL and protocol are one 16-bit word.
void finish_ip_header(uint8_t* l3, uint8_t ip_version, const Difference& addresses, uint8_t ttl) {
  if (ip_version == 6) {
    view_as<Ipv6Header>(l3)->hop_limit = ttl;
    return;
  }
  Difference header = addresses;
  auto* ip = view_as<Ipv4Header>(l3);
  const uint8_t word[2] = {ttl, ip->protocol};
  header.replace(&ip->ttl, word, sizeof word);
  header.apply(ip->checksum.bytes);
}

// A UDP checksum that becomes 0 is sent as 0xffff: 0 says that there is none (RFC 768).
void apply_udp(uint8_t* field, const Difference& difference, Difference& outer) {
  Be16 before;
  std::memcpy(before.bytes, field, sizeof before);
  if (before.raw() == 0) return;
  difference.apply(field, outer);
  Be16 after;
  std::memcpy(after.bytes, field, sizeof after);
  if (after.raw() != 0) return;
  const uint8_t ones[2] = {0xff, 0xff};  // the same number in ones' complement: nothing changes outside
  std::memcpy(field, ones, sizeof ones);
}

uint32_t sctp_crc(const Packet& packet, const ParsedPacket& parsed) {
  const uint32_t length = parsed.l3_offset + parsed.ip_length - parsed.l4_offset;
  return packet_crc32c(packet, parsed.l4_offset, length, kSctpChecksumAt);
}

void translate_sctp(Packet& packet, const ParsedPacket& parsed, const Endpoints& to) {
  uint8_t* const l4 = packet.data + parsed.l4_offset;
  uint32_t field;
  std::memcpy(&field, l4 + kSctpChecksumAt, sizeof field);
  const bool right = field == sctp_crc(packet, parsed);
  Difference ports;
  replace_ports(l4, to, ports);
  const uint32_t crc = right ? sctp_crc(packet, parsed) : ~sctp_crc(packet, parsed);
  std::memcpy(l4 + kSctpChecksumAt, &crc, sizeof crc);
}

// How many bytes of transport header and payload the quoted packet had, however much of it is quoted; 0 where its length field
// does not tell, because it is a fragment.
uint32_t quoted_l4_length(const uint8_t* quoted_l3, const uint8_t* quoted_l4, uint8_t ip_version) {
  const auto headers = static_cast<uint32_t>(quoted_l4 - quoted_l3);
  uint32_t length =
      static_cast<uint32_t>(sizeof(Ipv6Header)) + view_as<Ipv6Header>(quoted_l3)->payload_length.host();
  if (ip_version == 4) {
    const auto& ip = *view_as<Ipv4Header>(quoted_l3);
    if ((ip.fragment.host() & kIpv4MoreFragments) != 0) return 0;
    length = ip.total_length.host();
  }
  return length > headers ? length - headers : 0;
}

// New ports in a quoted SCTP packet of `length` bytes. A CRC is linear: what it changes by is the CRC of what the ports change by,
// with as many zeros behind it as the packet had bytes there. So it comes right though the quotation ends before the packet did.
void replace_quoted_sctp(uint8_t* l4, const uint8_t* end, uint32_t length, const Endpoints& to,
                         Difference& message) {
  uint8_t change[4];
  std::memcpy(change, l4, sizeof change);
  replace_ports(l4, to, message);
  uint32_t crc;
  uint8_t* const field = l4 + kSctpChecksumAt;
  if (field + sizeof crc > end || length < sizeof(SctpHeader)) return;
  for (std::size_t i = 0; i < sizeof change; ++i) change[i] ^= l4[i];
  uint32_t crc_change = crc32c_update(0, change, sizeof change);
  constexpr uint8_t kZeros[64] = {};
  for (std::size_t left = length - sizeof change; left > 0;) {
    const std::size_t step = std::min(left, sizeof kZeros);
    crc_change = crc32c_update(crc_change, kZeros, step);
    left -= step;
  }
  std::memcpy(&crc, field, sizeof crc);
  crc ^= crc_change;
  uint8_t updated[sizeof crc];
  std::memcpy(updated, &crc, sizeof crc);
  message.replace(field, updated, sizeof updated);
}

void lower_sequence(uint8_t* at, uint32_t less, Difference& difference) {
  Be32 number;
  std::memcpy(&number, at, sizeof number);
  number = Be32::from_host(number.host() - less);
  difference.replace(at, number.bytes, sizeof number);
}

// RFC 1191 section 4, RFC 4443 section 3.2. Not below what every link carries.
void lower_mtu(uint8_t* icmp, uint8_t ip_version, uint32_t less, Difference& message) {
  const auto& header = *view_as<IcmpHeader>(icmp);
  const bool v4 = ip_version == 4;
  if (v4 ? header.type != 3 || header.code != 4 : header.type != 2) return;
  const uint32_t mtu = header.rest.host() & (v4 ? UINT16_MAX : UINT32_MAX);
  const uint32_t least = v4 ? kMinIpv4Mtu : kMinIpv6Mtu;
  if (mtu <= least) return;  // also 0, of routers older than RFC 1191
  const Be32 rest = Be32::from_host(header.rest.host() - std::min(less, mtu - least));
  message.replace(icmp + offsetof(IcmpHeader, rest), rest.bytes, sizeof rest);
}

}  // namespace

void translate(Packet& packet, const ParsedPacket& parsed, const Endpoints& to) {
  static_cast<void>(complete_partial_checksum(packet, parsed));
  uint8_t* const l3 = packet.data + parsed.l3_offset;
  uint8_t* const l4 = packet.data + parsed.l4_offset;
  Difference addresses;
  replace_addresses(l3, parsed.ip_version, to, addresses);
  finish_ip_header(l3, parsed.ip_version, addresses, static_cast<uint8_t>(parsed.ttl - 1));
  if (parsed.kind == PacketKind::later_fragment) return;
  if (parsed.protocol == kProtoSctp) return translate_sctp(packet, parsed, to);
  Difference segment = addresses;  // the pseudo header has them, too
  replace_ports(l4, to, segment);
  Difference nobody;
  if (parsed.protocol == kProtoTcp) segment.apply(l4 + kTcpChecksumAt, nobody);
  if (parsed.protocol == kProtoUdp) apply_udp(l4 + kUdpChecksumAt, segment, nobody);
}

void translate_icmp_error(Packet& packet, const ParsedPacket& parsed, const Endpoints& outer,
                          const Endpoints& quoted, uint32_t sequence_less, uint32_t mtu_less) {
  uint8_t* const l3 = packet.data + parsed.l3_offset;
  uint8_t* const icmp = packet.data + parsed.l4_offset;
  uint8_t* const quoted_l3 = icmp + sizeof(IcmpHeader);
  uint8_t* const quoted_l4 = packet.data + parsed.quoted_l4_offset;
  const uint8_t* const end = packet.data + std::min(packet.length, parsed.l3_offset + parsed.ip_length);

  Difference addresses;
  replace_addresses(l3, parsed.ip_version, outer, addresses);
  finish_ip_header(l3, parsed.ip_version, addresses, static_cast<uint8_t>(parsed.ttl - 1));

  Difference message;  // of all that the ICMP checksum covers
  Difference quoted_addresses;
  replace_addresses(quoted_l3, parsed.ip_version, quoted, quoted_addresses);
  message.add(quoted_addresses);
  if (parsed.ip_version == 4) quoted_addresses.apply(view_as<Ipv4Header>(quoted_l3)->checksum.bytes, message);
  Difference quoted_ports;
  if (parsed.key.protocol == kProtoSctp) {
    const uint32_t length = quoted_l4_length(quoted_l3, quoted_l4, parsed.ip_version);
    replace_quoted_sctp(quoted_l4, end, length, quoted, quoted_ports);
  } else {
    replace_ports(quoted_l4, quoted, quoted_ports);
  }
  if (sequence_less != 0)
    lower_sequence(quoted_l4 + offsetof(TcpHeader, sequence), sequence_less, quoted_ports);
  message.add(quoted_ports);
  Difference segment = quoted_addresses;
  segment.add(quoted_ports);
  if (parsed.key.protocol == kProtoUdp) apply_udp(quoted_l4 + kUdpChecksumAt, segment, message);
  // A quotation of eight bytes ends before TCP's checksum.
  if (parsed.key.protocol == kProtoTcp && quoted_l4 + kTcpChecksumAt + 2 <= end)
    segment.apply(quoted_l4 + kTcpChecksumAt, message);
  if (mtu_less != 0) lower_mtu(icmp, parsed.ip_version, mtu_less, message);
  if (parsed.ip_version == 6) message.add(addresses);  // ICMPv6 has a pseudo header
  message.apply(icmp + offsetof(IcmpHeader, checksum));
}

}  // namespace xebec
