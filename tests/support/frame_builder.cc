// SPDX-License-Identifier: BSD-2-Clause
// Packets for tests: from a stack of layers to bytes, innermost layer first.
#include "tests/support/frame_builder.h"

#include <arpa/inet.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace xebec::test {
namespace {

constexpr uint16_t kEtherTypeIpv4 = 0x0800;
constexpr uint16_t kEtherTypeIpv6 = 0x86dd;
constexpr uint8_t kHopByHop = 0, kIcmp = 1, kIpip = 4, kTcp = 6, kUdp = 17, kIpv6 = 41, kRouting = 43;
constexpr uint8_t kFragment = 44, kAuthentication = 51, kIcmpv6 = 58, kDestination = 60;
constexpr uint8_t kExperiment = 253;  // RFC 3692: what a bare payload under IP is called
constexpr std::size_t kIpv4Header = 20, kIpv6Header = 40;

void put8(Bytes& out, std::size_t value) {
  out.push_back(static_cast<uint8_t>(value));
}
void put16(Bytes& out, std::size_t value) {
  put8(out, value >> 8);
  put8(out, value);
}
void put32(Bytes& out, std::size_t value) {
  put16(out, value >> 16);
  put16(out, value);
}
void set16(Bytes& out, std::size_t at, std::size_t value) {
  out.at(at) = static_cast<uint8_t>(value >> 8);
  out.at(at + 1) = static_cast<uint8_t>(value);
}
uint16_t get16(const Bytes& bytes, std::size_t at) {
  return static_cast<uint16_t>((bytes.at(at) << 8) | bytes.at(at + 1));
}
void append(Bytes& out, const Bytes& more) {
  out.insert(out.end(), more.begin(), more.end());
}
Bytes joined(Bytes first, const Bytes& second) {
  append(first, second);
  return first;
}
Bytes padded_to_words(Bytes bytes) {
  bytes.resize((bytes.size() + 3) / 4 * 4);
  return bytes;
}
Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end) {
  if (begin > end || end > bytes.size()) throw std::invalid_argument("frame shorter than its headers say");
  return {bytes.begin() + static_cast<std::ptrdiff_t>(begin),
          bytes.begin() + static_cast<std::ptrdiff_t>(end)};
}

uint32_t sum_words(const Bytes& bytes, uint32_t sum) {
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8) | (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

/// Where the IP header of an Ethernet frame begins.
std::size_t ip_offset(const Bytes& frame) {
  std::size_t at = 12;
  while (get16(frame, at) == 0x8100 || get16(frame, at) == 0x88a8) at += 4;
  return at + 2;
}

}  // namespace

uint16_t internet_checksum(const Bytes& bytes, uint32_t initial) {
  return static_cast<uint16_t>(~sum_words(bytes, initial));
}

Bytes address_bytes(std::string_view text) {
  const std::string address(text);
  const bool v6 = address.find(':') != std::string::npos;
  Bytes out(v6 ? 16 : 4);
  if (inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), out.data()) != 1)
    throw std::invalid_argument("not an address: " + address);
  return out;
}

Bytes mac_bytes(std::string_view text) {
  Bytes out;
  if (text.size() != 17) throw std::invalid_argument("not a MAC address: " + std::string(text));
  for (std::size_t i = 0; i < text.size(); i += 3)
    put8(out, static_cast<std::size_t>(std::stoul(std::string(text.substr(i, 2)), nullptr, 16)));
  return out;
}

FrameBuilder& FrameBuilder::add(Layer layer) {
  layers_.push_back(std::move(layer));
  return *this;
}

FrameBuilder& FrameBuilder::ethernet(std::string_view destination, std::string_view source,
                                     std::optional<uint16_t> type) {
  return add({.kind = Layer::Kind::ethernet,
              .header = joined(mac_bytes(destination), mac_bytes(source)),
              .inner_type = type});
}

FrameBuilder& FrameBuilder::vlan(uint16_t tci, uint16_t tpid) {
  Layer layer{.kind = Layer::Kind::vlan, .type = tpid};
  put16(layer.header, tci);
  return add(std::move(layer));
}

FrameBuilder& FrameBuilder::ipv4(std::string_view source, std::string_view destination, Ipv4Fields fields) {
  Layer layer{.kind = Layer::Kind::ipv4, .type = kEtherTypeIpv4};
  layer.header = joined(address_bytes(source), address_bytes(destination));
  if (layer.header.size() != 8) throw std::invalid_argument("ipv4() wants IPv4 addresses");
  layer.fields = std::move(fields);
  return add(std::move(layer));
}

