// SPDX-License-Identifier: BSD-2-Clause
// Flows of each backend as the flow table counts them, against a look at every place; and the sweep that ends what is over.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "dataplane/flow_counts.h"
#include "dataplane/flow_table.h"

namespace xebec {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint8_t kAck = kTcpAck;
constexpr uint8_t kFin = kTcpFin | kTcpAck;
constexpr auto kNobodyIsGone = [](uint32_t) { return false; };
constexpr uint32_t kAllBuckets = UINT32_MAX;

FlowKey key_of(uint32_t n, uint8_t protocol = kProtoTcp) {
  FlowKey key;
  key.source = IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}};
  key.destination = IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}};
  key.source_port = Be16::from_host(static_cast<uint16_t>(n));
  key.destination_port = Be16::from_host(static_cast<uint16_t>(n >> 16));
  key.protocol = protocol;
  return key;
}

struct Bench {
  explicit Bench(uint32_t capacity)
      : table({.capacity = capacity, .timeouts = {}, .max_inserts_per_s = UINT32_MAX}) {}

  FlowTable table;
  uint64_t now = 1000 * kSecond;
  HashSecret secret;

  FlowProbe probe(const FlowKey& key) { return table.probe(flow_hash(secret, key)); }
  FlowHit lookup(const FlowKey& key, uint8_t flags) { return table.lookup(key, probe(key), flags, now); }
  bool insert(const FlowKey& key, uint8_t flags, uint32_t backend) {
    return table.insert(key, probe(key), backend, flags, now);
  }
  FlowCount count(uint32_t backend) const { return table.counts().of(backend); }
  std::map<uint32_t, FlowCount> scan() const {
    std::map<uint32_t, FlowCount> counts;
    table.for_each_flow([&](uint32_t backend, FlowState state) {
      ++counts[backend].flows;
      if (state != FlowState::closing) ++counts[backend].open;
    });
    return counts;
  }
};

TEST(FlowCounts, AFlowIsOpenUntilItsFinAndCountsUntilItIsSwept) {
  Bench bench(1000);
  ASSERT_TRUE(bench.insert(key_of(1), kTcpSyn, 7));
  EXPECT_EQ(bench.count(7), (FlowCount{1, 1}));
  bench.lookup(key_of(1), kAck);
  EXPECT_EQ(bench.count(7), (FlowCount{1, 1}));
  bench.lookup(key_of(1), kFin);
  EXPECT_EQ(bench.count(7), (FlowCount{1, 0}));
  bench.lookup(key_of(1), kTcpRst);
  EXPECT_EQ(bench.count(7), (FlowCount{1, 0})) << "closed once";
  bench.now += 9 * kSecond;
  bench.table.sweep(kAllBuckets, bench.now, kNobodyIsGone);
  EXPECT_EQ(bench.count(7), (FlowCount{1, 0})) << "its last packets may still come";
  bench.now += 2 * kSecond;
  bench.table.sweep(kAllBuckets, bench.now, kNobodyIsGone);
  EXPECT_EQ(bench.count(7), (FlowCount{0, 0}));
  EXPECT_EQ(bench.table.stats().used, 0u);
  EXPECT_EQ(bench.table.stats().swept, 1u);
}

TEST(FlowCounts, AFlowThatMovesIsTheOthers) {
  Bench bench(1000);
  ASSERT_TRUE(bench.insert(key_of(1), kTcpSyn, 7));
  bench.table.move(bench.lookup(key_of(1), kAck).slot, 8);
  EXPECT_EQ(bench.count(7), FlowCount{});
  EXPECT_EQ(bench.count(8), (FlowCount{1, 1}));
  ASSERT_TRUE(bench.insert(key_of(1), kAck, 9)) << "there already: it gets the backend";
  EXPECT_EQ(bench.count(8), FlowCount{});
  EXPECT_EQ(bench.count(9), (FlowCount{1, 1}));
}

TEST(FlowCounts, ASynOnAClosingFlowIsCountedAsANewOne) {
  Bench bench(1000);
  ASSERT_TRUE(bench.insert(key_of(1), kFin, 7));
  EXPECT_EQ(bench.count(7), (FlowCount{1, 0}));
  EXPECT_FALSE(bench.lookup(key_of(1), kTcpSyn).found());
  EXPECT_EQ(bench.count(7), FlowCount{});
}

