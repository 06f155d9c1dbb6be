// SPDX-License-Identifier: BSD-2-Clause
// Ports are given once, given back in time, and never leaked; readers on other threads see whole mappings or none.
#include "dataplane/nat_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>

#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNow = 5000 * kSecond;
const HashSecret kSecret;

IpAddress ip(uint32_t low) {
  return IpAddress::from_v4(Be32::from_host(0x0a000000 | low));
}
const IpAddress kSource = ip(0xffff01);
const IpAddress kVip = ip(0xeeee01);

FlowKey client(uint32_t i, uint8_t protocol = kProtoTcp) {
  return {ip(1 + i / 60000), kVip, Be16::from_host(static_cast<uint16_t>(1024 + i % 60000)),
          Be16::from_host(443), protocol};
}

NatRequest request(const FlowKey& key, uint32_t backend = 1,
                   std::span<const IpAddress> sources = {&kSource, 1}) {
  NatRequest r{.forward = key,
               .forward_hash = flow_hash(kSecret, key),
               .reply = {},
               .backend = backend,
               .client = {},
               .sources = sources};
  r.reply = {ip(0x010000 + backend), key.source, Be16::from_host(8443), key.source_port, key.protocol};
  return r;
}

NatTableConfig config(uint32_t capacity, uint16_t first, uint16_t last) {
  NatTableConfig c;
  c.capacity = capacity, c.first_port = first, c.last_port = last;
  return c;
}

TEST(NatTable, GivesEveryConnectionToABackendItsOwnPort) {
  NatTable table(config(1 << 17, 10000, 32767), 0, 1);
  std::set<uint16_t> ports;
  NatMapping m;
  for (uint32_t i = 0; i < 20000; ++i) {
    const FlowKey key = client(i);
    ASSERT_NE(table.create(request(key), kSecret, kNow, m), NatTable::kNone) << i;
    EXPECT_TRUE(ports.insert(m.reply.destination_port.host()).second) << "given twice";
    EXPECT_GE(m.reply.destination_port.host(), 10000);
    EXPECT_LE(m.reply.destination_port.host(), 32767);
  }
  EXPECT_EQ(table.used(), 20000u);
}