FrameBuilder& FrameBuilder::ipv6(std::string_view source, std::string_view destination, Ipv6Fields fields) {
  Layer layer{.kind = Layer::Kind::ipv6, .type = kEtherTypeIpv6};
  layer.header = joined(address_bytes(source), address_bytes(destination));
  if (layer.header.size() != 32) throw std::invalid_argument("ipv6() wants IPv6 addresses");
  layer.fields = fields;
  return add(std::move(layer));
}

namespace {

/// Everything behind the next-header byte of an options header: length, then one PadN over the rest.
Bytes padded_options(std::size_t length) {
  if (length < 8 || length % 8 != 0)
    throw std::invalid_argument("an extension header is a multiple of 8 bytes");
  Bytes out;
  put8(out, length / 8 - 1);
  for (std::size_t room = length - 2; room > 0;) {
    const std::size_t option = std::min<std::size_t>(room, 257);
    // One spare byte is Pad1; otherwise PadN with its type, length and zeros.
    put8(out, option == 1 ? 0 : 1);
    if (option > 1) put8(out, option - 2);
    out.resize(out.size() + (option > 1 ? option - 2 : 0));
    room -= option;
  }
  return out;
}

}  // namespace

FrameBuilder& FrameBuilder::hop_by_hop(std::size_t length) {
  return add({.kind = Layer::Kind::extension, .header = padded_options(length), .type = kHopByHop});
}

FrameBuilder& FrameBuilder::destination_options(std::size_t length) {
  return add({.kind = Layer::Kind::extension, .header = padded_options(length), .type = kDestination});
}

FrameBuilder& FrameBuilder::routing(std::size_t length) {
  if (length < 8 || length % 8 != 0) throw std::invalid_argument("a routing header is a multiple of 8 bytes");
  Bytes header(length - 1);  // type 0 and segments left 0: nothing left to do for a receiver
  header[0] = static_cast<uint8_t>(length / 8 - 1);
  return add({.kind = Layer::Kind::extension, .header = std::move(header), .type = kRouting});
}

FrameBuilder& FrameBuilder::authentication(std::size_t length) {
  if (length < 12 || length % 4 != 0) throw std::invalid_argument("AH is a multiple of 4 bytes, 12 at least");
  Bytes header(length - 1);
  header[0] = static_cast<uint8_t>(length / 4 - 2);
  return add({.kind = Layer::Kind::extension, .header = std::move(header), .type = kAuthentication});
}

FrameBuilder& FrameBuilder::fragment(uint16_t offset, bool more, uint32_t id) {
  Layer layer{.kind = Layer::Kind::extension, .type = kFragment};
  put8(layer.header, 0);
  put16(layer.header, static_cast<std::size_t>(offset << 3) | (more ? 1u : 0u));
  put32(layer.header, id);
  return add(std::move(layer));
}

FrameBuilder& FrameBuilder::tcp(uint16_t source_port, uint16_t destination_port, TcpFields fields) {
  Layer layer{.kind = Layer::Kind::tcp, .type = kTcp};
  put16(layer.header, source_port);
  put16(layer.header, destination_port);
  layer.fields = std::move(fields);
  return add(std::move(layer));
}

FrameBuilder& FrameBuilder::udp(uint16_t source_port, uint16_t destination_port, UdpFields fields) {
  Layer layer{.kind = Layer::Kind::udp, .type = kUdp};
  put16(layer.header, source_port);
  put16(layer.header, destination_port);
  layer.fields = fields;
  return add(std::move(layer));
}

FrameBuilder& FrameBuilder::icmp(uint8_t type, IcmpFields fields) {
  Layer layer{.kind = Layer::Kind::icmp};
  put8(layer.header, type);
  put8(layer.header, fields.code);
  layer.fields = fields;
  return add(std::move(layer));
}

FrameBuilder& FrameBuilder::payload(Bytes bytes) {
  return add({.kind = Layer::Kind::raw, .header = std::move(bytes)});
}

FrameBuilder& FrameBuilder::payload(std::string_view text) {
  return payload(Bytes(text.begin(), text.end()));
}

