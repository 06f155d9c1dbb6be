// SPDX-License-Identifier: BSD-2-Clause
// The flow table: against a map, through every TCP state and timeout, and when it is full, flooded or
// collided.
#include "dataplane/flow_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <random>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "dataplane/flow_bucket.h"

namespace xebec {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kStart = 1'000 * kSecond;
/// Ages are counted in ticks of 67 ms and may come out up to two ticks short.
constexpr uint64_t kSlack = 135'000'000;

constexpr uint8_t kSyn = kTcpSyn;
constexpr uint8_t kAck = kTcpAck;
constexpr uint8_t kFin = kTcpFin | kTcpAck;
constexpr uint8_t kRst = kTcpRst;
constexpr uint8_t kSynAck = kTcpSyn | kTcpAck;

const HashSecret& secret() {
  static const HashSecret value;
  return value;
}

FlowKey key_of(uint32_t n, uint8_t protocol = kProtoTcp) {
  FlowKey key;
  key.source = IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
  const Be32 address = Be32::from_host(0x0a000000u + (n >> 8));
  std::memcpy(key.source.bytes.data() + 12, address.bytes, 4);
  key.destination = IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}};
  key.source_port = Be16::from_host(static_cast<uint16_t>(1024 + (n & 0xff)));
  key.destination_port = Be16::from_host(443);
  key.protocol = protocol;
  return key;
}

FlowTableConfig config_of(uint32_t capacity) {
  FlowTableConfig config;
  config.capacity = capacity;
  config.max_inserts_per_s = UINT32_MAX;
  return config;
}

/// A table whose callers need not carry hash and time about.
struct Bench {
  explicit Bench(const FlowTableConfig& config) : table(config) {}

  FlowTable table;
  uint64_t now = kStart;
  std::optional<uint64_t> one_hash;  // every flow gets this hash: all compete for the same places

  uint64_t hash(const FlowKey& key) const { return one_hash ? *one_hash : flow_hash(secret(), key); }
  FlowProbe probe(const FlowKey& key) const { return table.probe(hash(key)); }
  /// By turns with the guess that prefetch_entry() makes, and without: the answer is the same.
  FlowHit lookup(const FlowKey& key, uint8_t flags) {
    FlowProbe at = probe(key);
    if (guesses = !guesses; guesses) table.prefetch_entry(at);
    return table.lookup(key, at, flags, now);
  }
  bool guesses = false;
  FlowHit peek(const FlowKey& key) const { return table.peek(key, probe(key), now); }
  bool insert(const FlowKey& key, uint8_t flags, uint32_t backend = 1) {
    return table.insert(key, probe(key), backend, flags, now);
  }
  /// Leaves `key` in the state; the flow's last packet is now.
  void put(const FlowKey& key, FlowState state, uint32_t backend = 1) {
    const bool syn_first = state == FlowState::half_open || state == FlowState::established;
    const uint8_t first = syn_first ? kSyn : (state == FlowState::closing ? kFin : kAck);
    ASSERT_TRUE(insert(key, first, backend));
    if (state != FlowState::established) return;
    ASSERT_TRUE(lookup(key, kAck).found());
  }
};

// A table of one flow makes two buckets; every flow has one hash, so these eight places are all there are
// (the hash is one whose second bucket is not its first).
struct EightPlaces : Bench {
  explicit EightPlaces(FlowTableConfig config = config_of(1)) : Bench(config) {
    one_hash = 0x00000001'00000001u;
  }
};

TEST(FlowTable, FindsWhatWasInsertedAndNothingElse) {
  Bench bench(config_of(2000));
  for (uint32_t n = 0; n < 1000; ++n) ASSERT_TRUE(bench.insert(key_of(n), kSyn, n * 7));
  for (uint32_t n = 0; n < 1000; ++n) {
    const FlowHit hit = bench.lookup(key_of(n), kAck);
    ASSERT_TRUE(hit.found());
    ASSERT_EQ(hit.backend_id, n * 7);
  }
  for (uint32_t n = 1000; n < 3000; ++n) ASSERT_FALSE(bench.lookup(key_of(n), kAck).found());
  EXPECT_EQ(bench.table.stats().inserts, 1000u);
  EXPECT_EQ(bench.table.stats().used, 1000u);
}

