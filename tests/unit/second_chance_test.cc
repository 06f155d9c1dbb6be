// SPDX-License-Identifier: BSD-2-Clause
// Connections that nobody remembers, after a change of the backends: they stay where the table of before had them.
#include <gtest/gtest.h>

#include <map>

#include "dataplane/decision_name.h"
#include "dataplane/forward.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::address;
using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;
using test::TableStory;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNow = 1000 * kSecond;
constexpr uint64_t kUntil = kNow + kSecondChanceNs;
constexpr const char* kVip = "203.0.113.10";
constexpr uint32_t kBackends = 5;  // the last one is new

Bytes tcp(uint16_t source_port, uint8_t flags) {
  return FrameBuilder()
      .ethernet()
      .ipv4("192.0.2.1", kVip)
      .tcp(source_port, 443, {.flags = flags})
      .payload("x")
      .build();
}

/// A service, before and after a fifth backend came.
class SecondChance : public testing::Test {
 protected:
  void SetUp() override {
    for (TableStory* story : {&before_, &after_}) {
      story->service(kVip, kProtoTcp, 443);
      for (uint32_t i = 1; i < kBackends; ++i) story->backend("10.0.0." + std::to_string(i));
    }
    after_.backend("10.0.0.5");
    old_ = before_.make();
    publish();
  }
  /// `after_`, with what was before it.
  void publish() {
    TableParts parts = after_.parts();
    const Service& was = old_->services()[0];
    parts.services[0].previous = std::make_shared<const PreviousLookup>(
        PreviousLookup{was.lookup, was.backend_ids, kNow - kSecond, kUntil});
    table_ = Table::make(std::move(parts));
  }

  static Decision send(const Table& table, ForwardState& state, const Bytes& bytes, uint64_t now) {
    const HeapFrame frame(bytes);
    Packet packet = frame.packet();
    Decision decision;
    forward_batch(table, state, {&packet, 1}, {&decision, 1}, now);
    return decision;
  }
  static std::unique_ptr<ForwardState> blank() {
    return std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  }
  /// Where each of 1,000 connections goes, by a worker that has seen none of them.
  static std::map<uint16_t, uint32_t> placed(const Table& table, uint8_t flags, uint64_t now) {
    const auto state = blank();
    std::map<uint16_t, uint32_t> result;
    for (uint16_t port = 1000; port < 2000; ++port)
      result[port] = send(table, *state, tcp(port, flags), now).backend;
    return result;
  }

  TableStory before_, after_;
  std::unique_ptr<const Table> old_, table_;
};

TEST_F(SecondChance, KeepsEveryUnknownConnectionWhereTheTableBeforeHadIt) {
  const auto opened = placed(*old_, kTcpSyn, kNow);
  ASSERT_NE(opened, placed(*table_, kTcpSyn, kNow)) << "the change moved nothing: this would prove nothing";
  EXPECT_EQ(placed(*table_, kTcpAck, kNow), opened);
}

TEST_F(SecondChance, IsRememberedLikeAnyOther) {
  const auto opened = placed(*old_, kTcpSyn, kNow);
  const auto state = blank();
  uint64_t chances = 0;
  for (const auto& [port, backend] : opened) {
    send(*table_, *state, tcp(port, kTcpAck), kNow);
    EXPECT_EQ(send(*table_, *state, tcp(port, kTcpAck), kUntil).backend, backend);  // after the window
    EXPECT_EQ(send(*table_, *state, tcp(port, kTcpAck), kUntil).origin, FlowOrigin::hit);
  }
  chances = state->counters.second_chances.read();
  EXPECT_GT(chances, 0u);
  EXPECT_LT(chances, opened.size() / 2) << "only those that the change moved count";
}

TEST_F(SecondChance, IsSaidInTheDecisionOfItsFirstPacketAndCountsAsANewFlowThere) {
  const auto opened = placed(*old_, kTcpSyn, kNow);
  const auto state = blank();
  uint64_t said = 0;
  for (const auto& [port, backend] : opened) {
    const Decision decision = send(*table_, *state, tcp(port, kTcpAck), kNow);
    const bool second = decision.origin == FlowOrigin::second_chance;
    EXPECT_TRUE(second || decision.origin == FlowOrigin::created) << name_of(decision.origin);
    said += second ? 1 : 0;
  }
  EXPECT_GT(said, 0u);
  EXPECT_EQ(said, state->counters.second_chances.read());
  uint64_t new_flows = 0;
  for (uint32_t id = 0; id < kBackends; ++id) new_flows += state->counters.backends[id].new_flows.read();
  EXPECT_EQ(new_flows, opened.size());
}