const FrameBuilder::Layer* FrameBuilder::enclosing_ip(std::size_t index) const {
  while (index-- > 0) {
    if (layers_[index].kind == Layer::Kind::ipv4 || layers_[index].kind == Layer::Kind::ipv6)
      return &layers_[index];
    if (layers_[index].kind != Layer::Kind::extension) break;
  }
  return nullptr;
}

/// EtherType or protocol number, whichever the layer around this one uses; 0xffff: none is known.
uint16_t FrameBuilder::type_of(std::size_t index) const {
  const Layer& layer = layers_[index];
  const Layer* ip = enclosing_ip(index);
  switch (layer.kind) {
    case Layer::Kind::ipv4:
      return ip == nullptr ? layer.type : kIpip;
    case Layer::Kind::ipv6:
      return ip == nullptr ? layer.type : kIpv6;
    case Layer::Kind::icmp:
      return ip != nullptr && ip->kind == Layer::Kind::ipv6 ? kIcmpv6 : kIcmp;
    case Layer::Kind::raw:
      return ip == nullptr ? 0xffff : kExperiment;
    default:
      return layer.type;
  }
}

uint16_t FrameBuilder::ether_type_inside(std::size_t index) const {
  if (layers_[index].inner_type) return *layers_[index].inner_type;
  if (index + 1 == layers_.size()) return 0xffff;
  const Layer::Kind inside = layers_[index + 1].kind;
  if (inside != Layer::Kind::vlan && inside != Layer::Kind::ipv4 && inside != Layer::Kind::ipv6 &&
      inside != Layer::Kind::raw)
    throw std::invalid_argument("this layer cannot follow Ethernet or a VLAN tag");
  return type_of(index + 1);
}

uint8_t FrameBuilder::protocol_inside(std::size_t index) const {
  if (index + 1 == layers_.size()) return kExperiment;
  const Layer::Kind inside = layers_[index + 1].kind;
  if (inside == Layer::Kind::ethernet || inside == Layer::Kind::vlan)
    throw std::invalid_argument("Ethernet cannot follow IP");
  return static_cast<uint8_t>(type_of(index + 1));
}

/// segment: header, checksum field zero, and everything inside.
uint16_t FrameBuilder::transport_checksum(std::size_t index, const Bytes& segment,
                                          ChecksumField field) const {
  if (field == ChecksumField::zero) return 0;
  const Layer* ip = enclosing_ip(index);
  if (ip == nullptr) throw std::invalid_argument("a transport layer needs an IP layer around it");
  uint32_t pseudo = 0;
  if (layers_[index].kind != Layer::Kind::icmp || ip->kind == Layer::Kind::ipv6) {
    Bytes header = ip->header;  // both addresses
    put32(header, segment.size());
    put32(header, type_of(index));
    pseudo = sum_words(header, 0);
  }
  if (field == ChecksumField::partial) return static_cast<uint16_t>(pseudo);
  uint16_t checksum = internet_checksum(segment, pseudo);
  // RFC 768: a computed zero is sent as all ones, for zero says there is none.
  if (layers_[index].kind == Layer::Kind::udp && checksum == 0) checksum = 0xffff;
  return field == ChecksumField::wrong ? static_cast<uint16_t>(~checksum) : checksum;
}

namespace {

Bytes ipv4_bytes(const Ipv4Fields& fields, const Bytes& addresses, uint8_t protocol, const Bytes& inside) {
  const Bytes options = padded_to_words(fields.options);
  const std::size_t length = kIpv4Header + options.size();
  Bytes out;
  put8(out, static_cast<std::size_t>(fields.version.value_or(4) << 4) | fields.ihl.value_or(length / 4));
  put8(out, fields.tos);
  put16(out, fields.total_length.value_or(length + inside.size()));
  put16(out, fields.id);
  put16(out, (fields.dont_fragment ? 0x4000u : 0u) | (fields.more_fragments ? 0x2000u : 0u) |
                 fields.fragment_offset);
  put8(out, fields.ttl);
  put8(out, fields.protocol.value_or(protocol));
  put16(out, 0);
  append(out, addresses);
  append(out, options);
  set16(out, 10, fields.checksum.value_or(internet_checksum(out)));
  return joined(std::move(out), inside);
}

Bytes ipv6_bytes(const Ipv6Fields& fields, const Bytes& addresses, uint8_t next_header, const Bytes& inside) {
  Bytes out;
  put32(out, static_cast<std::size_t>(fields.version.value_or(6)) << 28 |
                 static_cast<std::size_t>(fields.traffic_class) << 20 | fields.flow_label);
  put16(out, fields.payload_length.value_or(inside.size()));
  put8(out, fields.next_header.value_or(next_header));
  put8(out, fields.hop_limit);
  append(out, addresses);
  return joined(std::move(out), inside);
}

/// Up to the checksum field, which is zero.
Bytes tcp_bytes(const TcpFields& fields, Bytes out) {
  const Bytes options = padded_to_words(fields.options);
  put32(out, fields.sequence);
  put32(out, fields.acknowledgement);
  put8(out, static_cast<std::size_t>(fields.data_offset.value_or((20 + options.size()) / 4) << 4));
  put8(out, fields.flags);
  put16(out, fields.window);
  put32(out, 0);
  return joined(std::move(out), options);
}

}  // namespace

