// SPDX-License-Identifier: BSD-2-Clause
// Which service has a packet: prefixes, ranges and protocols, against a search of all services one by one.
#include "dataplane/service_match.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "dataplane/table.h"
#include "tests/unit/forward_world.h"
#include "tests/unit/random_services.h"

namespace xebec {
namespace {

using test::address;

ServiceMatch match(std::string_view vip, uint8_t protocol, uint16_t port, uint16_t last = 0) {
  return {*IpPrefix::parse(vip), port, last, protocol};
}

std::unique_ptr<const Table> table_of(const std::vector<ServiceMatch>& matches) {
  TableParts parts;
  for (const ServiceMatch& m : matches) {
    Service service;
    service.name = std::to_string(parts.services.size());
    service.vip = m.vip.network;
    service.vip_length = m.vip.length;
    service.port = m.port;
    service.last_port = m.last_port;
    service.protocol = m.protocol;
    service.lookup = std::make_shared<const MaglevTable>();
    parts.services.push_back(std::move(service));
  }
  return Table::make(std::move(parts));
}

TEST(ServiceMatch, TakesThePortBeforeTheRangeBeforeAnyAndTheProtocolBeforeAny) {
  const std::vector<ServiceMatch> services = {
      match("203.0.113.10", kProtoTcp, 8050),       match("203.0.113.10", kProtoTcp, 8000, 8099),
      match("203.0.113.10", kProtoTcp, 8020, 8029), match("203.0.113.10", kProtoTcp, 0),
      match("203.0.113.10", kProtoAny, 8025),       match("203.0.113.10", kProtoAny, 8050),
      match("203.0.113.10", kProtoAny, 8000, 8099), match("203.0.113.10", kProtoAny, 0),
      match("203.0.113.0/24", kProtoTcp, 443),      match("203.0.0.0/16", kProtoUdp, 0),
      match("2001:db8::/32", kProtoSctp, 1, 65535)};
  const auto table = table_of(services);
  const struct {
    const char* destination;
    uint8_t protocol;
    uint16_t port;
    uint32_t service;
  } rows[] = {
      {"203.0.113.10", kProtoTcp, 8050, 0},  // the exact port, of its protocol
      {"203.0.113.10", kProtoUdp, 8050, 5},  // ... of any
      {"203.0.113.10", kProtoTcp, 8025, 4},  // an exact port of any protocol before a range of its own
      {"203.0.113.10", kProtoTcp, 8024, 2},  // the narrower range
      {"203.0.113.10", kProtoTcp, 8020, 2},
      {"203.0.113.10", kProtoTcp, 8029, 2},
      {"203.0.113.10", kProtoTcp, 8019, 1},
      {"203.0.113.10", kProtoTcp, 8030, 1},
      {"203.0.113.10", kProtoTcp, 8000, 1},
      {"203.0.113.10", kProtoTcp, 8099, 1},
      {"203.0.113.10", kProtoTcp, 7999, 3},
      {"203.0.113.10", kProtoTcp, 8100, 3},
      {"203.0.113.10", kProtoSctp, 8000, 6},
      {"203.0.113.10", kProtoSctp, 7999, 7},
      {"203.0.113.10", 47, 0, 7},           // GRE has no ports: any protocol on any port
      {"203.0.113.10", kProtoTcp, 443, 3},  // the address before the prefix it lies in
      {"203.0.113.11", kProtoTcp, 443, 8},
      {"203.0.113.11", kProtoTcp, 444, Table::kNone},
      {"203.0.113.11", kProtoUdp, 444, 9},  // nothing in the longer prefix: the shorter one
      {"203.0.114.1", kProtoUdp, 1, 9},
      {"203.0.114.1", kProtoTcp, 443, Table::kNone},
      {"203.1.0.0", kProtoUdp, 1, Table::kNone},
      {"202.255.255.255", kProtoUdp, 1, Table::kNone},
      {"2001:db8:ffff::1", kProtoSctp, 65535, 10},
      {"2001:db8::", kProtoSctp, 1, 10},
      {"2001:db8::", kProtoSctp, 0, Table::kNone},
      {"2001:db9::", kProtoSctp, 1, Table::kNone},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(table->find_service(address(row.destination), row.protocol, Be16::from_host(row.port)),
              row.service)
        << row.destination << ' ' << int{row.protocol} << ' ' << row.port;
  }
}

TEST(ServiceMatch, KnowsEveryAddressOfAPrefixForAVip) {
  const auto table =
      table_of({match("203.0.113.0/30", kProtoTcp, 443), match("2001:db8::/127", kProtoTcp, 443)});
  for (const char* vip : {"203.0.113.0", "203.0.113.3", "2001:db8::", "2001:db8::1"})
    EXPECT_TRUE(table->is_vip(address(vip))) << vip;
  for (const char* other : {"203.0.112.255", "203.0.113.4", "2001:db8::2", "2001:db7:ffff::", "10.0.0.1"})
    EXPECT_FALSE(table->is_vip(address(other))) << other;
}

// The plain way: every service is looked at, the most specific of those that match wins.
uint32_t search_all(const std::vector<ServiceMatch>& services, const test::RandomPacket& packet) {
  uint32_t best = Table::kNone;
  const auto rank = [&](uint32_t i) {
    const ServiceMatch& m = services[i];
    const int width = m.port == 0 ? 1 << 17 : m.is_range() ? m.last_port - m.port : 0;
    return std::tuple(-int{m.vip.length}, width, m.protocol == kProtoAny);
  };
  for (uint32_t i = 0; i < services.size(); ++i) {
    const ServiceMatch& m = services[i];
    if (!m.vip.contains(packet.destination)) continue;
    if (m.protocol != packet.protocol && m.protocol != kProtoAny) continue;
    const bool ported = has_ports(packet.protocol);
    if (m.port != 0 && (!ported || packet.port < m.port || packet.port > std::max(m.port, m.last_port)))
      continue;
    if (best == Table::kNone || rank(i) < rank(best)) best = i;
  }
  return best;
}

TEST(ServiceMatch, FindsWhatASearchOfAllServicesFinds) {
  std::mt19937 random(20260101);
  int found = 0, none = 0;
  for (int round = 0; round < 300; ++round) {
    const auto services = test::random_services(random);
    const auto table = table_of(services);
    for (int n = 0; n < 300; ++n) {
      const auto packet = test::random_packet(random, services);
      const uint32_t expected = search_all(services, packet);
      ASSERT_EQ(table->find_service(packet.destination, packet.protocol, Be16::from_host(packet.port)),
                expected)
          << "round " << round << ": " << packet.destination.to_string() << ' ' << int{packet.protocol} << ' '
          << packet.port;
      ++(expected == Table::kNone ? none : found);
    }
  }
  EXPECT_GT(found, 20'000);
  EXPECT_GT(none, 5'000);
}

TEST(PortSegments, CutOverlapsSoThatTheNarrowestIsInForce) {
  EXPECT_EQ(port_segments({{10, 20, 1}, {1, 100, 2}, {15, 15, 3}, {101, 101, 2}}),
            (std::vector<PortSegment>{{1, 9, 2}, {10, 14, 1}, {15, 15, 3}, {16, 20, 1}, {21, 101, 2}}));
  EXPECT_EQ(port_segments({{1, 65535, 7}}), (std::vector<PortSegment>{{1, 65535, 7}}));
  EXPECT_EQ(port_segments({{5, 9, 1, 1}, {5, 9, 2, 0}}), (std::vector<PortSegment>{{5, 9, 2}}));
  EXPECT_TRUE(port_segments({}).empty());
}

TEST(PortBlocks, MakeUpExactlyTheirPorts) {
  std::mt19937 random(7);
  for (int n = 0; n < 3000; ++n) {
    auto first = static_cast<uint16_t>(random());
    auto last = static_cast<uint16_t>(random());
    if (n == 0) first = 0, last = 65535;
    if (n == 1) first = 1, last = 65534;
    if (first > last) std::swap(first, last);
    uint32_t next = first;
    const auto blocks = port_blocks(first, last);
    EXPECT_LE(blocks.size(), 30u);
    for (const PortBlock& block : blocks) {
      ASSERT_EQ(block.first, next);
      const uint32_t size = 1u << (16 - block.length);
      ASSERT_EQ(block.first % size, 0u);
      next += size;
    }
    ASSERT_EQ(next, last + 1u);
  }
}

TEST(IpPrefix, ReadsAndWritesBothFamilies) {
  const struct {
    const char* text;
    const char* written;  // nullptr: refused
    bool stray;
  } rows[] = {{"203.0.113.0/24", "203.0.113.0/24", false}, {"203.0.113.1/24", "203.0.113.1/24", true},
              {"203.0.113.1/32", "203.0.113.1", false},    {"203.0.113.1", "203.0.113.1", false},
              {"0.0.0.0/0", "0.0.0.0/0", false},           {"::/0", "::/0", false},
              {"2001:DB8::/32", "2001:db8::/32", false},   {"2001:db8::1/127", "2001:db8::1/127", true},
              {"2001:db8::1/128", "2001:db8::1", false},   {"203.0.113.0/33", nullptr, false},
              {"2001:db8::/129", nullptr, false},          {"203.0.113.0/", nullptr, false},
              {"203.0.113.0/024", nullptr, false},         {"203.0.113.0/2x", nullptr, false},
              {"203.0.113.0/-1", nullptr, false},          {"/24", nullptr, false},
              {"203.0.113.0/24/8", nullptr, false},        {"::ffff:1.2.3.4/120", nullptr, false}};
  for (const auto& row : rows) {
    const auto prefix = IpPrefix::parse(row.text);
    ASSERT_EQ(prefix.has_value(), row.written != nullptr) << row.text;
    if (!prefix) continue;
    EXPECT_EQ(prefix->to_string(), row.written);
    EXPECT_EQ(prefix->has_stray_bits(), row.stray) << row.text;
  }
  EXPECT_FALSE(IpPrefix::parse("::/0")->contains(address("203.0.113.1"))) << "of the other family";
}

}  // namespace
}  // namespace xebec
