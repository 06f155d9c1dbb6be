// SPDX-License-Identifier: BSD-2-Clause
#include "control/doctor_frames.h"

#include <array>
#include <cstring>

#include "control/probe_frames.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr std::size_t kEthernet = sizeof(EthernetHeader);
constexpr uint16_t kEtherArp = 0x0806;

/// Behind the ICMP header.
struct Payload {
  uint8_t magic[8];
  uint8_t run[8];
  uint8_t probe[4];
};
static_assert(alignof(Payload) == 1);
constexpr uint8_t kMagic[8] = {'x', 'e', 'b', 'e', 'c', 'd', 'o', 'c'};

/// RFC 826, for Ethernet and IPv4.
struct Arp {
  Be16 hardware, protocol;
  uint8_t hardware_length, protocol_length;
  Be16 operation;
  MacAddress sender_mac;
  Be32 sender;
  MacAddress target_mac;
  Be32 target;
};
static_assert(sizeof(Arp) == 28 && alignof(Arp) == 1);

IpAddress source_of(const Ipv6Header& ip) {
  return IpAddress::from_v6(ip.source);
}
IpAddress destination_of(const Ipv6Header& ip) {
  return IpAddress::from_v6(ip.destination);
}

std::optional<DoctorAnswer> read_echo(std::span<const uint8_t> icmp, const IpAddress& from) {
  if (icmp.size() < sizeof(IcmpHeader) + sizeof(Payload)) return std::nullopt;
  Payload payload;
  std::memcpy(&payload, icmp.data() + sizeof(IcmpHeader), sizeof payload);
  if (std::memcmp(payload.magic, kMagic, sizeof kMagic) != 0) return std::nullopt;
  DoctorAnswer answer;
  answer.address = from;
  std::memcpy(&answer.mark.run, payload.run, sizeof payload.run);
  std::memcpy(&answer.mark.probe, payload.probe, sizeof payload.probe);
  return answer;
}

std::optional<DoctorAnswer> read_icmp(std::span<const uint8_t> icmp, const IpAddress& from) {
  if (icmp.size() < sizeof(IcmpHeader)) return std::nullopt;
  const auto* header = view_as<IcmpHeader>(icmp.data());
  if (header->type == kIcmpEchoAnswer) return read_echo(icmp, from);
  if (header->type != kIcmpUnreachable) return std::nullopt;
  if (header->code != kProtocolUnreachable && header->code != kPortUnreachable) return std::nullopt;
  const auto quoted = icmp.subspan(sizeof(IcmpHeader));
  if (quoted.size() < sizeof(Ipv4Header)) return std::nullopt;
  DoctorAnswer answer{.kind = DoctorAnswer::Kind::unreachable, .address = {}, .mark = {}};
  answer.address = IpAddress::from_v4(view_as<Ipv4Header>(quoted.data())->destination);
  answer.port = header->code == kPortUnreachable;
  return answer;
}

std::optional<DoctorAnswer> read_icmp6(std::span<const uint8_t> icmp, const IpAddress& from) {
  if (icmp.size() < sizeof(IcmpHeader)) return std::nullopt;
  const auto* header = view_as<IcmpHeader>(icmp.data());
  if (header->type == kIcmp6EchoAnswer) return read_echo(icmp, from);
  const bool port = header->type == kIcmp6Unreachable && header->code == kPortUnreachable6;
  const bool protocol = header->type == kIcmp6Parameter && header->code == kUnknownNextHeader;
  const auto quoted = icmp.subspan(sizeof(IcmpHeader));
  if ((!port && !protocol) || quoted.size() < sizeof(Ipv6Header)) return std::nullopt;
  DoctorAnswer answer{.kind = DoctorAnswer::Kind::unreachable, .address = {}, .mark = {}};
  answer.address = destination_of(*view_as<Ipv6Header>(quoted.data()));
  answer.port = port;
  return answer;
}

std::optional<DoctorAnswer> read_arp(std::span<const uint8_t> bytes) {
  constexpr uint16_t kReply = 2;
  if (bytes.size() < sizeof(Arp)) return std::nullopt;
  const auto* arp = view_as<Arp>(bytes.data());
  if (arp->operation.host() != kReply || arp->protocol.host() != kEtherIpv4) return std::nullopt;
  DoctorAnswer answer{
      .kind = DoctorAnswer::Kind::arp, .address = IpAddress::from_v4(arp->sender), .mark = {}};
  answer.mac = arp->sender_mac;
  return answer;
}

}  // namespace

std::vector<uint8_t> echo_frame(const IpAddress& source, const IpAddress& destination, DoctorMark mark) {
  const bool v4 = source.is_v4();
  std::array<uint8_t, sizeof(IcmpHeader) + sizeof(Payload)> l4{};
  view_as<IcmpHeader>(l4.data())->type = v4 ? kIcmpEchoRequest : kIcmp6EchoRequest;
  auto* payload = view_as<Payload>(l4.data() + sizeof(IcmpHeader));
  std::memcpy(payload->magic, kMagic, sizeof kMagic);
  std::memcpy(payload->run, &mark.run, sizeof payload->run);
  std::memcpy(payload->probe, &mark.probe, sizeof payload->probe);
  return ip_frame({.source = source, .destination = destination, .protocol = v4 ? kProtoIcmp : kProtoIcmpv6},
                  l4);
}

std::vector<uint8_t> arp_probe(const MacAddress& source, const IpAddress& wanted) {
  std::vector<uint8_t> frame(kMinFrameLength);
  auto* ethernet = view_as<EthernetHeader>(frame.data());
  std::memset(ethernet->destination.bytes, 0xff, sizeof ethernet->destination.bytes);
  ethernet->source = source;
  ethernet->type = Be16::from_host(kEtherArp);
  auto* arp = view_as<Arp>(frame.data() + kEthernet);
  arp->hardware = Be16::from_host(1);
  arp->protocol = Be16::from_host(kEtherIpv4);
  arp->hardware_length = sizeof(MacAddress);
  arp->protocol_length = sizeof(Be32);
  arp->operation = Be16::from_host(1);
  arp->sender_mac = source;
  arp->target = wanted.v4();
  return frame;
}

std::optional<DoctorAnswer> read_answer(std::span<const uint8_t> frame) {
  if (frame.size() < kEthernet) return std::nullopt;
  const uint16_t type = view_as<EthernetHeader>(frame.data())->type.host();
  const auto l3 = frame.subspan(kEthernet);
  if (type == kEtherArp) return read_arp(l3);
  if (type == kEtherIpv4 && l3.size() >= sizeof(Ipv4Header)) {
    const auto* ip = view_as<Ipv4Header>(l3.data());
    const bool fits = ip->header_length() >= sizeof(Ipv4Header) && ip->header_length() <= l3.size();
    if (!fits || ip->protocol != kProtoIcmp) return std::nullopt;
    return read_icmp(l3.subspan(ip->header_length()), IpAddress::from_v4(ip->source));
  }
  if (type == kEtherIpv6 && l3.size() >= sizeof(Ipv6Header)) {
    const auto* ip = view_as<Ipv6Header>(l3.data());
    if (ip->next_header != kProtoIcmpv6) return std::nullopt;
    return read_icmp6(l3.subspan(sizeof(Ipv6Header)), source_of(*ip));
  }
  return std::nullopt;
}

}  // namespace xebec