TEST(FlowTable, ComparesEveryByteOfTheKeyWhereHashesAreEqual) {
  FlowKey key = key_of(1);
  for (std::size_t i = 0; i < offsetof(FlowKey, zero); ++i) {
    EightPlaces bench;
    ASSERT_TRUE(bench.insert(key, kSyn));
    FlowKey other = key;
    reinterpret_cast<uint8_t*>(&other)[i] ^= 0x80;
    EXPECT_FALSE(bench.lookup(other, kAck).found()) << "byte " << i;
    EXPECT_TRUE(bench.lookup(key, kAck).found()) << "byte " << i;
  }
}

TEST(FlowTable, TheTagZeroOfAHashIsNoFreePlace) {
  Bench bench(config_of(100));
  bench.one_hash = uint64_t{7} << 48;  // low 16 bits zero
  EXPECT_FALSE(bench.lookup(FlowKey{}, kAck).found());
  for (uint32_t n = 0; n < 4; ++n) ASSERT_TRUE(bench.insert(key_of(n), kSyn, n));
  for (uint32_t n = 0; n < 4; ++n) {
    EXPECT_TRUE(bench.peek(key_of(n)).found());
    EXPECT_EQ(bench.peek(key_of(n)).backend_id, n);
  }
  EXPECT_EQ(bench.table.stats().used, 4u);
}

TEST(FlowTable, EveryStateLastsItsTimeoutAndNoLonger) {
  struct Row {
    const char* what;
    uint8_t protocol;
    std::vector<uint8_t> flags;  // the first inserts, the others are looked up
    uint64_t timeout_s;
  };
  const Row rows[] = {
      {"half open", kProtoTcp, {kSyn}, 11},
      {"SYN sent again", kProtoTcp, {kSyn, kSyn}, 11},
      {"established", kProtoTcp, {kSyn, kAck}, 3601},
      {"established, a SYN again", kProtoTcp, {kSyn, kAck, kSyn}, 3601},
      {"picked up mid-way", kProtoTcp, {kAck}, 3601},
      {"picked up and confirmed", kProtoTcp, {kAck, kAck}, 3601},
      {"unasked SYN with ACK", kProtoTcp, {kSynAck}, 11},
      {"FIN", kProtoTcp, {kSyn, kAck, kFin}, 7},
      {"RST", kProtoTcp, {kSyn, kAck, kRst}, 7},
      {"FIN, then the last ACK", kProtoTcp, {kSyn, kAck, kFin, kAck}, 7},
      {"FIN while half open", kProtoTcp, {kSyn, kFin}, 7},
      {"SYN with FIN while established", kProtoTcp, {kSyn, kAck, kTcpSyn | kTcpFin}, 7},
      {"begun by a FIN", kProtoTcp, {kFin}, 7},
      {"begun by a RST", kProtoTcp, {kRst}, 7},
      {"datagram", kProtoUdp, {0}, 31},
      {"datagrams", kProtoUdp, {0, 0}, 31},
  };
  FlowTableConfig config = config_of(16);
  config.timeouts = {.established_s = 3601, .syn_s = 11, .fin_s = 7, .udp_s = 31};
  for (const Row& row : rows) {
    for (bool late : {false, true}) {
      Bench bench(config);
      const FlowKey key = key_of(1, row.protocol);
      bench.now += 12'345'678;  // not at a tick
      ASSERT_TRUE(bench.insert(key, row.flags[0]));
      for (std::size_t i = 1; i < row.flags.size(); ++i) {
        bench.now += kSecond;
        ASSERT_TRUE(bench.lookup(key, row.flags[i]).found()) << row.what;
      }
      bench.now += row.timeout_s * kSecond + (late ? kSlack : 0);
      EXPECT_EQ(bench.peek(key).found(), !late) << row.what;
      EXPECT_EQ(bench.lookup(key, kAck).found(), !late) << row.what;
      EXPECT_EQ(bench.table.stats().used, late ? 0u : 1u) << row.what;
    }
  }
}