TEST(NatTable, HoldsAHundredThousandConnectionsOverBackendsAndSources) {
  NatTable table(config(1 << 17, 10000, 32767), 0, 1);
  const IpAddress sources[] = {ip(0xffff01), ip(0xffff02)};
  std::set<std::pair<std::pair<IpAddress, IpAddress>, uint16_t>> replies;
  NatMapping m;
  for (uint32_t i = 0; i < 100'000; ++i) {
    const FlowKey key = client(i);
    ASSERT_NE(table.create(request(key, i % 4, sources), kSecret, kNow, m), NatTable::kNone) << i;
    ASSERT_TRUE(
        replies.insert({{m.reply.source, m.reply.destination}, m.reply.destination_port.host()}).second)
        << i;
  }
  for (uint32_t i = 0; i < 100'000; ++i) {
    const FlowKey key = client(i);
    // A guess may be any number.
    const uint32_t slot = table.find_forward(key, flow_hash(kSecret, key), i % 4, kNow, i * 7);
    ASSERT_NE(slot, NatTable::kNone) << i;
    ASSERT_EQ(table.find_forward(key, flow_hash(kSecret, key), i % 4, kNow, slot), slot);
    m = table.mapping(slot);
    NatMapping back;
    ASSERT_NE(table.find_reply(m.reply, flow_hash(kSecret, m.reply), back), NatTable::kNone) << i;
    ASSERT_TRUE(back.forward == key);
    ASSERT_EQ(table.find_own_reply(m.reply, flow_hash(kSecret, m.reply), i * 7), slot);
  }
  // Everything is given back: nothing is leaked.
  for (int round = 0; round < 40; ++round) table.expire(kNow + 241 * kSecond, 1 << 12);
  EXPECT_EQ(table.used(), 0u);
  EXPECT_EQ(table.stats().expired, 100'000u);
  for (uint32_t i = 0; i < 100'000; ++i) {
    const FlowKey key = client(i);
    ASSERT_NE(table.create(request(key, i % 4, sources), kSecret, kNow + 300 * kSecond, m), NatTable::kNone)
        << i;
  }
}

TEST(NatTable, RefusesWhenEveryPortOfABackendIsTakenAndSaysSo) {
  NatTable table(config(1024, 20000, 20063), 0, 1);
  NatMapping m;
  for (uint32_t i = 0; i < 64; ++i)
    ASSERT_NE(table.create(request(client(i)), kSecret, kNow, m), NatTable::kNone) << i;
  EXPECT_EQ(table.create(request(client(64)), kSecret, kNow, m), NatTable::kNone);
  EXPECT_EQ(table.stats().refused, 1u);
  EXPECT_EQ(table.used(), 64u);
  // Another backend has ports of its own.
  EXPECT_NE(table.create(request(client(65), 2), kSecret, kNow, m), NatTable::kNone);
}

// A refusal is remembered for a while, so that a flood costs no search each: that must not outlive it, nor be another's.
TEST(NatTable, RefusesNobodyElseForABackendWithoutPorts) {
  NatTable table(config(1024, 20000, 20063), 0, 1);
  NatMapping m;
  for (uint32_t i = 0; i < 64; ++i)
    ASSERT_NE(table.create(request(client(i)), kSecret, kNow, m), NatTable::kNone) << i;
  EXPECT_EQ(table.create(request(client(64)), kSecret, kNow, m), NatTable::kNone);
  for (uint32_t backend = 2; backend < 200; ++backend)
    EXPECT_NE(table.create(request(client(64 + backend), backend), kSecret, kNow, m), NatTable::kNone)
        << backend;
  const uint64_t later = kNow + 3600 * kSecond;
  table.expire(later, table.capacity());
  EXPECT_NE(table.create(request(client(64)), kSecret, later, m), NatTable::kNone);
}

TEST(NatTable, FindsAPlaceInItsIndexUntilEverySlotIsTaken) {
  for (uint32_t round = 0; round < 4; ++round) {
    NatTable table(config(1 << 15, 1024, 65535), 0, 1);
    NatMapping m;
    for (uint32_t i = 0; i < 1 << 15; ++i)
      ASSERT_NE(table.create(request(client(round * 40'000 + i)), kSecret, kNow, m), NatTable::kNone) << i;
  }
}

TEST(NatTable, RefusesWhenThereIsNoPlace) {
  NatTable table(config(16, 20000, 29999), 0, 1);
  NatMapping m;
  for (uint32_t i = 0; i < 16; ++i)
    ASSERT_NE(table.create(request(client(i)), kSecret, kNow, m), NatTable::kNone);
  EXPECT_EQ(table.create(request(client(16)), kSecret, kNow, m), NatTable::kNone);
  EXPECT_EQ(table.used(), 16u);
}

TEST(NatTable, TakesThePortOfAClosedConnectionAfterSomeSecondsAndNotBefore) {
  NatTable table(config(1024, 20000, 20000), 0, 1);
  NatMapping m;
  const uint32_t slot = table.create(request(client(0)), kSecret, kNow, m);
  NatMapping mine = m;
  table.forwarded(slot, mine, kTcpSyn, {}, kNow);
  table.replied(slot, mine, kTcpSyn | kTcpAck, kNow);
  EXPECT_EQ(table.create(request(client(1)), kSecret, kNow + 100 * kSecond, m), NatTable::kNone);
  table.forwarded(slot, mine, kTcpFin | kTcpAck, {}, kNow + 101 * kSecond);
  table.replied(slot, mine, kTcpFin | kTcpAck, kNow + 101 * kSecond);
  EXPECT_EQ(table.create(request(client(1)), kSecret, kNow + 102 * kSecond, m), NatTable::kNone);
  EXPECT_NE(table.create(request(client(1)), kSecret, kNow + 106 * kSecond, m), NatTable::kNone);
  EXPECT_EQ(table.stats().reused, 1u);
  EXPECT_EQ(table.used(), 1u);
}

TEST(NatTable, MarksNoOtherConnectionThatGotTheSlotMeanwhile) {
  NatTable table(config(1, 20000, 20999), 0, 1);
  NatMapping old;
  NatMapping present;
  const uint32_t slot = table.create(request(client(0)), kSecret, kNow, old);
  table.forget(slot);
  ASSERT_EQ(table.create(request(client(1)), kSecret, kNow, present), slot);
  // Another worker had found the old one, and only now comes to say that the backend has reset it.
  EXPECT_NE(table.replied(slot, old, kTcpRst, kNow) & NatTable::kReply, 0) << "as if it were its first reply";
  EXPECT_EQ(table.seen(slot), 0);
  EXPECT_EQ(table.replied(slot, present, kTcpSyn | kTcpAck, kNow), 0);
  EXPECT_EQ(table.seen(slot), NatTable::kReply);
}

struct Life {
  const char* what;
  uint8_t protocol;
  std::vector<std::pair<bool, uint8_t>> packets;  ///< of the backend, TCP flags
  uint32_t silent_s;                              ///< it lives so long
};

TEST(NatTable, ForgetsByTheTimersOfTheRfcs) {
  const uint8_t syn = kTcpSyn, ack = kTcpAck, fin = kTcpFin | kTcpAck, rst = kTcpRst;
  const Life lives[] = {
      {"a SYN without answer", kProtoTcp, {{false, syn}}, 240},
      {"an open connection", kProtoTcp, {{false, syn}, {true, kTcpSyn | kTcpAck}, {false, ack}}, 7440},
      {"closed by both", kProtoTcp, {{false, syn}, {true, syn}, {false, fin}, {true, fin}}, 240},
      {"half closed", kProtoTcp, {{false, syn}, {true, syn}, {true, fin}}, 7440},
      {"reset by the backend", kProtoTcp, {{false, syn}, {true, rst}}, 240},
      {"opened anew from the same port",
       kProtoTcp,
       {{false, syn}, {true, rst}, {false, syn}, {true, syn}},
       7440},
      {"a datagram", kProtoUdp, {{false, 0}}, 300},
      {"datagrams both ways", kProtoUdp, {{false, 0}, {true, 0}}, 300},
  };
  for (const Life& life : lives) {
    NatTable table(config(1024, 20000, 20999), 0, 1);
    NatMapping m;
    const FlowKey key = client(1, life.protocol);
    const uint32_t slot = table.create(request(key), kSecret, kNow, m);
    for (const auto& [reply, flags] : life.packets)
      reply ? static_cast<void>(table.replied(slot, m, flags, kNow))
            : table.forwarded(slot, m, flags, {}, kNow);
    // Ages are counted in ticks of 1.07 s.
    table.expire(kNow + (life.silent_s - 2) * kSecond, 1024);
    EXPECT_EQ(table.used(), 1u) << life.what << ": forgotten early";
    EXPECT_NE(table.find_forward(key, flow_hash(kSecret, key), 1, kNow + (life.silent_s - 2) * kSecond),
              NatTable::kNone);
    table.expire(kNow + (life.silent_s + 4) * kSecond, 1024);
    EXPECT_EQ(table.used(), 0u) << life.what << ": kept";
    EXPECT_EQ(table.find_forward(key, flow_hash(kSecret, key), 1, kNow), NatTable::kNone);
    EXPECT_EQ(table.find_reply(m.reply, flow_hash(kSecret, m.reply), m), NatTable::kNone);
  }
}

TEST(NatTable, AgreesWithAMapOverRandomLives) {
  NatTable table(config(512, 20000, 20255), 0, 1);
  std::mt19937 random(7);
  std::map<uint32_t, std::pair<uint32_t, FlowKey>> living;  // client -> backend and reply key
  uint64_t now = kNow;
  NatMapping m;
  for (int step = 0; step < 200'000; ++step) {
    const auto i = static_cast<uint32_t>(random() % 800);
    const FlowKey key = client(i, kProtoUdp);
    const uint64_t hash = flow_hash(kSecret, key);
    const auto known = living.find(i);
    if (known != living.end()) {
      const uint32_t slot = table.find_forward(key, hash, known->second.first, now);
      ASSERT_NE(slot, NatTable::kNone);
      m = table.mapping(slot);
      ASSERT_TRUE(m.reply == known->second.second);
      ASSERT_NE(table.find_reply(m.reply, flow_hash(kSecret, m.reply), m), NatTable::kNone);
      ASSERT_TRUE(m.forward == key);
    } else if (table.create(request(key, i % 3), kSecret, now, m) != NatTable::kNone) {
      living[i] = {i % 3, m.reply};
    }
    if (step % 5000 == 4999) {  // everything grows old at once
      now += 400 * kSecond;
      table.expire(now, 512);
      living.clear();
    }
    ASSERT_EQ(table.used(), living.size());
  }
}

TEST(NatTable, SharesThePortsOutAmongWorkersWithoutOverlap) {
  for (const uint32_t workers : {1u, 2u, 3u, 7u, 16u}) {
    NatTables tables(config(16, 10000, 10100), workers);
    uint32_t next = 10000;
    for (uint32_t w = 0; w < workers; ++w) {
      EXPECT_EQ(tables.of(w).first_port(), next);
      next += tables.of(w).ports();
    }
    EXPECT_LE(next, 10101u);
    EXPECT_GT(next, 10101u - workers);
  }
  EXPECT_THROW(NatTable(config(16, 10000, 10001), 0, 3), std::invalid_argument);
  EXPECT_THROW(NatTable(config(16, 10001, 10000), 0, 1), std::invalid_argument);
  EXPECT_THROW(NatTable(config(0, 10000, 10100), 0, 1), std::invalid_argument);
}

TEST(NatTable, ShowsOtherThreadsWholeMappingsOrNone) {
  NatTable table(config(64, 20000, 29999), 0, 1);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> seen{0};
  // What the reader asks for: keys of mappings as they were made, forgotten or given anew meanwhile.
  std::array<std::atomic<uint32_t>, 64> ports{};
  std::thread reader([&] {
    std::mt19937 random(3);
    while (!stop.load(std::memory_order_relaxed)) {
      const auto i = static_cast<uint32_t>(random() % 64);
      FlowKey reply = request(client(i, kProtoUdp)).reply;
      reply.destination = kSource;
      reply.destination_port =
          Be16::from_host(static_cast<uint16_t>(ports[i].load(std::memory_order_relaxed)));
      NatMapping m;
      const uint32_t slot = table.find_reply(reply, flow_hash(kSecret, reply), m);
      if (slot == NatTable::kNone) continue;
      ASSERT_TRUE(m.reply == reply);
      ASSERT_EQ(m.reply_hash, flow_hash(kSecret, reply));
      ASSERT_EQ(m.forward_hash, flow_hash(kSecret, m.forward));
      table.replied(slot, m, 0, kNow);
      seen.fetch_add(1, std::memory_order_relaxed);
    }
  });
  uint64_t now = kNow;
  for (int round = 0; round < 3000 || seen.load(std::memory_order_relaxed) < 1000; ++round) {
    for (uint32_t i = 0; i < 64; ++i) {
      NatMapping m;
      if (table.create(request(client(i, kProtoUdp)), kSecret, now, m) != NatTable::kNone)
        ports[i].store(m.reply.destination_port.host(), std::memory_order_relaxed);
    }
    now += 400 * kSecond;
    table.expire(now, 64);
    ASSERT_LT(round, 10'000'000);
  }
  stop.store(true);
  reader.join();
}

}  // namespace
}  // namespace xebec
