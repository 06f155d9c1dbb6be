// SPDX-License-Identifier: BSD-2-Clause
// Random services that overlap in every way they may.
#include "tests/unit/random_services.h"

#include <algorithm>

#include "dataplane/wire.h"

namespace xebec::test {
namespace {

uint32_t below(std::mt19937& random, uint32_t bound) {
  return static_cast<uint32_t>(random() % bound);
}

IpPrefix random_vip(std::mt19937& random) {
  // Few networks, so that they meet.
  IpPrefix vip;
  if (below(random, 2) == 0) {
    static constexpr uint8_t kLengths[] = {32, 32, 31, 30, 28, 24, 16, 9};
    vip.network = IpAddress::from_v4(Be32::from_host(0xcb007100u + below(random, 8)));
    vip.length = static_cast<uint8_t>(IpPrefix::kV4Offset + kLengths[below(random, 8)]);
  } else {
    static constexpr uint8_t kLengths[] = {128, 128, 127, 126, 64, 63, 48, 17};
    vip.network = *IpAddress::parse("2001:db8:1:2::");
    vip.network.bytes[15] = static_cast<uint8_t>(below(random, 4));
    vip.length = kLengths[below(random, 8)];
  }
  vip.network = masked(vip.network, vip.length);
  return vip;
}

bool collides(const ServiceMatch& a, const ServiceMatch& b) {
  if (a.vip != b.vip || a.protocol != b.protocol || a.is_range() != b.is_range()) return false;
  if (!a.is_range()) return a.port == b.port;
  const bool apart = a.last_port < b.port || b.last_port < a.port;
  const bool nested =
      (a.port <= b.port && b.last_port <= a.last_port) || (b.port <= a.port && a.last_port <= b.last_port);
  return (a.port == b.port && a.last_port == b.last_port) || (!apart && !nested);
}

}  // namespace

std::vector<ServiceMatch> random_services(std::mt19937& random) {
  static constexpr uint8_t kProtocols[] = {kProtoTcp, kProtoUdp, kProtoSctp, kProtoAny, kProtoAny};
  std::vector<ServiceMatch> services;
  const uint32_t count = 1 + below(random, 24);
  for (uint32_t n = 0; n < count; ++n) {
    ServiceMatch match;
    match.vip = random_vip(random);
    match.protocol = kProtocols[below(random, 5)];
    const uint32_t ports = below(random, 8);
    if (ports != 0) match.port = static_cast<uint16_t>(1 + below(random, 40));
    if (ports > 3)
      match.last_port = static_cast<uint16_t>(match.port + 1 + below(random, ports == 7 ? 65000 : 30));
    const bool taken = std::any_of(services.begin(), services.end(),
                                   [&](const ServiceMatch& other) { return collides(match, other); });
    if (!taken) services.push_back(match);
  }
  return services;
}

RandomPacket random_packet(std::mt19937& random, const std::vector<ServiceMatch>& services) {
  static constexpr uint8_t kProtocols[] = {kProtoTcp, kProtoUdp, kProtoSctp, 47, 50, kProtoTcp};
  const ServiceMatch& near = services[below(random, static_cast<uint32_t>(services.size()))];
  RandomPacket packet;
  packet.destination = near.vip.network;
  uint8_t& last = packet.destination.bytes[15];
  last = static_cast<uint8_t>(last + below(random, 5));
  packet.protocol = kProtocols[below(random, 6)];
  if (!has_ports(packet.protocol)) return packet;
  const uint16_t edges[] = {near.port, near.last_port, static_cast<uint16_t>(1 + below(random, 80)),
                            static_cast<uint16_t>(random())};
  packet.port = static_cast<uint16_t>(edges[below(random, 4)] + below(random, 3) - 1);
  return packet;
}

}  // namespace xebec::test