TEST_F(SecondChance, IsSaidAlsoWhereNothingCanBeRemembered) {
  ForwardState state(FlowTableConfig{.capacity = 4096, .timeouts = {}, .max_inserts_per_s = 0});
  // Only the first is certain to have it: then the worker has forgotten somebody.
  const auto opened = placed(*old_, kTcpSyn, kNow), now = placed(*table_, kTcpSyn, kNow);
  uint16_t moved = 1000;
  while (opened.at(moved) == now.at(moved)) ++moved;
  EXPECT_EQ(send(*table_, state, tcp(moved, kTcpAck), kNow).origin, FlowOrigin::second_chance);
  EXPECT_EQ(state.counters.second_chances.read(), 1u);
}

TEST_F(SecondChance, IsNotForConnectionsThatOpenNow) {
  const auto fresh = placed(*table_, kTcpSyn, kNow);
  EXPECT_EQ(placed(*table_, kTcpSyn, kUntil), fresh);
  // And what was opened is remembered there.
  const auto state = blank();
  for (const auto& [port, backend] : fresh) {
    send(*table_, *state, tcp(port, kTcpSyn), kNow);
    ASSERT_EQ(send(*table_, *state, tcp(port, kTcpAck), kNow).backend, backend);
  }
}

// Its SYN went by the array of now: so must the rest, whoever else has to do without.
TEST_F(SecondChance, IsNotForConnectionsThatCouldNotBeRemembered) {
  ForwardState state(FlowTableConfig{.capacity = 4096, .timeouts = {}, .max_inserts_per_s = 0});
  for (uint16_t port = 1000; port < 2000; ++port) {
    const Decision opened = send(*table_, state, tcp(port, kTcpSyn), kNow);
    ASSERT_EQ(opened.origin, FlowOrigin::unremembered);
    ASSERT_EQ(send(*table_, state, tcp(port, kTcpAck), kNow).backend, opened.backend);
  }
}

TEST_F(SecondChance, IsNotForConnectionsThatGaveWayToOthers) {
  ForwardState state(FlowTableConfig{.capacity = 64, .timeouts = {}});
  std::map<uint16_t, uint32_t> opened;
  for (uint16_t port = 1000; port < 2000; ++port)
    opened[port] = send(*table_, state, tcp(port, kTcpSyn), kNow).backend;
  ASSERT_GT(state.flows.stats().evicted_half_open, 800u);
  for (const auto& [port, backend] : opened)
    ASSERT_EQ(send(*table_, state, tcp(port, kTcpAck), kNow).backend, backend);
}

TEST_F(SecondChance, EndsWithItsTime) {
  EXPECT_NE(placed(*table_, kTcpAck, kUntil - 1), placed(*table_, kTcpAck, kUntil));
  EXPECT_EQ(placed(*table_, kTcpAck, kUntil), placed(*table_, kTcpSyn, kNow));
}

TEST_F(SecondChance, SendsNothingToABackendThatTakesNoMore) {
  after_.at(2).usable = false;
  publish();
  const auto opened = placed(*old_, kTcpSyn, kNow);
  for (const auto& [port, backend] : placed(*table_, kTcpAck, kNow)) {
    EXPECT_NE(backend, 2u);
    if (opened.at(port) != 2) {
      EXPECT_EQ(backend, opened.at(port));
    }
  }
}

TEST_F(SecondChance, LeavesToACurrentPickWhatWasAnotherServices) {
  after_.service("203.0.113.99", kProtoTcp, 443);
  after_.at(2).service = 1;  // its id went to the other service since
  TableParts parts = after_.parts();
  std::erase(parts.services[0].backend_ids, 2u);
  std::vector<MaglevBackend> left;
  for (const char* a : {"10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5"}) left.push_back({address(a), 443, 1});
  parts.services[0].lookup =
      std::make_shared<const MaglevTable>(MaglevTable::build("web", left, 1, kDefaultLookupSize));
  parts.services[0].previous = std::make_shared<const PreviousLookup>(
      PreviousLookup{old_->services()[0].lookup, old_->services()[0].backend_ids, kNow - kSecond, kUntil});
  table_ = Table::make(std::move(parts));
  for (const auto& [port, backend] : placed(*table_, kTcpAck, kNow)) EXPECT_NE(backend, 2u) << port;
}

TEST_F(SecondChance, IsRefusedInATableWhereItLeadsNowhere) {
  const auto refused = [&](const PreviousLookup& previous, bool stateless = false) {
    TableParts parts = after_.parts();
    parts.services[0].stateless = stateless;
    parts.services[0].previous = std::make_shared<const PreviousLookup>(previous);
    EXPECT_THROW(Table::make(std::move(parts)), std::invalid_argument);
  };
  const Service& was = old_->services()[0];
  refused({nullptr, was.backend_ids, 0, kUntil});
  refused({was.lookup, {0, 1, 2}, 0, kUntil});
  refused({was.lookup, was.backend_ids, 0, kUntil}, true);
}

}  // namespace
}  // namespace xebec