TEST(FlowTable, ASynOnAClosingFlowIsANewConnection) {
  for (uint8_t end : {kFin, kRst}) {
    Bench bench(config_of(16));
    const FlowKey key = key_of(1);
    bench.put(key, FlowState::established);
    ASSERT_TRUE(bench.lookup(key, end).found());
    EXPECT_TRUE(bench.lookup(key, kSynAck).found());
    EXPECT_FALSE(bench.lookup(key, kSyn).found());
    EXPECT_EQ(bench.table.stats().used, 0u);
    EXPECT_FALSE(bench.lookup(key, kAck).found());
    ASSERT_TRUE(bench.insert(key, kSyn, 2));
    EXPECT_EQ(bench.lookup(key, kAck).backend_id, 2u);
  }
}

TEST(FlowTable, ASynOnAnEstablishedFlowLeavesItWhereItIs) {
  EightPlaces bench;
  for (uint32_t n = 0; n < 8; ++n) bench.put(key_of(n), FlowState::established, n);
  for (uint32_t n = 0; n < 8; ++n) EXPECT_EQ(bench.lookup(key_of(n), kSyn).backend_id, n);
  EXPECT_FALSE(bench.insert(key_of(99), kSyn));  // they did not become half open
}

TEST(FlowTable, PeekChangesNothing) {
  Bench bench(config_of(16));
  bench.put(key_of(1), FlowState::half_open, 5);
  bench.now += 9 * kSecond;
  EXPECT_TRUE(bench.peek(key_of(1)).found());
  EXPECT_EQ(bench.peek(key_of(1)).backend_id, 5u);
  EXPECT_FALSE(bench.peek(key_of(2)).found());
  bench.now += 2 * kSecond;  // had peek refreshed it, it would live on
  EXPECT_FALSE(bench.peek(key_of(1)).found());
  EXPECT_EQ(bench.table.stats().used, 1u);
}

TEST(FlowTable, MoveGivesAFlowAnotherBackendAndLeavesTheRest) {
  Bench bench(config_of(64));
  for (uint32_t n = 0; n < 64; ++n) bench.put(key_of(n), FlowState::established, n);
  bench.table.move(bench.lookup(key_of(9), kAck).slot, 1234);
  for (uint32_t n = 0; n < 64; ++n) EXPECT_EQ(bench.lookup(key_of(n), kAck).backend_id, n == 9 ? 1234 : n);
}

TEST(FlowTable, ASecondInsertOfABatchIsTheSameFlow) {
  Bench bench(config_of(16));
  ASSERT_TRUE(bench.insert(key_of(1), kSyn, 5));
  ASSERT_TRUE(bench.insert(key_of(1), kAck, 6));
  EXPECT_EQ(bench.table.stats().used, 1u);
  EXPECT_EQ(bench.table.stats().inserts, 1u);
  EXPECT_EQ(bench.peek(key_of(1)).backend_id, 6u);
  bench.now += 60 * kSecond;  // beyond half open: the ACK counted
  EXPECT_TRUE(bench.peek(key_of(1)).found());
}

TEST(FlowTable, AnEndedFlowsTupleInsertedAgainStartsAnew) {
  Bench bench(config_of(16));
  bench.put(key_of(1), FlowState::established);
  bench.now += 3601 * kSecond;
  ASSERT_TRUE(bench.insert(key_of(1), kSyn, 2));
  EXPECT_EQ(bench.table.stats().used, 1u);
  bench.now += 11 * kSecond;
  EXPECT_FALSE(bench.peek(key_of(1)).found());  // half open, not established
}

