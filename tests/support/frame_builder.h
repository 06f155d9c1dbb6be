// SPDX-License-Identifier: BSD-2-Clause
// Packets for tests, written layer by layer as a reader would draw them.
//
//   FrameBuilder().ethernet().vlan(7).ipv4("192.0.2.1", "203.0.113.10").tcp(40000,
//   443).payload("hello").build()
//
// Outer layers first; build() fills in what follows from the layers themselves: EtherTypes, protocol numbers,
// lengths and checksums. Every such field can be overridden, to build what should never be on a wire. A
// packet without ethernet() is what an ICMP error quotes or a tunnel carries; layers may be stacked (ipv4 in
// ipv6, ethernet in udp).
//
// Shares no code with the product, so that a fault in a checksum or a header struct cannot hide in both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

namespace xebec::test {

using Bytes = std::vector<uint8_t>;

// The default link-layer addresses of ethernet(): from the client's router to the balancer.
inline constexpr std::string_view kRouterMac = "02:00:00:00:00:01";
inline constexpr std::string_view kBalancerMac = "02:00:00:00:00:02";

/// What the checksum field of TCP, UDP or ICMP holds.
enum class ChecksumField : uint8_t {
  right,    ///< the full checksum
  partial,  ///< what a sender with checksum offload leaves: the folded pseudo-header sum (CHECKSUM_PARTIAL)
  zero,     ///< 0, which for UDP over IPv4 says "none"
  wrong,    ///< the full checksum, inverted
};

// Fields a test may want to choose; an empty optional is computed. All in host order.
struct Ipv4Fields {
  uint8_t tos = 0;
  uint16_t id = 0;
  bool dont_fragment = false;
  bool more_fragments = false;
  uint16_t fragment_offset = 0;  ///< in 8-byte units, as on the wire
  uint8_t ttl = 64;
  Bytes options = {};  ///< padded with end-of-options to a multiple of four
  std::optional<uint8_t> version = {};
  std::optional<uint8_t> ihl = {};  ///< in 32-bit words
  std::optional<uint16_t> total_length = {};
  std::optional<uint8_t> protocol = {};
  std::optional<uint16_t> checksum = {};
};

struct Ipv6Fields {
  uint8_t traffic_class = 0;
  uint32_t flow_label = 0;
  uint8_t hop_limit = 64;
  std::optional<uint8_t> version = {};
  std::optional<uint16_t> payload_length = {};
  std::optional<uint8_t> next_header = {};
};

struct TcpFields {
  uint8_t flags = 0x10;  ///< ACK
  uint32_t sequence = 1;
  uint32_t acknowledgement = 1;
  uint16_t window = 65535;
  Bytes options = {};                       ///< padded with end-of-options to a multiple of four
  std::optional<uint8_t> data_offset = {};  ///< in 32-bit words
  ChecksumField checksum = ChecksumField::right;
};

struct UdpFields {
  std::optional<uint16_t> length = {};
  ChecksumField checksum = ChecksumField::right;
};

struct IcmpFields {
  uint8_t code = 0;
  uint32_t rest = 0;  ///< the four bytes behind the checksum: id and sequence, MTU, ...
  ChecksumField checksum = ChecksumField::right;
};

class FrameBuilder {
 public:
  FrameBuilder& ethernet(std::string_view destination = kBalancerMac, std::string_view source = kRouterMac,
                         std::optional<uint16_t> type = {});
  /// tpid: 0x8100 or 0x88a8. tci: priority, DEI and VLAN id.
  FrameBuilder& vlan(uint16_t tci, uint16_t tpid = 0x8100);

  FrameBuilder& ipv4(std::string_view source, std::string_view destination, Ipv4Fields fields = {});
  FrameBuilder& ipv6(std::string_view source, std::string_view destination, Ipv6Fields fields = {});

  // IPv6 extension headers (RFC 8200 section 4, RFC 4302). length: bytes, a multiple of 8; filled with PadN
  // (hop-by-hop, destination), an exhausted routing header, or zeros as authentication data. AH may be a
  // multiple of 4.
  FrameBuilder& hop_by_hop(std::size_t length = 8);
  FrameBuilder& routing(std::size_t length = 8);
  FrameBuilder& destination_options(std::size_t length = 8);
  FrameBuilder& authentication(std::size_t length = 24);
  /// offset: in 8-byte units.
  FrameBuilder& fragment(uint16_t offset, bool more, uint32_t id);

  FrameBuilder& tcp(uint16_t source_port, uint16_t destination_port, TcpFields fields = {});
  FrameBuilder& udp(uint16_t source_port, uint16_t destination_port, UdpFields fields = {});
  /// ICMP under IPv4, ICMPv6 under IPv6.
  FrameBuilder& icmp(uint8_t type, IcmpFields fields = {});

  /// Bytes as they are: a payload, an embedded packet, a tunnel header.
  FrameBuilder& payload(Bytes bytes);
  FrameBuilder& payload(std::string_view text);

  /// Throws std::invalid_argument for a stack of layers that has no meaning (TCP under Ethernet).
  Bytes build() const;

 private:
  struct Layer {
    enum class Kind : uint8_t { ethernet, vlan, ipv4, ipv6, extension, tcp, udp, icmp, raw };
    Kind kind = Kind::raw;
    Bytes header = {};  ///< as far as it does not depend on the layers inside
    std::variant<std::monostate, Ipv4Fields, Ipv6Fields, TcpFields, UdpFields, IcmpFields> fields = {};
    uint16_t type =
        0;  ///< EtherType or protocol number by which the enclosing layer names this one, if fixed
    std::optional<uint16_t> inner_type = {};
  };

  FrameBuilder& add(Layer layer);
  const Layer* enclosing_ip(std::size_t index) const;
  uint16_t type_of(std::size_t index) const;
  uint16_t ether_type_inside(std::size_t index) const;
  uint8_t protocol_inside(std::size_t index) const;
  uint16_t transport_checksum(std::size_t index, const Bytes& segment, ChecksumField field) const;
  Bytes complete(std::size_t index, const Bytes& inside) const;

  std::vector<Layer> layers_;
};

/// Cuts the IP packet in an Ethernet frame (tags allowed; IPv6 without extension headers) into fragments that
/// carry `size` bytes each, a multiple of 8, the last one the rest; in order.
std::vector<Bytes> fragments_of(const Bytes& frame, std::size_t size, uint32_t id);

/// The frame without Ethernet header and VLAN tags.
Bytes ip_packet_of(const Bytes& frame);

/// Four or sixteen bytes; throws std::invalid_argument.
Bytes address_bytes(std::string_view text);
/// Six bytes; throws std::invalid_argument.
Bytes mac_bytes(std::string_view text);

/// RFC 1071, the slow and obvious way. `initial`: a sum to continue.
uint16_t internet_checksum(const Bytes& bytes, uint32_t initial = 0);

}  // namespace xebec::test
