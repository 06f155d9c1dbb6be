// SPDX-License-Identifier: BSD-2-Clause
// The Toeplitz hash against the vectors that Microsoft publishes for implementers of NDIS ("Verifying the RSS Hash
// Calculation").
#include "dataplane/rss.h"

#include <array>
#include <map>
#include <vector>

#include <gtest/gtest.h>

namespace xebec {
namespace {

constexpr std::array<uint8_t, 40> kKey{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                       0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                       0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                       0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

struct Vector {
  const char* destination;
  uint16_t destination_port;
  const char* source;
  uint16_t source_port;
  uint32_t of_addresses;
  uint32_t of_ports_too;
};

constexpr Vector kVectors[] = {
    {"161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178},
    {"65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea},
    {"12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a},
    {"209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f},
    {"202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2},
    {"3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d},
    {"ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf},
    {"fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61e985, 0x02d1feef},
};

RssTuple tuple_of(const Vector& v) {
  return {*IpAddress::parse(v.source), *IpAddress::parse(v.destination), v.source_port, v.destination_port};
}

TEST(Rss, HashesThePublishedVectors) {
  for (const Vector& v : kVectors) {
    EXPECT_EQ(rss_hash(kKey, tuple_of(v), false), v.of_addresses) << v.source;
    EXPECT_EQ(rss_hash(kKey, tuple_of(v)), v.of_ports_too) << v.source;
  }
}

TEST(Rss, TakesTheQueueFromTheIndirectionTable) {
  std::vector<uint32_t> table(128);
  for (uint32_t i = 0; i < table.size(); ++i) table[i] = 1000 + i;
  EXPECT_EQ(queue_of(tuple_of(kVectors[0]), kKey, table), 1000u + 0x51ccc178 % 128);
  EXPECT_EQ(queue_of(tuple_of(kVectors[0]), kKey, table, false), 1000u + 0x323e8fc2 % 128);
}

TEST(Rss, KnowsNoQueueWithoutATableOrWithTooShortAKey) {
  const std::vector<uint32_t> table{0, 1};
  EXPECT_FALSE(queue_of(tuple_of(kVectors[0]), kKey, {}).has_value());
  EXPECT_FALSE(queue_of(tuple_of(kVectors[5]), std::span(kKey).first(39), table).has_value());
  EXPECT_TRUE(queue_of(tuple_of(kVectors[0]), std::span(kKey).first(16), table).has_value());
  EXPECT_FALSE(queue_of(tuple_of(kVectors[0]), std::span(kKey).first(15), table).has_value());
}

TEST(Rss, SpreadsPortsOverQueuesEvenly) {
  const std::vector<uint32_t> table{0, 1, 2, 3};
  std::map<uint32_t, int> count;
  RssTuple tuple = tuple_of(kVectors[0]);
  for (uint32_t port = 1024; port < 1024 + 4000; ++port) {
    tuple.source_port = static_cast<uint16_t>(port);
    ++count[*queue_of(tuple, kKey, table)];
  }
  ASSERT_EQ(count.size(), 4u);
  for (const auto& [queue, n] : count) EXPECT_NEAR(n, 1000, 50) << queue;
}

}  // namespace
}  // namespace xebec