TEST(FlowTable, OnlyWeakFlowsGiveWay) {
  using S = FlowState;
  struct Row {
    S there;
    uint8_t protocol;
    uint8_t flags;
    bool taken;
  };
  const Row rows[] = {
      {S::half_open, kProtoTcp, kSyn, true},    {S::half_open, kProtoTcp, kAck, true},
      {S::half_open, kProtoUdp, 0, true},       {S::half_open, kProtoTcp, kFin, false},
      {S::closing, kProtoTcp, kSyn, true},      {S::closing, kProtoTcp, kRst, false},
      {S::picked_up, kProtoTcp, kSyn, true},    {S::picked_up, kProtoTcp, kFin, false},
      {S::established, kProtoTcp, kSyn, false}, {S::established, kProtoTcp, kAck, false},
      {S::established, kProtoUdp, 0, false},    {S::established, kProtoTcp, kFin, false},
      {S::datagram, kProtoTcp, kSyn, false},    {S::datagram, kProtoUdp, 0, false},
  };
  for (const Row& row : rows) {
    EightPlaces bench;
    const uint8_t protocol = row.there == S::datagram ? kProtoUdp : kProtoTcp;
    for (uint32_t n = 0; n < 8; ++n) bench.put(key_of(n, protocol), row.there);
    ASSERT_EQ(bench.table.stats().used, 8u);
    EXPECT_EQ(bench.insert(key_of(99, row.protocol), row.flags), row.taken)
        << static_cast<int>(row.there) << " against flags " << static_cast<int>(row.flags);
    EXPECT_EQ(bench.table.stats().evicted_half_open, row.taken ? 1u : 0u);
    EXPECT_EQ(bench.table.stats().refused_full, row.taken ? 0u : 1u);
    EXPECT_EQ(bench.table.stats().used, 8u);
  }
}

TEST(FlowTable, TheLongestSilentOfTheWeakGivesWay) {
  EightPlaces bench;
  for (uint32_t n = 0; n < 8; ++n) {
    bench.put(key_of(n), FlowState::half_open);
    bench.now += kSecond / 2;
  }
  ASSERT_TRUE(bench.lookup(key_of(0), kSyn).found());  // now the youngest
  ASSERT_TRUE(bench.insert(key_of(99), kSyn));
  for (uint32_t n = 0; n < 8; ++n) EXPECT_EQ(bench.peek(key_of(n)).found(), n != 1) << n;
}

TEST(FlowTable, AFreePlaceIsTakenBeforeAnyLiveFlowGivesWay) {
  EightPlaces bench;
  for (uint32_t n = 0; n < 8; ++n) bench.put(key_of(n), FlowState::half_open);
  EXPECT_EQ(bench.table.stats().evicted_half_open, 0u);
  EXPECT_EQ(bench.table.stats().used, 8u);
}

TEST(FlowTable, AnExpiredPlaceIsTakenBeforeAFreeOne) {
  EightPlaces bench;
  bench.put(key_of(0), FlowState::half_open);
  bench.now += 11 * kSecond;
  bench.put(key_of(1), FlowState::half_open);
  EXPECT_EQ(bench.table.stats().evicted_expired, 1u);
  EXPECT_EQ(bench.table.stats().used, 1u);
}

TEST(FlowTable, FullOfExpiredFlowsTakesEvenALoneFin) {
  EightPlaces bench;
  for (uint32_t n = 0; n < 8; ++n) bench.put(key_of(n), FlowState::established);
  bench.now += 3601 * kSecond;
  EXPECT_TRUE(bench.insert(key_of(99), kFin));
  EXPECT_EQ(bench.table.stats().evicted_expired, 1u);
}

