// SPDX-License-Identifier: BSD-2-Clause
// Source ports of mode nat whose replies come home, where RSS foretells it.
#include "dataplane/reply_queues.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <set>

#include "dataplane/nat_table.h"
#include "dataplane/rss.h"
#include "dataplane/wire.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNow = 5000 * kSecond;
constexpr uint32_t kQueues = 4;

// Microsoft's ("Verifying the RSS Hash Calculation"), as in rss_test.
constexpr std::array<uint8_t, 40> kKey{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                       0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                       0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                       0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

std::vector<uint32_t> table_over(uint32_t queues, uint32_t entries = 128) {
  std::vector<uint32_t> table(entries);
  for (uint32_t i = 0; i < entries; ++i) table[i] = i % queues;
  return table;
}

FlowKey reply(const char* from, const char* to, uint16_t from_port, uint16_t to_port, uint8_t protocol) {
  return {*IpAddress::parse(from), *IpAddress::parse(to), Be16::from_host(from_port),
          Be16::from_host(to_port), protocol};
}

uint32_t queue_by_rss(const FlowKey& key, std::span<const uint32_t> table) {
  return *queue_of({key.source, key.destination, key.source_port.host(), key.destination_port.host()}, kKey,
                   table);
}

TEST(ReplyQueues, ForetellsThePublishedVectors) {
  // The table has so many entries that the queue is the hash's last 16 bits.
  std::vector<uint32_t> table(1 << 16);
  std::iota(table.begin(), table.end(), 0u);
  const ReplyQueues queues(kKey, table, kAllHashClasses);
  const auto foretold = [&](const char* from, uint16_t from_port, const char* to, uint16_t to_port) {
    return queues.search(reply(from, to, from_port, 0, kProtoTcp))->queue(to_port);
  };
  EXPECT_EQ(foretold("66.9.149.187", 2794, "161.142.100.80", 1766), 0xc178u);
  EXPECT_EQ(foretold("153.39.163.191", 44251, "202.188.127.2", 1303), 0x28a2u);
  EXPECT_EQ(foretold("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766), 0x7d3du);
  EXPECT_EQ(foretold("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024),
            0xfeefu);
}

TEST(ReplyQueues, AgreesWithRssOfEveryPort) {
  const auto table = table_over(3, 100);  // no power of two
  const ReplyQueues queues(kKey, table, kAllHashClasses);
  for (const auto& [from, to] : {std::pair("10.0.0.1", "198.51.100.1"), {"2001:db8::1", "2001:db8:51::1"}}) {
    FlowKey key = reply(from, to, 8443, 0, kProtoUdp);
    const auto search = queues.search(key);
    ASSERT_TRUE(search);
    for (uint32_t port = 0; port <= UINT16_MAX; ++port) {
      key.destination_port = Be16::from_host(static_cast<uint16_t>(port));
      ASSERT_EQ(search->queue(static_cast<uint16_t>(port)), queue_by_rss(key, table)) << from << ' ' << port;
    }
  }
}

TEST(ReplyQueues, ForetellsOnlyTheClassesAskedForAndOfWhichTheKeyIsLongEnough) {
  const auto table = table_over(2);
  const FlowKey tcp4 = reply("10.0.0.1", "10.0.0.2", 1, 2, kProtoTcp);
  const FlowKey udp6 = reply("2001:db8::1", "2001:db8::2", 1, 2, kProtoUdp);
  EXPECT_TRUE(ReplyQueues(kKey, table, bit_of(HashClass::tcp4)).search(tcp4));
  EXPECT_FALSE(ReplyQueues(kKey, table, bit_of(HashClass::udp4)).search(tcp4));
  EXPECT_FALSE(ReplyQueues(kKey, {}, kAllHashClasses).search(tcp4));
  const ReplyQueues short_key{std::span(kKey).first(39), table, kAllHashClasses};
  EXPECT_TRUE(short_key.search(tcp4));
  EXPECT_FALSE(short_key.search(udp6));
  EXPECT_EQ(ReplyQueues(std::span(kKey).first(15), table, kAllHashClasses).classes(), 0);
  EXPECT_FALSE(
      ReplyQueues(kKey, table, kAllHashClasses).search(reply("10.0.0.1", "10.0.0.2", 1, 2, kProtoSctp)));
}

// ---- Ports are chosen by it ----

const HashSecret kSecret;
const IpAddress kSource = *IpAddress::parse("198.51.100.1");
const IpAddress kSource6 = *IpAddress::parse("2001:db8:51::1");

NatRequest request_of(const FlowKey& client, const ReplyQueues* queues, uint16_t interface = 2) {
  const bool v4 = client.source.is_v4();
  NatRequest r{.forward = client,
               .forward_hash = flow_hash(kSecret, client),
               .reply = reply(v4 ? "10.0.0.1" : "2001:db8:1::1", v4 ? "192.0.2.1" : "2001:db8:c::1", 8443, 0,
                              client.protocol),
               .backend = 1,
               .client = {},
               .sources = {v4 ? &kSource : &kSource6, 1}};
  r.interface = interface;
  r.reply_queues = queues;
  return r;
}
FlowKey client(uint32_t i, uint8_t protocol = kProtoTcp, bool v6 = false) {
  return reply(v6 ? "2001:db8:c::1" : "192.0.2.1", v6 ? "2001:db8::10" : "203.0.113.10",
               static_cast<uint16_t>(1024 + i), 443, protocol);
}
NatTableConfig ports(uint16_t first, uint16_t last) {
  NatTableConfig c;
  c.capacity = 1 << 14, c.first_port = first, c.last_port = last;
  return c;
}

TEST(NatPorts, AreChosenSoThatRepliesComeHomeToEachWorker) {
  const auto table = table_over(kQueues);
  const ReplyQueues queues(kKey, table, kAllHashClasses);
  NatTables tables(ports(10000, 32767), kQueues);
  for (const bool v6 : {false, true}) {
    for (const uint8_t protocol : {kProtoTcp, kProtoUdp}) {
      for (uint32_t worker = 0; worker < kQueues; ++worker) {
        for (uint32_t i = 0; i < 500; ++i) {
          NatMapping m;
          const FlowKey from = client(worker * 1000 + i, protocol, v6);
          const uint32_t slot = tables.of(worker).create(request_of(from, &queues), kSecret, kNow, m);
          ASSERT_NE(slot, NatTable::kNone);
          ASSERT_EQ(queue_by_rss(m.reply, table), worker);
          ASSERT_NE(tables.of(worker).foretold(slot), 0);
          NatMapping found;
          ASSERT_EQ(tables.of(worker).find_reply(m.reply, flow_hash(kSecret, m.reply), found), slot);
        }
      }
    }
  }
}

TEST(NatPorts, AreAnyWhereNothingIsForetold) {
  NatTables tables(ports(10000, 32767), kQueues);
  const auto table = table_over(kQueues);
  uint32_t home = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    NatMapping m;
    const uint32_t slot = tables.of(0).create(request_of(client(i), nullptr), kSecret, kNow, m);
    ASSERT_NE(slot, NatTable::kNone);
    EXPECT_EQ(tables.of(0).foretold(slot), 0);
    home += queue_by_rss(m.reply, table) == 0;
  }
  EXPECT_NEAR(home, 1000 / kQueues, 60);
}

// A worker that gets few home ports, or none, uses the others; all are given once, come back, and are given again.
TEST(NatPorts, AreAllUsedBeforeAConnectionIsRefused) {
  const auto even = table_over(kQueues);
  const std::vector<uint32_t> never(128, 3);
  for (const auto& table : {even, never}) {
    const ReplyQueues queues(kKey, table, kAllHashClasses);
    NatTable nat(ports(20000, 20511), 0, kQueues);
    for (int round = 0; round < 3; ++round) {
      const uint64_t now = kNow + static_cast<uint64_t>(round) * 1000 * kSecond;
      std::set<uint16_t> given;
      NatMapping m;
      for (uint32_t i = 0; i < 128; ++i) {
        ASSERT_NE(nat.create(request_of(client(i, kProtoUdp), &queues), kSecret, now, m), NatTable::kNone)
            << i;
        ASSERT_TRUE(given.insert(m.reply.destination_port.host()).second) << "given twice";
        ASSERT_GE(m.reply.destination_port.host(), 20000);
        ASSERT_LE(m.reply.destination_port.host(), 20127);
      }
      EXPECT_EQ(nat.create(request_of(client(128, kProtoUdp), &queues), kSecret, now, m), NatTable::kNone);
      nat.expire(now + 400 * kSecond, 1 << 14);
      EXPECT_EQ(nat.used(), 0u);
    }
  }
}

TEST(NatPorts, SayNoMoreThatRepliesComeHomeWhenTheSlotIsGivenToAnother) {
  const ReplyQueues queues(kKey, table_over(kQueues), kAllHashClasses);
  NatTable nat(ports(20000, 20511), 0, kQueues);
  NatMapping m;
  const uint32_t slot = nat.create(request_of(client(1), &queues), kSecret, kNow, m);
  EXPECT_NE(nat.foretold(slot), 0);
  nat.expire(kNow + 300 * kSecond, 16);
  ASSERT_EQ(nat.create(request_of(client(2), nullptr), kSecret, kNow + 300 * kSecond, m), slot);
  EXPECT_EQ(nat.foretold(slot), 0);
}

// ---- And where replies arrive is counted ----

class Arrivals : public testing::TestWithParam<uint8_t> {
 protected:
  static constexpr uint16_t kBackendSide = 2;

  Arrivals() {
    test::TableStory story;
    story.service("203.0.113.10", GetParam(), 443);
    Backend& b = story.at(story.backend("10.0.0.1", Mode::nat));
    b.port = 8443;
    b.tunnel_source = kSource;
    b.next_hop.interface = kBackendSide;
    table_ = story.make();
    for (uint32_t w = 0; w < 2; ++w)
      workers_[w] = std::make_unique<ForwardState>(FlowTableConfig{}, &tables_, w);
    tables_.set_reply_queues(kBackendSide, &queues_);
  }

  Decision send(uint32_t worker, const Bytes& bytes, Packet* out = nullptr) {
    memory_ = std::make_unique<HeapFrame>(bytes);
    Packet packet = memory_->packet();
    Decision decision;
    forward_batch(*table_, *workers_[worker], {&packet, 1}, {&decision, 1}, kNow);
    if (out != nullptr) *out = packet;
    return decision;
  }
  static Bytes packet(const char* from, const char* to, uint16_t sport, uint16_t dport, uint8_t flags) {
    FrameBuilder frame = FrameBuilder().ethernet().ipv4(from, to);
    if (GetParam() == kProtoTcp) return frame.tcp(sport, dport, {.flags = flags}).build();
    return frame.udp(sport, dport).payload({1, 2, 3}).build();
  }
  /// Worker 0 takes a client's first packet; returns the port that the reply goes to.
  uint16_t open(uint16_t client_port) {
    Packet out;
    EXPECT_EQ(send(0, packet("192.0.2.1", "203.0.113.10", client_port, 443, kTcpSyn), &out).verdict,
              Verdict::forward);
    return static_cast<uint16_t>(out.data[34] << 8 | out.data[35]);
  }
  void answer(uint32_t worker, uint16_t port, uint8_t flags = kTcpSyn | kTcpAck) {
    const Decision d = send(worker, packet("10.0.0.1", "198.51.100.1", 8443, port, flags));
    EXPECT_EQ(d.verdict, Verdict::forward);
    EXPECT_TRUE(d.to_client);
  }

  const std::vector<uint32_t> indirection_ = table_over(2);
  const ReplyQueues queues_{kKey, indirection_, kAllHashClasses};
  NatTables tables_{NatTableConfig{}, 2};
  std::unique_ptr<const Table> table_;
  std::unique_ptr<ForwardState> workers_[2];
  std::unique_ptr<HeapFrame> memory_;
};

TEST_P(Arrivals, OfTheFirstReplyAreCountedWhereverItCame) {
  const auto port_class = GetParam() == kProtoTcp ? HashClass::tcp4 : HashClass::udp4;
  for (uint16_t i = 0; i < 12; ++i) {
    const uint16_t port = open(static_cast<uint16_t>(40000 + i));
    const uint32_t worker = i % 3 == 0 ? 1 : 0;
    answer(worker, port);
    answer(worker, port, kTcpAck);  // a later one is not counted
  }
  const auto arrivals = tables_.arrivals(kBackendSide, port_class);
  EXPECT_EQ(arrivals.home, 8u);
  EXPECT_EQ(arrivals.away, 4u);
  for (std::size_t interface = 0; interface < kMaxInterfaces; ++interface) {
    for (std::size_t c = 0; c < kHashClasses; ++c) {
      const auto hash_class = static_cast<HashClass>(c);
      if (interface == kBackendSide && hash_class == port_class) continue;
      EXPECT_EQ(tables_.arrivals(interface, hash_class).home + tables_.arrivals(interface, hash_class).away,
                0u);
    }
  }
}

TEST_P(Arrivals, AreNotCountedOfConnectionsOfWhichNothingWasForetold) {
  tables_.set_reply_queues(kBackendSide, nullptr);
  answer(1, open(40000));
  tables_.set_reply_queues(kBackendSide, &queues_);
  const auto port_class = GetParam() == kProtoTcp ? HashClass::tcp4 : HashClass::udp4;
  EXPECT_EQ(tables_.arrivals(kBackendSide, port_class).away, 0u);
}

INSTANTIATE_TEST_SUITE_P(Protocols, Arrivals, testing::Values(kProtoTcp, kProtoUdp));

}  // namespace
}  // namespace xebec
