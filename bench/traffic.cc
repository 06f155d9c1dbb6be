// SPDX-License-Identifier: BSD-2-Clause
// The traffic both sides are given: addresses, frames, and the order of flows.
#include "bench/traffic.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>
#include <random>

#include "dataplane/checksum.h"
#include "dataplane/limits.h"
#include "dataplane/wire.h"

namespace xebec::bench {
namespace {

// Few flows are repeated to at least this many packets, so that the way round is never a short loop.
constexpr uint32_t kMinSequence = 1u << 16;

IpAddress address(bool v6, uint32_t net, uint32_t host) {
  if (!v6) return IpAddress::from_v4(Be32::from_host(net << 24 | host));
  IpAddress a;
  a.bytes = {0x20, 0x01, 0x0d, 0xb8, static_cast<uint8_t>(net)};
  const Be32 low = Be32::from_host(host);
  std::memcpy(a.bytes.data() + 12, low.bytes, sizeof low.bytes);
  return a;
}

MacAddress mac(uint8_t kind, uint32_t n) {
  return {{2, kind, 0, 0, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)}};
}

}  // namespace

std::string Scenario::name() const {
  const std::string count = flows >= 1'000'000 ? std::to_string(flows / 1'000'000) + "M"
                            : flows >= 1'000   ? std::to_string(flows / 1'000) + "k"
                                               : std::to_string(flows);
  constexpr const char* kNames[] = {"dsr-l2", "ipip", "gue", "gre", "vxlan", "dnat", "nat"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Mode::nat) + 1);
  return std::string(kNames[static_cast<std::size_t>(mode)]) + (v6 ? "-v6-" : "-v4-") + count +
         (cold ? "-cold" : "");
}

IpAddress vip(bool v6) {
  return address(v6, 192, 1);
}
IpAddress backend_address(uint32_t n, bool v6) {
  return address(v6, 172, 256 + n);
}
IpAddress tunnel_source(bool v6) {
  return address(v6, 172, 1);
}
MacAddress backend_mac(uint32_t n) {
  return mac(1, n);
}
MacAddress own_mac() {
  return mac(2, 0);
}

Traffic::Traffic(const Scenario& scenario) : v6_(scenario.v6) {
  make_frame();
  std::vector<uint32_t> order(scenario.flows);
  std::iota(order.begin(), order.end(), 0u);
  std::mt19937 random(3);
  do {
    std::shuffle(order.begin(), order.end(), random);
    for (const uint32_t n : order) {
      baseline_tuple tuple{};
      const IpAddress source = address(v6_, 10, n);
      std::memcpy(tuple.source, source.bytes.data() + (v6_ ? 0 : 12), v6_ ? 16 : 4);
      const Be16 port = Be16::from_host(static_cast<uint16_t>(1024 + n % 60'000));
      std::memcpy(&tuple.port, port.bytes, sizeof port.bytes);
      const IpAddress destination = vip(v6_);
      const uint64_t pseudo =
          v6_ ? pseudo_header_sum_v6(source.bytes.data(), destination.bytes.data(), kProtoTcp, kTcpLength)
              : pseudo_header_sum_v4(source.v4(), destination.v4(), kProtoTcp, kTcpLength);
      // frame_ has source port and checksum 0.
      const uint8_t* tcp =
          frame_.data() + sizeof(EthernetHeader) + (v6_ ? sizeof(Ipv6Header) : sizeof(Ipv4Header));
      tuple.checksum = checksum_finish(pseudo + checksum_sum(tcp, kTcpLength) + port.raw()).raw();
      sequence_.push_back(tuple);
    }
  } while (sequence_.size() < kMinSequence);
}

void Traffic::make_frame() {
  const std::size_t l3 = sizeof(EthernetHeader);
  const std::size_t l4 = l3 + (v6_ ? sizeof(Ipv6Header) : sizeof(Ipv4Header));
  frame_.resize(std::max<std::size_t>(l4 + kTcpLength, kMinFrameLength));
  auto* ethernet = view_as<EthernetHeader>(frame_.data());
  ethernet->destination = own_mac();
  ethernet->source = mac(3, 0);
  ethernet->type = Be16::from_host(v6_ ? kEtherIpv6 : kEtherIpv4);
  const IpAddress destination = vip(v6_);
  if (v6_) {
    auto* ip = view_as<Ipv6Header>(frame_.data() + l3);
    ip->version_class_flow = Be32::from_host(6u << 28);
    ip->payload_length = Be16::from_host(kTcpLength);
    ip->next_header = kProtoTcp;
    ip->hop_limit = 60;
    std::memcpy(ip->destination, destination.bytes.data(), sizeof ip->destination);
  } else {
    auto* ip = view_as<Ipv4Header>(frame_.data() + l3);
    ip->version_ihl = 0x45;
    ip->total_length = Be16::from_host(sizeof(Ipv4Header) + kTcpLength);
    ip->fragment = Be16::from_host(kIpv4DontFragment);
    ip->ttl = 60;
    ip->protocol = kProtoTcp;
    ip->destination = destination.v4();
  }
  auto* tcp = view_as<TcpHeader>(frame_.data() + l4);
  tcp->destination_port = Be16::from_host(kPort);
  tcp->sequence = Be32::from_host(1);
  tcp->data_offset = 0x50;
  tcp->flags = kTcpAck;
  tcp->window = Be16::from_host(512);
}

void Traffic::write(uint8_t* frame, const baseline_tuple& tuple, uint8_t tcp_flags) const {
  uint8_t* l3 = frame + sizeof(EthernetHeader);
  if (v6_) {
    std::memcpy(view_as<Ipv6Header>(l3)->source, tuple.source, 16);
  } else {
    auto* ip = view_as<Ipv4Header>(l3);
    std::memcpy(ip->source.bytes, tuple.source, 4);
    ip->checksum = ipv4_header_checksum(ip, sizeof *ip);
  }
  auto* tcp = view_as<TcpHeader>(l3 + (v6_ ? sizeof(Ipv6Header) : sizeof(Ipv4Header)));
  std::memcpy(tcp->source_port.bytes, &tuple.port, sizeof tuple.port);
  tcp->checksum = Be16::from_raw(tuple.checksum);
  if (tcp_flags == kTcpAck) return;
  tcp->flags = tcp_flags;
  tcp->checksum = checksum_update(tcp->checksum, Be16{{0x50, kTcpAck}}, Be16{{0x50, tcp_flags}});
}

}  // namespace xebec::bench