TEST(FlowTable, CollidingTuplesAreBoundedAndFound) {
  Bench bench(config_of(100'000));
  bench.one_hash = 0x0123456789abcdefu;
  std::vector<uint32_t> kept;
  for (uint32_t n = 0; n < 10'000; ++n) {
    if (!bench.insert(key_of(n), kSyn, n)) continue;
    kept.push_back(n);
    ASSERT_TRUE(bench.lookup(key_of(n), kAck).found());
  }
  EXPECT_EQ(kept.size(), 8u);
  EXPECT_EQ(bench.table.stats().refused_full, 10'000u - 8);
  for (uint32_t n : kept) EXPECT_EQ(bench.lookup(key_of(n), kAck).backend_id, n);
  EXPECT_EQ(bench.table.stats().used, 8u);
}

TEST(FlowTable, HoldsTheFlowsItsCapacityPromises) {
  for (uint32_t capacity : {64u, 1000u, 100'000u}) {
    Bench bench(config_of(capacity));
    for (uint32_t n = 0; n < capacity; ++n) {
      if (bench.insert(key_of(n), kSyn, n)) bench.lookup(key_of(n), kAck);
    }
    EXPECT_LE(bench.table.stats().refused_full, 2 + capacity / 10'000);
    EXPECT_EQ(bench.table.stats().evicted_half_open, 0u);
    EXPECT_EQ(bench.table.stats().used + bench.table.stats().refused_full, capacity);
  }
}

TEST(FlowTable, OverfilledKeepsEveryFlowItAccepted) {
  constexpr uint32_t kFlows = 40'000;
  Bench bench(config_of(20'000));
  std::vector<bool> kept(kFlows);
  for (uint32_t n = 0; n < kFlows; ++n) {
    kept[n] = bench.insert(key_of(n, kProtoUdp), 0, n);
    ASSERT_LE(bench.table.stats().used, bench.table.capacity());
  }
  const FlowTableStats& stats = bench.table.stats();
  EXPECT_EQ(stats.inserts, stats.used);
  EXPECT_EQ(stats.inserts + stats.refused_full, kFlows);
  EXPECT_GT(stats.relocated, 0u);
  EXPECT_GT(stats.used, bench.table.capacity() * 99ull / 100);
  for (uint32_t n = 0; n < kFlows; ++n) {
    const FlowHit hit = bench.peek(key_of(n, kProtoUdp));
    ASSERT_EQ(hit.found(), kept[n]);
    ASSERT_TRUE(!hit.found() || hit.backend_id == n);
  }
}

std::size_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long long total = 0;
  unsigned long long resident = 0;
  EXPECT_EQ(std::fscanf(file, "%llu %llu", &total, &resident), 2);
  std::fclose(file);
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(FlowTable, ASynFloodTakesNoEstablishedFlowAndNoMemory) {
  constexpr uint32_t kEstablished = 1000;
  constexpr uint32_t kFlood = 2'000'000;
  Bench bench(config_of(1'000'000));
  const std::size_t before = resident_bytes();
  EXPECT_LE(bench.table.memory_bytes(), std::size_t{64} << 20);
  for (uint32_t n = 0; n < kEstablished; ++n) bench.put(key_of(n), FlowState::established, n);
  for (uint32_t n = 0; n < kFlood; ++n) {
    bench.now += 1000;  // 1 M SYNs a second: none expires
    ASSERT_TRUE(bench.insert(key_of(kEstablished + n), kSyn));
  }
  uint32_t lost = 0;
  for (uint32_t n = 0; n < kEstablished; ++n) {
    const FlowHit hit = bench.lookup(key_of(n), kAck);
    lost += hit.found() && hit.backend_id == n ? 0 : 1;
  }
  EXPECT_EQ(lost, 0u);
  EXPECT_LE(bench.table.stats().used, bench.table.capacity());
  EXPECT_GT(bench.table.stats().evicted_half_open, kFlood - bench.table.capacity());
  EXPECT_LE(resident_bytes() - before, bench.table.memory_bytes() + (std::size_t{8} << 20));
}

TEST(FlowTable, AnAckFloodTakesNoConfirmedFlowAndLeavesRoomForNewOnes) {
  Bench bench(config_of(10'000));
  for (uint32_t n = 0; n < 1000; ++n) bench.put(key_of(n), FlowState::established, n);
  for (uint32_t n = 1000; n < 50'000; ++n) ASSERT_TRUE(bench.insert(key_of(n), kAck));
  for (uint32_t n = 50'000; n < 51'000; ++n) bench.put(key_of(n), FlowState::established, n);
  for (uint32_t n = 0; n < 1000; ++n) EXPECT_EQ(bench.peek(key_of(n)).backend_id, n);
}

TEST(FlowTable, TimesCompareRightAcrossTheWrapOfTheCoarseClock) {
  constexpr uint64_t kWrap = uint64_t{1} << (32 + 26);
  Bench bench(config_of(16));
  bench.now = kWrap - 5 * kSecond;
  bench.put(key_of(1), FlowState::established, 1);
  bench.put(key_of(2), FlowState::half_open, 2);
  bench.now = kWrap + 4 * kSecond;
  EXPECT_TRUE(bench.peek(key_of(1)).found());
  EXPECT_TRUE(bench.peek(key_of(2)).found());
  bench.now = kWrap + 6 * kSecond;
  EXPECT_TRUE(bench.peek(key_of(1)).found());
  EXPECT_FALSE(bench.peek(key_of(2)).found());
  bench.now = kWrap + 3600 * kSecond;
  EXPECT_FALSE(bench.peek(key_of(1)).found());
}

TEST(FlowTable, AClockALittleBehindExpiresNothing) {
  Bench bench(config_of(16));
  bench.put(key_of(1), FlowState::half_open);
  bench.now -= kSecond;
  EXPECT_TRUE(bench.lookup(key_of(1), kSyn).found());
}

TEST(FlowTable, TheLongestTimeoutDoesNotOverflow) {
  FlowTableConfig config = config_of(16);
  config.timeouts.established_s = UINT32_MAX;
  Bench bench(config);
  bench.put(key_of(1), FlowState::established);
  bench.now += 365ull * 86400 * kSecond;
  EXPECT_TRUE(bench.lookup(key_of(1), kAck).found());
}

TEST(FlowTable, RemembersNoMoreNewFlowsASecondThanItMay) {
  FlowTableConfig config = config_of(10'000);
  config.max_inserts_per_s = 100;
  Bench bench(config);
  uint32_t n = 0;
  const auto accepted = [&](uint32_t tries) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < tries; ++i) count += bench.insert(key_of(n++), kSyn) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(accepted(300), 100u);
  EXPECT_EQ(bench.table.stats().refused_rate, 200u);
  bench.now += kSecond / 100;
  EXPECT_EQ(accepted(10), 1u);
  bench.now += kSecond / 2;
  EXPECT_EQ(accepted(300), 50u);
  bench.now += 3600 * kSecond;  // does not save up
  EXPECT_EQ(accepted(300), 100u);
  // What is remembered is found, whatever the rate.
  EXPECT_TRUE(bench.lookup(key_of(n - 300), kAck).found());
  EXPECT_TRUE(bench.insert(key_of(n - 300), kAck));
}

TEST(FlowTable, ARateOfZeroRemembersNothing) {
  FlowTableConfig config = config_of(16);
  config.max_inserts_per_s = 0;
  Bench bench(config);
  EXPECT_FALSE(bench.insert(key_of(1), kSyn));
  bench.now += 100 * kSecond;
  EXPECT_FALSE(bench.insert(key_of(1), kSyn));
  EXPECT_EQ(bench.table.stats().refused_rate, 2u);
}

TEST(FlowTable, ARefusalForWantOfAPlaceCostsNoRate) {
  FlowTableConfig config = config_of(1);
  config.max_inserts_per_s = 9;
  EightPlaces bench(config);
  for (uint32_t n = 0; n < 8; ++n) bench.put(key_of(n, kProtoUdp), FlowState::datagram);
  for (uint32_t n = 8; n < 100; ++n) EXPECT_FALSE(bench.insert(key_of(n), kSyn));
  EXPECT_EQ(bench.table.stats().refused_full, 92u);
  EXPECT_EQ(bench.table.stats().refused_rate, 0u);
}

TEST(FlowTable, RejectsACapacityItCannotHave) {
  EXPECT_THROW(FlowTable(config_of(0)), std::invalid_argument);
  EXPECT_THROW(FlowTable(config_of(FlowTable::kMaxCapacity + 1)), std::invalid_argument);
}

TEST(FlowTable, SixtyBytesAFlow) {
  for (uint32_t capacity : {1u << 16, 1u << 18, 1u << 20, 1'000'000u}) {
    const FlowTable table(config_of(capacity));
    EXPECT_GE(table.capacity(), capacity);
    EXPECT_LE(table.memory_bytes(), std::size_t{capacity} * 60 + 192);
  }
}

/// What the table must answer: a map, and the times as the header words them.
struct Model {
  struct Flow {
    uint32_t backend;
    FlowState state;
    uint64_t seen;
  };
  FlowTimeouts timeouts;
  std::unordered_map<uint32_t, Flow> flows;

  uint64_t timeout_ns(FlowState state) const {
    switch (state) {
      case FlowState::half_open:
        return timeouts.syn_s * kSecond;
      case FlowState::closing:
        return timeouts.fin_s * kSecond;
      case FlowState::datagram:
        return timeouts.udp_s * kSecond;
      default:
        return timeouts.established_s * kSecond;
    }
  }
  bool must_live(const Flow& f, uint64_t now) const { return now - f.seen <= timeout_ns(f.state); }
  bool may_live(const Flow& f, uint64_t now) const { return now - f.seen <= timeout_ns(f.state) + kSlack; }

  static FlowState after(FlowState state, uint8_t flags) {
    if (state == FlowState::datagram) return state;
    if (flags & (kTcpFin | kTcpRst)) return FlowState::closing;
    if (state == FlowState::closing || flags == kSyn) return state;
    return FlowState::established;
  }
};

/// Random packets of `flow_count` flows. `exact`: the table is large enough never to refuse or evict, so it
/// must know all that the model knows; otherwise it may know less, and never anything else.
void compare_with_map(uint32_t capacity, uint32_t flow_count, bool exact, uint64_t seed) {
  FlowTableConfig config = config_of(capacity);
  config.timeouts = {.established_s = 60, .syn_s = 5, .fin_s = 3, .udp_s = 20};
  Bench bench(config);
  Model model{config.timeouts, {}};
  std::mt19937_64 random(seed);
  const uint8_t kinds[] = {kSyn, kAck, kAck, kAck, kFin, kRst, kSynAck, kTcpAck | 0x08};
  uint32_t hits = 0;
  for (int step = 0; step < 200'000; ++step) {
    bench.now += random() % 2'000'000;
    if (random() % 1000 == 0) bench.now += random() % (70 * kSecond);
    const auto n = static_cast<uint32_t>(random() % flow_count);
    const bool udp = n % 4 == 0;
    const FlowKey key = key_of(n, udp ? kProtoUdp : kProtoTcp);
    const uint8_t flags = udp ? uint8_t{0} : kinds[random() % std::size(kinds)];

    auto known = model.flows.find(n);
    const FlowHit peeked = bench.peek(key);
    const FlowHit hit = bench.lookup(key, flags);
    const bool reopens =
        known != model.flows.end() && known->second.state == FlowState::closing && flags == kSyn;
    ASSERT_EQ(hit.found(), peeked.found() && !reopens) << "step " << step;
    if (hit.found()) {
      ASSERT_NE(known, model.flows.end());
      ASSERT_TRUE(model.may_live(known->second, bench.now)) << "step " << step;
      ASSERT_EQ(hit.backend_id, known->second.backend);
      known->second.state = Model::after(known->second.state, flags);
      known->second.seen = bench.now;
      ++hits;
      if (random() % 16 == 0)
        bench.table.move(hit.slot, known->second.backend = static_cast<uint32_t>(random()));
      continue;
    }
    if (known != model.flows.end()) {
      ASSERT_FALSE(exact && model.must_live(known->second, bench.now) && !reopens) << "step " << step;
      model.flows.erase(known);
    }
    const auto backend = static_cast<uint32_t>(random());
    if (!bench.insert(key, flags, backend)) {
      ASSERT_FALSE(exact);
      continue;
    }
    FlowState first = udp ? FlowState::datagram : FlowState::picked_up;
    if (flags & kTcpSyn) first = FlowState::half_open;
    if (flags & (kTcpFin | kTcpRst)) first = FlowState::closing;
    model.flows[n] = {backend, first, bench.now};
  }
  EXPECT_GT(hits, 10'000u);
  const FlowTableStats& stats = bench.table.stats();
  EXPECT_EQ(stats.refused_full > 0, !exact);
  EXPECT_EQ(stats.evicted_half_open > 0, !exact);
}

TEST(FlowTable, AnswersAsAMapDoesWhileThereIsRoom) {
  for (uint64_t seed = 1; seed <= 3; ++seed) compare_with_map(20'000, 2'000, true, seed);
}

TEST(FlowTable, OverfullAnswersNothingAMapWouldNot) {
  for (uint64_t seed = 1; seed <= 3; ++seed) compare_with_map(500, 1'500, false, seed);
}

TEST(FlowTable, AGuessThatTheBatchHasOvertakenIsNotBelieved) {
  Bench bench(config_of(64));
  bench.one_hash = 77;  // one tag for all, so that a place that changed hands looks the same
  ASSERT_TRUE(bench.insert(key_of(1), kSyn, 5));
  FlowProbe probe = bench.probe(key_of(1));
  ASSERT_EQ(bench.table.prefetch_entry(probe), 5u);
  ASSERT_TRUE(bench.lookup(key_of(1), kRst).found());
  ASSERT_FALSE(bench.lookup(key_of(1), kSyn).found());  // over: its place is free
  EXPECT_FALSE(bench.table.lookup(key_of(1), probe, kAck, bench.now).found());
  ASSERT_TRUE(bench.insert(key_of(2), kSyn, 6));
  EXPECT_FALSE(bench.table.lookup(key_of(1), probe, kAck, bench.now).found());
  const FlowHit other = bench.table.lookup(key_of(2), probe, kAck, bench.now);
  EXPECT_TRUE(other.found());
  EXPECT_EQ(other.backend_id, 6u);
}

TEST(FlowTable, PrefetchesAreHarmlessOnAnyHash) {
  Bench bench(config_of(2000));
  std::mt19937_64 random(4);
  for (uint32_t n = 0; n < 1000; ++n) bench.insert(key_of(n), kSyn);
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t hash = random();
    FlowProbe probe = bench.table.probe(hash);
    bench.table.prefetch(probe);
    bench.table.prefetch_entry(probe);
  }
  EXPECT_EQ(bench.table.stats().used, 1000u);
}

TEST(FlowBucket, TagMatchNamesExactlyTheEqualPlaces) {
  std::mt19937_64 random(5);
  const uint16_t values[] = {0, 1, 2, 0x7fff, 0x8000, 0x8001, 0xff00, 0x00ff, 0xfffe, 0xffff};
  for (int round = 0; round < 20'000; ++round) {
    FlowBucket first{};
    FlowBucket second{};
    const uint16_t tag = values[random() % std::size(values)];
    uint32_t expected = 0;
    for (uint32_t i = 0; i < 8; ++i) {
      const uint16_t value = values[random() % std::size(values)];
      (i < 4 ? first.tags[i] : second.tags[i - 4]) = value;
      if (value == tag) expected |= 1u << i;
    }
    ASSERT_EQ(match_tags_portable(first, second, tag), expected);
    ASSERT_EQ(match_tags(first, second, tag), expected);
#if XEBEC_SSE2_TAGS
    ASSERT_EQ(match_tags_sse2(first, second, tag), expected);
#endif
  }
}

}  // namespace
}  // namespace xebec
