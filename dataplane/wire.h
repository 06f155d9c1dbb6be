// SPDX-License-Identifier: BSD-2-Clause
// What is on the wire: byte-order-typed integers and the headers Xebec reads or writes.
//
// Every type here has alignment 1 and is laid over packet bytes with view_as<>(). A Be16 or Be32 holds
// network order; it does not turn into a host integer by accident (tests/nocompile proves it), only by
// host().
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace xebec {

static_assert(std::endian::native == std::endian::little, "the byte swaps below assume a little-endian host");

/// 16 bits in network byte order, alignment 1.
struct Be16 {
  uint8_t bytes[2];

  static Be16 from_host(uint16_t value) {
    return from_raw(static_cast<uint16_t>((value >> 8) | (value << 8)));
  }
  /// The 16 bits as they lie in memory, for checksums and comparisons.
  static Be16 from_raw(uint16_t raw) {
    Be16 r;
    std::memcpy(r.bytes, &raw, 2);
    return r;
  }
  uint16_t host() const { return static_cast<uint16_t>((bytes[0] << 8) | bytes[1]); }
  uint16_t raw() const {
    uint16_t r;
    std::memcpy(&r, bytes, 2);
    return r;
  }
  friend bool operator==(Be16 a, Be16 b) { return a.raw() == b.raw(); }
};

/// 32 bits in network byte order, alignment 1.
struct Be32 {
  uint8_t bytes[4];

  static Be32 from_host(uint32_t value) { return from_raw(__builtin_bswap32(value)); }
  static Be32 from_raw(uint32_t raw) {
    Be32 r;
    std::memcpy(r.bytes, &raw, 4);
    return r;
  }
  uint32_t host() const { return __builtin_bswap32(raw()); }
  uint32_t raw() const {
    uint32_t r;
    std::memcpy(&r, bytes, 4);
    return r;
  }
  friend bool operator==(Be32 a, Be32 b) { return a.raw() == b.raw(); }
};

struct MacAddress {
  uint8_t bytes[6];
  friend bool operator==(const MacAddress& a, const MacAddress& b) {
    return std::memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
  }
};

// EtherTypes, host order (IEEE registry).
inline constexpr uint16_t kEtherIpv4 = 0x0800;
inline constexpr uint16_t kEtherIpv6 = 0x86dd;
inline constexpr uint16_t kEtherVlan = 0x8100;  // 802.1Q
inline constexpr uint16_t kEtherQinq = 0x88a8;  // 802.1ad

// IP protocol numbers (IANA).
inline constexpr uint8_t kProtoHopByHop = 0;
inline constexpr uint8_t kProtoIcmp = 1;
inline constexpr uint8_t kProtoIpip = 4;
inline constexpr uint8_t kProtoTcp = 6;
inline constexpr uint8_t kProtoUdp = 17;
inline constexpr uint8_t kProtoIpv6 = 41;
inline constexpr uint8_t kProtoRouting = 43;
inline constexpr uint8_t kProtoFragment = 44;
inline constexpr uint8_t kProtoGre = 47;
inline constexpr uint8_t kProtoAh = 51;
inline constexpr uint8_t kProtoIcmpv6 = 58;
inline constexpr uint8_t kProtoNoNext = 59;
inline constexpr uint8_t kProtoDestination = 60;
inline constexpr uint8_t kProtoSctp = 132;
/// Every protocol, of a service. IANA reserves the number, so no packet's own meaning is hidden.
inline constexpr uint8_t kProtoAny = 255;

/// Those whose packets begin with source and destination port.
constexpr bool has_ports(uint8_t protocol) {
  return protocol == kProtoTcp || protocol == kProtoUdp || protocol == kProtoSctp;
}

/// IEEE 802.3, without preamble and FCS.
struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  Be16 type;
};

/// IEEE 802.1Q: what follows the tag's own EtherType.
struct VlanTag {
  Be16 tci;  ///< 3 bits priority, 1 bit DEI, 12 bits VLAN id
  Be16 type;
};

/// RFC 791.
struct Ipv4Header {
  uint8_t version_ihl;
  uint8_t tos;  ///< DSCP and ECN
  Be16 total_length;
  Be16 id;
  Be16 fragment;  ///< 3 bits flags, 13 bits offset in 8-byte units
  uint8_t ttl;
  uint8_t protocol;
  Be16 checksum;
  Be32 source;
  Be32 destination;

