// SPDX-License-Identifier: BSD-2-Clause
// A flow table as another thread sees it, and orders to forget. Runs under TSan, too.
#include "dataplane/flow_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "dataplane/flow_flush.h"
#include "dataplane/nat_table.h"

namespace xebec {
namespace {

constexpr uint64_t kNow = 1'000'000'000'000;
const HashSecret kSecret{std::array<uint8_t, 16>{1, 2, 3}};

/// All of a key follows from its number.
FlowKey key_of(uint32_t n) {
  FlowKey key;
  key.source = IpAddress::parse("198.51.100.0").value();
  key.source.bytes[14] = static_cast<uint8_t>(n >> 8);
  key.source.bytes[15] = static_cast<uint8_t>(n);
  key.destination = IpAddress::parse("203.0.113.10").value();
  key.source_port = Be16::from_host(static_cast<uint16_t>(n * 7 + 1));
  key.destination_port = Be16::from_host(443);
  key.protocol = kProtoTcp;
  return key;
}

class FlowReaderTest : public ::testing::Test {
 protected:
  FlowReaderTest() : flows_({.capacity = 512, .timeouts = {}}), nat_(nat_config(), 0, 1) {}
  static NatTableConfig nat_config() {
    NatTableConfig config;
    config.capacity = 64;
    return config;
  }
  void insert(uint32_t n, uint32_t backend, uint8_t flags = kTcpSyn) {
    const FlowKey key = key_of(n);
    flows_.insert(key, flows_.probe(flow_hash(kSecret, key)), backend, flags, kNow);
  }
  /// Number of the key -> backend, of what a reader sees.
  std::map<uint32_t, uint32_t> seen(uint64_t now_ns = kNow) {
    std::map<uint32_t, uint32_t> all;
    const FlowReader reader(flows_, kSecret);
    reader.look(0, reader.buckets(), now_ns, [&](const FlowSeen& flow) {
      const uint32_t n = flow.key.source.bytes[14] << 8 | flow.key.source.bytes[15];
      EXPECT_EQ(flow.key, key_of(n));
      all[n] = flow.backend_id;
      return true;
    });
    return all;
  }
  void flush(const FlowFilter& filter) {
    flush_.order(filter);
    while (!flush_.done()) flush_.work(flows_, nat_);
  }
  FlowTable flows_;
  NatTable nat_;
  FlowFlush flush_;
};

TEST_F(FlowReaderTest, ShowsEveryFlowThatLives) {
  for (uint32_t n = 0; n < 300; ++n) insert(n, n % 3);
  const auto all = seen();
  ASSERT_EQ(all.size(), flows_.stats().used);
  EXPECT_GE(all.size(), 295u);
  for (const auto& [n, backend] : all) EXPECT_EQ(backend, n % 3);
  EXPECT_TRUE(seen(kNow + 60'000'000'000).empty());  // half open for a minute
}

TEST_F(FlowReaderTest, GoesOnWhereItEnded) {
  for (uint32_t n = 0; n < 300; ++n) insert(n, 0);
  const FlowReader reader(flows_, kSecret);
  uint32_t rows = 0, pieces = 0;
  for (uint32_t at = 0; at < reader.buckets(); ++pieces) {
    uint32_t here = 0;
    at = reader.look(at, 16, kNow, [&](const FlowSeen&) { return ++here < 5; });
    EXPECT_LT(here, 5 + kBucketPlaces);
    rows += here;
  }
  EXPECT_EQ(rows, flows_.stats().used);
  EXPECT_GE(pieces, reader.buckets() / 16);
}

TEST_F(FlowReaderTest, TellsStateAndSilence) {
  insert(1, 9, kTcpSyn);
  const FlowKey key = key_of(1);
  flows_.lookup(key, flows_.probe(flow_hash(kSecret, key)), kTcpAck, kNow);
  const FlowReader reader(flows_, kSecret);
  reader.look(0, reader.buckets(), kNow + 120'000'000'000, [&](const FlowSeen& flow) {
    EXPECT_EQ(flow.state, FlowState::established);
    EXPECT_NEAR(flow.silent_s, 120, 1);
    return true;
  });
  EXPECT_EQ(seen(kNow + 120'000'000'000).size(), 1u);
}

TEST_F(FlowReaderTest, FlushForgetsWhatMatchesAndNothingElse) {
  for (uint32_t n = 0; n < 200; ++n) insert(n, n % 4);
  const auto before = seen();
  flush({.backends = std::vector<uint32_t>{1, 3}});
  auto left = seen();
  for (const auto& [n, backend] : before) EXPECT_EQ(left.contains(n), backend % 2 == 0) << n;
  EXPECT_EQ(flush_.flows(), before.size() - left.size());
  EXPECT_EQ(flows_.counts().of(1).flows, 0u);

  // Static: gcc 12 takes an optional vector that was never made for one that is destroyed all the same.
  static const FlowFilter of_prefix{.source = IpPrefix::parse("198.51.0.16/28")};
  flush(of_prefix);
  for (const auto& [n, backend] : left) EXPECT_EQ(seen().contains(n), n < 16 || n > 31) << n;
  static const FlowFilter all;
  flush(all);
  EXPECT_TRUE(seen().empty());
  EXPECT_EQ(flows_.stats().used, 0u);
}

TEST_F(FlowReaderTest, FlushForgetsTranslationsToo) {
  const auto make = [&](uint32_t n, uint32_t backend) {
    const FlowKey forward = key_of(n);
    FlowKey reply = forward;
    std::swap(reply.source, reply.destination);
    std::swap(reply.source_port, reply.destination_port);
    NatMapping out;
    return nat_.create({forward, flow_hash(kSecret, forward), reply, backend, {}, {}}, kSecret, kNow, out);
  };
  for (uint32_t n = 0; n < 20; ++n) ASSERT_NE(make(n, n % 2), NatTable::kNone);
  flush({.backends = std::vector<uint32_t>{1}});
  EXPECT_EQ(nat_.used(), 10u);
  EXPECT_EQ(flush_.mappings(), 10u);
  EXPECT_NE(make(21, 1), NatTable::kNone);  // their places can be had again
}

// What a reader shows was there: keys are whole, and their backend follows from them, whatever the owner does meanwhile.
TEST_F(FlowReaderTest, ShowsWholeFlowsWhileTheOwnerWorks) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> rounds{0}, shown{0}, wrong{0};
  std::thread reader([&] {
    const FlowReader look(flows_, kSecret);
    while (!stop.load()) {
      look.look(0, look.buckets(), kNow, [&](const FlowSeen& flow) {
        const uint32_t n = flow.key.source.bytes[14] << 8 | flow.key.source.bytes[15];
        ++shown;
        if (!(flow.key == key_of(n))) ++wrong;
        return true;
      });
      ++rounds;
    }
  });
  while (rounds.load() < 3) std::this_thread::yield();
  for (uint32_t n = 0; n < 60'000; ++n) {
    insert(n % 5000, n % 7);  // ten times what the table holds: half-open ones give way all the time
    if (n % 64 == 0) std::this_thread::yield();
  }
  flush_.order({});
  while (!flush_.done()) flush_.work(flows_, nat_);
  const uint64_t at = rounds.load();
  while (rounds.load() < at + 2) std::this_thread::yield();
  stop = true;
  reader.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(shown.load(), 0u);
}

}  // namespace
}  // namespace xebec
