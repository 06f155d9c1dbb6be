// SPDX-License-Identifier: BSD-2-Clause
// What a forwarding table promises the workers.
#include "dataplane/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::address;
using test::TableStory;

Be16 port(uint16_t host) {
  return Be16::from_host(host);
}

TEST(Table, FindsTheExactPortBeforeAnyPort) {
  TableStory story;
  const uint32_t any = story.service("203.0.113.10", kProtoTcp, 0);
  story.backend("10.0.0.1");
  const uint32_t web = story.service("203.0.113.10", kProtoTcp, 443);
  story.backend("10.0.0.2");
  const uint32_t dns = story.service("2001:db8::10", kProtoUdp, 53);
  story.backend("2001:db8:1::1");
  const auto table = story.make();
  const struct {
    const char* vip;
    uint8_t protocol;
    uint16_t port;
    uint32_t service;
  } rows[] = {
      {"203.0.113.10", kProtoTcp, 443, web},
      {"203.0.113.10", kProtoTcp, 444, any},
      {"203.0.113.10", kProtoTcp, 0, any},
      {"203.0.113.10", kProtoUdp, 443, Table::kNone},
      {"203.0.113.11", kProtoTcp, 443, Table::kNone},
      {"2001:db8::10", kProtoUdp, 53, dns},
      {"2001:db8::10", kProtoUdp, 54, Table::kNone},
      {"203.0.113.10", 0, 0, Table::kNone},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(table->find_service(address(row.vip), row.protocol, port(row.port)), row.service)
        << row.vip << ' ' << int{row.protocol} << ' ' << row.port;
  }
}

TEST(Table, KnowsItsVipsAndWhichAreServed) {
  TableStory story;
  story.service("203.0.113.10", kProtoTcp, 443);
  story.backend("10.0.0.1");
  story.service("203.0.113.10", kProtoTcp, 80);  // no backend, but the other service has one
  story.service("203.0.113.20", kProtoTcp, 443);
  story.at(story.backend("10.0.0.1")).usable = false;
  const auto table = story.make();
  EXPECT_TRUE(table->is_vip(address("203.0.113.10")));
  EXPECT_TRUE(table->is_vip_served(address("203.0.113.10")));
  EXPECT_TRUE(table->is_vip(address("203.0.113.20")));
  EXPECT_FALSE(table->is_vip_served(address("203.0.113.20")));
  EXPECT_FALSE(table->is_vip(address("203.0.113.30")));
  EXPECT_FALSE(table->is_vip_served(address("203.0.113.30")));
}

TEST(Table, FindsEveryOneOfManyServices) {
  TableStory story;
  for (uint16_t i = 1; i <= 2000; ++i) story.service("203.0.113.10", i % 2 == 0 ? kProtoTcp : kProtoUdp, i);
  const auto table = story.make();
  for (uint16_t i = 1; i <= 2000; ++i) {
    EXPECT_EQ(table->find_service(address("203.0.113.10"), i % 2 == 0 ? kProtoTcp : kProtoUdp, port(i)),
              i - 1u);
    EXPECT_EQ(table->find_service(address("203.0.113.10"), i % 2 == 0 ? kProtoUdp : kProtoTcp, port(i)),
              Table::kNone);
  }
}

TEST(Table, MayBeEmpty) {
  const auto table = Table::make({});
  EXPECT_EQ(table->find_service(address("203.0.113.10"), kProtoTcp, port(80)), Table::kNone);
  EXPECT_FALSE(table->is_vip(address("203.0.113.10")));
}

TEST(Table, RefusesABrokenInvariantAndNamesIt) {
  const struct {
    const char* named;
    std::function<void(TableParts&)> brk;
  } rows[] = {
      {"neither TCP, UDP, SCTP nor any", [](TableParts& p) { p.services[0].protocol = kProtoIcmp; }},
      {"it has no address", [](TableParts& p) { p.services[0].vip = IpAddress{}; }},
      {"no lookup array", [](TableParts& p) { p.services[0].lookup = nullptr; }},
      {"a backend id is out of range", [](TableParts& p) { p.services[0].backend_ids.push_back(99); }},
      {"a backend is listed twice", [](TableParts& p) { p.services[0].backend_ids.push_back(0); }},
      {"a backend is listed twice", [](TableParts& p) { p.services[1].backend_ids.push_back(0); }},
      {"a backend of another service", [](TableParts& p) { p.backends[0].service = 1; }},
      {"a backend of another service", [](TableParts& p) { p.backends[0].service = 99; }},
      {"a lookup slot is beyond its backends", [](TableParts& p) { p.services[0].backend_ids.pop_back(); }},
      {"a lookup slot names a backend that is not usable",
       [](TableParts& p) { p.backends[1].usable = false; }},
      {"too many backends",
       [](TableParts& p) { p.services[0].backend_ids.resize(kMaxBackendsPerService + 1); }},
      {"services: too many", [](TableParts& p) { p.services.resize(kMaxServices + 1); }},
      {"backends: too many", [](TableParts& p) { p.backends.resize(kMaxBackends + 1); }},
      {"its service is out of range",
       [](TableParts& p) {
         p.backends.push_back(p.backends[0]);
         p.backends.back().service = static_cast<uint32_t>(p.services.size());
       }},
      {"unknown mode", [](TableParts& p) { p.backends[0].mode = static_cast<Mode>(9); }},
      {"it has no address", [](TableParts& p) { p.backends[0].address = IpAddress{}; }},
      {"its interface index is out of range",
       [](TableParts& p) { p.backends[0].next_hop.interface = kMaxInterfaces; }},
      {"no tunnel source", [](TableParts& p) { p.backends[2].tunnel_source = IpAddress{}; }},
      {"other address family", [](TableParts& p) { p.backends[2].tunnel_source = address("2001:db8::1"); }},
      {"another service has the same", [](TableParts& p) { p.services[1].port = 443; }},
  };
  for (const auto& row : rows) {
    TableStory story;
    story.service("203.0.113.10", kProtoTcp, 443);
    story.backend("10.0.0.1");
    story.backend("10.0.0.2");
    story.service("203.0.113.10", kProtoTcp, 80);
    story.backend("10.0.0.1", Mode::ipip);
    TableParts parts = story.parts();
    row.brk(parts);
    try {
      Table::make(std::move(parts));
      ADD_FAILURE() << "accepted: " << row.named;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(row.named));
    }
  }
}

TEST(Table, AcceptsAnUnresolvedTunnelWithoutSourceAndGapsAmongTheIds) {
  TableStory story;
  story.service("203.0.113.10", kProtoTcp, 443);
  const uint32_t id = story.backend("10.0.0.1", Mode::ipip);
  story.at(id).tunnel_source = IpAddress{};
  story.at(id).next_hop.resolved = false;
  TableParts parts = story.parts();
  parts.backends.resize(7);
  EXPECT_NO_THROW(Table::make(std::move(parts)));
}

}  // namespace
}  // namespace xebec