  uint32_t header_length() const { return (version_ihl & 0x0fu) * 4u; }
};
inline constexpr uint16_t kIpv4DontFragment = 0x4000;
inline constexpr uint16_t kIpv4MoreFragments = 0x2000;
inline constexpr uint16_t kIpv4OffsetMask = 0x1fff;

/// RFC 8200.
struct Ipv6Header {
  Be32 version_class_flow;
  Be16 payload_length;
  uint8_t next_header;
  uint8_t hop_limit;
  uint8_t source[16];
  uint8_t destination[16];
};

/// RFC 8200 section 4.5.
struct Ipv6FragmentHeader {
  uint8_t next_header;
  uint8_t reserved;
  Be16 offset_flags;  ///< 13 bits offset in 8-byte units, 2 reserved, 1 bit more
  Be32 id;
};

/// RFC 9293.
struct TcpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 sequence;
  Be32 acknowledgement;
  uint8_t data_offset;  ///< upper 4 bits, in 32-bit words
  uint8_t flags;
  Be16 window;
  Be16 checksum;
  Be16 urgent;
};
inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpSyn = 0x02;
inline constexpr uint8_t kTcpRst = 0x04;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpUrg = 0x20;

/// RFC 768.
struct UdpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be16 length;
  Be16 checksum;
};

/// RFC 2784, with none of the optional fields.
struct GreHeader {
  Be16 flags_version;
  Be16 protocol;  ///< EtherType of what is inside
};

/// draft-ietf-intarea-gue-09 section 3.1, version 0, with none of the optional fields.
struct GueHeader {
  uint8_t version_control_length;
  uint8_t protocol;  ///< IP protocol number of what is inside
  Be16 flags;
};

/// RFC 7348 section 5.
struct VxlanHeader {
  Be32 flags;  ///< 8 bits, of which I says that the identifier is valid; the rest reserved
  Be32 vni;    ///< 24 bits and 8 reserved ones
};
inline constexpr uint32_t kVxlanFlagVni = 0x08000000;
/// RFC 9260 section 3.1, and the type of the first chunk behind it.
struct SctpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 verification_tag;
  uint8_t checksum[4];  ///< CRC32c, least significant byte first (RFC 9260 appendix A)
};
inline constexpr uint8_t kSctpInit = 1;  // RFC 9260 section 3.2
inline constexpr uint8_t kSctpAbort = 6;
inline constexpr uint8_t kSctpShutdown = 7;
inline constexpr uint8_t kSctpShutdownAck = 8;
inline constexpr uint8_t kSctpShutdownComplete = 14;

/// RFC 792 and RFC 4443 share these eight bytes.
struct IcmpHeader {
  uint8_t type;
  uint8_t code;
  Be16 checksum;
  Be32 rest;
};

static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);
static_assert(sizeof(VlanTag) == 4 && alignof(VlanTag) == 1);
static_assert(sizeof(Ipv4Header) == 20 && alignof(Ipv4Header) == 1);
static_assert(sizeof(Ipv6Header) == 40 && alignof(Ipv6Header) == 1);
static_assert(sizeof(Ipv6FragmentHeader) == 8 && alignof(Ipv6FragmentHeader) == 1);
static_assert(sizeof(TcpHeader) == 20 && alignof(TcpHeader) == 1);
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);
static_assert(sizeof(GreHeader) == 4 && alignof(GreHeader) == 1);
static_assert(sizeof(GueHeader) == 4 && alignof(GueHeader) == 1);
static_assert(sizeof(VxlanHeader) == 8 && alignof(VxlanHeader) == 1);
static_assert(sizeof(SctpHeader) == 12 && alignof(SctpHeader) == 1);
static_assert(sizeof(IcmpHeader) == 8 && alignof(IcmpHeader) == 1);

/// Lays a header over packet bytes. The caller has checked that sizeof(T) bytes are there.
template <typename T>
T* view_as(uint8_t* bytes) {
  static_assert(alignof(T) == 1 && std::is_trivially_copyable_v<T>);
  return reinterpret_cast<T*>(bytes);
}
template <typename T>
const T* view_as(const uint8_t* bytes) {
  static_assert(alignof(T) == 1 && std::is_trivially_copyable_v<T>);
  return reinterpret_cast<const T*>(bytes);
}

}  // namespace xebec