/// The layer's header, now that its inside is known, and that inside behind it.
Bytes FrameBuilder::complete(std::size_t index, const Bytes& inside) const {
  const Layer& layer = layers_[index];
  Bytes out = layer.header;
  switch (layer.kind) {
    case Layer::Kind::ethernet:
    case Layer::Kind::vlan:
      put16(out, ether_type_inside(index));
      break;
    case Layer::Kind::ipv4:
      return ipv4_bytes(std::get<Ipv4Fields>(layer.fields), out, protocol_inside(index), inside);
    case Layer::Kind::ipv6:
      return ipv6_bytes(std::get<Ipv6Fields>(layer.fields), out, protocol_inside(index), inside);
    case Layer::Kind::extension:
      out.insert(out.begin(), protocol_inside(index));
      break;
    case Layer::Kind::tcp: {
      const auto& fields = std::get<TcpFields>(layer.fields);
      out = joined(tcp_bytes(fields, std::move(out)), inside);
      set16(out, 16, transport_checksum(index, out, fields.checksum));
      return out;
    }
    case Layer::Kind::udp: {
      const auto& fields = std::get<UdpFields>(layer.fields);
      put16(out, fields.length.value_or(8 + inside.size()));
      put16(out, 0);
      append(out, inside);
      set16(out, 6, transport_checksum(index, out, fields.checksum));
      return out;
    }
    case Layer::Kind::icmp: {
      const auto& fields = std::get<IcmpFields>(layer.fields);
      put16(out, 0);
      put32(out, fields.rest);
      append(out, inside);
      set16(out, 2, transport_checksum(index, out, fields.checksum));
      return out;
    }
    case Layer::Kind::raw:
      break;
  }
  return joined(std::move(out), inside);
}

Bytes FrameBuilder::build() const {
  Bytes inside;
  for (std::size_t index = layers_.size(); index-- > 0;) inside = complete(index, inside);
  return inside;
}

Bytes ip_packet_of(const Bytes& frame) {
  return part(frame, ip_offset(frame), frame.size());
}

std::vector<Bytes> fragments_of(const Bytes& frame, std::size_t size, uint32_t id) {
  if (size == 0 || size % 8 != 0) throw std::invalid_argument("a fragment carries a multiple of 8 bytes");
  const std::size_t ip = ip_offset(frame);
  const bool v4 = frame.at(ip) >> 4 == 4;
  const std::size_t header_end = ip + (v4 ? (frame.at(ip) & 15u) * 4u : kIpv6Header);
  const Bytes data = part(frame, header_end, frame.size());
  std::vector<Bytes> out;
  for (std::size_t at = 0; at < data.size(); at += size) {
    const std::size_t end = std::min(at + size, data.size());
    const std::size_t more = end < data.size() ? 1 : 0;
    Bytes one = part(frame, 0, header_end);
    if (v4) {
      set16(one, ip + 2, header_end - ip + (end - at));
      set16(one, ip + 4, id);
      set16(one, ip + 6, more << 13 | at / 8);
      set16(one, ip + 10, 0);
      set16(one, ip + 10, internet_checksum(part(one, ip, header_end)));
    } else {
      set16(one, ip + 4, 8 + (end - at));
      put8(one, one.at(ip + 6));
      one.at(ip + 6) = kFragment;
      put8(one, 0);
      put16(one, at | more);
      put32(one, id);
    }
    out.push_back(joined(std::move(one), part(data, at, end)));
  }
  return out;
}

}  // namespace xebec::test