TEST(FlowCounts, FlowsOfABackendThatIsGoneAreSweptOnceTheyAreSilent) {
  Bench bench(1000);
  for (const uint32_t n : {1u, 2u, 3u}) {
    ASSERT_TRUE(bench.insert(key_of(n), kTcpSyn, n == 3 ? 8 : 7));
    bench.lookup(key_of(n), kAck);
  }
  const auto seven_is_gone = [](uint32_t backend) { return backend == 7; };
  bench.now += 50 * kSecond;
  bench.lookup(key_of(2), kAck);
  bench.table.sweep(kAllBuckets, bench.now, seven_is_gone);
  EXPECT_EQ(bench.count(7).flows, 2u);
  bench.now += 20 * kSecond;
  bench.table.sweep(kAllBuckets, bench.now, seven_is_gone);
  EXPECT_EQ(bench.count(7).flows, 1u) << "one of them spoke 20 s ago";
  EXPECT_EQ(bench.count(8).flows, 1u);
}

TEST(FlowCounts, SweepsInPiecesFindEverything) {
  Bench bench(4000);
  for (uint32_t n = 0; n < 3000; ++n) ASSERT_TRUE(bench.insert(key_of(n), kTcpSyn, 1));
  bench.now += 20 * kSecond;
  const uint32_t buckets = bench.table.capacity() / kBucketPlaces;
  uint32_t pieces = 0;
  for (; bench.table.stats().used != 0 && pieces < 1000; ++pieces)
    bench.table.sweep(100, bench.now, kNobodyIsGone);
  EXPECT_LE(pieces, buckets / 100 + 1);
  EXPECT_EQ(bench.count(1), FlowCount{});
}

TEST(FlowCounts, IdsThatNoBackendCanHaveAreNotCounted) {
  Bench bench(100);
  ASSERT_TRUE(bench.insert(key_of(1), kTcpSyn, kMaxBackends));
  EXPECT_EQ(bench.count(kMaxBackends), FlowCount{});
  ASSERT_TRUE(bench.insert(key_of(2), kTcpSyn, kMaxBackends - 1));
  EXPECT_EQ(bench.count(kMaxBackends - 1), (FlowCount{1, 1}));
}

/// Everything that can happen to a flow, in random order, in a table that is too small.
TEST(FlowCounts, NeverDriftFromWhatTheTableHolds) {
  constexpr uint32_t kBackends = 12;
  for (const uint64_t seed : {1, 2, 3}) {
    Bench bench(300);
    std::mt19937_64 random(seed);
    std::set<uint32_t> gone;
    const uint8_t kinds[] = {kTcpSyn, kAck, kAck, kAck, kFin, kTcpRst};
    for (int step = 0; step < 60'000; ++step) {
      bench.now += random() % 3'000'000;
      if (random() % 2000 == 0) bench.now += random() % (90 * kSecond);
      const auto n = static_cast<uint32_t>(random() % 900);
      const bool udp = n % 5 == 0;
      const FlowKey key = key_of(n, udp ? kProtoUdp : kProtoTcp);
      const uint8_t flags = udp ? uint8_t{0} : kinds[random() % std::size(kinds)];
      const auto backend = static_cast<uint32_t>(random() % kBackends);
      const FlowHit hit = bench.lookup(key, flags);
      if (!hit.found() || random() % 50 == 0) {
        bench.insert(key, flags, backend);
      } else if (gone.contains(hit.backend_id)) {
        bench.table.move(hit.slot, backend);
      }
      if (random() % 500 == 0 && !gone.insert(backend).second) gone.erase(backend);
      if (random() % 20 == 0) {
        bench.table.sweep(static_cast<uint32_t>(random() % 40), bench.now,
                          [&](uint32_t id) { return gone.contains(id); });
      }
      if (step % 100 != 0) continue;
      auto found = bench.scan();
      uint32_t sum = 0;
      for (uint32_t id = 0; id < kBackends; ++id) {
        ASSERT_EQ(bench.count(id), found[id]) << "backend " << id << ", step " << step << ", seed " << seed;
        sum += bench.count(id).flows;
      }
      ASSERT_EQ(sum, bench.table.stats().used);
    }
    const FlowTableStats& stats = bench.table.stats();
    for (const uint64_t happened :
         {stats.evicted_expired, stats.evicted_half_open, stats.relocated, stats.refused_full, stats.swept})
      EXPECT_GT(happened, 0u);
  }
}

}  // namespace
}  // namespace xebec
