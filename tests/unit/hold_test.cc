// SPDX-License-Identifier: BSD-2-Clause
// Later fragments before their first, and first ones that another worker sees: what is held goes on when the first was
// decided, and the books balance at every step.
#include <gtest/gtest.h>

#include <array>

#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;

constexpr const char* kVip = "203.0.113.10";
constexpr const char* kVip6 = "2001:db8::10";

/// Two workers over one table: UDP to four backends, tunnelled over IPv6.
class Hold : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* vip : {kVip, kVip6}) {
      story.service(vip, kProtoUdp, 53);
      for (const char* a : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"})
        story.backend(a, vip == kVip6 ? Mode::ipip : Mode::dsr_l2);
    }
    table = story.make();
    one->other_fragments.push_back(two->fragments);
    two->other_fragments.push_back(one->fragments);
  }
  static std::unique_ptr<ForwardState> worker() {
    auto state = std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
    state->hold_places = 64;
    return state;
  }

  // A packet in hand: offered once or, as held(), again.
  struct Offered {
    explicit Offered(const Bytes& bytes) : received(bytes), frame(bytes), packet(frame.packet()) {}
    Bytes received;
    HeapFrame frame;
    Packet packet;
    Decision decision;
  };
  Decision offer(ForwardState& state, Offered& offered, bool again = false) {
    const auto forward = again ? forward_held : forward_batch;
    forward(*table, state, {&offered.packet, 1}, {&offered.decision, 1}, now);
    count_sent(state.counters, {&offered.decision, 1});
    EXPECT_EQ(test::judge(offered.received, offered.decision, offered.packet, *table), "");
    EXPECT_TRUE(test::accounts_balance(state.counters));
    return offered.decision;
  }
  Decision send(ForwardState& state, const Bytes& bytes) {
    Offered offered(bytes);
    return offer(state, offered);
  }
  static uint64_t unknown(const ForwardState& state) {
    return state.counters.drops[static_cast<std::size_t>(DropReason::fragment_unknown)].read();
  }

  test::TableStory story;
  std::unique_ptr<const Table> table;
  std::unique_ptr<ForwardState> one = worker();
  std::unique_ptr<ForwardState> two = worker();
  uint64_t now = 100'000'000'000;
};

std::vector<Bytes> fragments(uint32_t id, bool six = false) {
  const FrameBuilder start = FrameBuilder().ethernet();
  const FrameBuilder ip =
      six ? FrameBuilder(start).ipv6("2001:db8:c::1", kVip6) : FrameBuilder(start).ipv4("192.0.2.1", kVip);
  return test::fragments_of(
      FrameBuilder(ip).udp(static_cast<uint16_t>(id), 53).payload(Bytes(100, 'd')).build(), 40, id);
}

TEST_F(Hold, ALaterFragmentFollowsTheFirstThatAnotherWorkerSaw) {
  for (const bool six : {false, true}) {
    for (uint32_t id = 1; id <= 32; ++id) {
      const auto pieces = fragments(id, six);
      const Decision first = send(*one, pieces[0]);
      for (std::size_t i = 1; i < pieces.size(); ++i) {
        const Decision later = send(*two, pieces[i]);
        EXPECT_EQ(later.verdict, Verdict::forward);
        EXPECT_EQ(later.backend, first.backend);
      }
    }
  }
  EXPECT_EQ(two->counters.held.read(), 0u);
}

TEST_F(Hold, ALaterFragmentWaitsForItsFirstWhereverThatComes) {
  for (ForwardState* first_worker : {one.get(), two.get()}) {
    for (const bool six : {false, true}) {
      const auto pieces = fragments(first_worker == one.get() ? 40 : 41, six);
      Offered later(pieces[2]);
      const uint64_t received = two->counters.received.read();
      EXPECT_EQ(offer(*two, later).verdict, Verdict::hold);
      EXPECT_EQ(two->counters.held.read(), 1u);
      EXPECT_EQ(offer(*two, later, true).verdict, Verdict::hold) << "nothing has changed";
      EXPECT_EQ(two->counters.held.read(), 1u);
      EXPECT_EQ(two->counters.received.read(), received + 1) << "offered twice, received once";

      const uint64_t seen = first_fragments_seen(*two);
      const Decision first = send(*first_worker, pieces[0]);
      EXPECT_GT(first_fragments_seen(*two), seen);
      EXPECT_EQ(offer(*two, later, true).verdict, Verdict::forward);
      EXPECT_EQ(later.decision.backend, first.backend);
      EXPECT_EQ(two->counters.held.read(), 0u);
    }
  }
}

TEST_F(Hold, NoMoreAreHeldThanTheCallerHasPlacesFor) {
  two->hold_places = 2;
  const auto pieces = fragments(50);
  EXPECT_EQ(send(*two, pieces[1]).verdict, Verdict::hold);
  EXPECT_EQ(send(*two, pieces[2]).verdict, Verdict::hold);
  EXPECT_EQ(two->hold_places, 0u);
  const Decision third = send(*two, pieces[1]);
  EXPECT_EQ(third.verdict, Verdict::drop);
  EXPECT_EQ(third.reason, DropReason::fragment_unknown);
  EXPECT_EQ(unknown(*two), 1u);
}

TEST_F(Hold, APacketInSeveralFramesNeedsAsManyPlaces) {
  const Bytes whole = fragments(51)[1];
  for (const uint32_t places : {1u, 2u}) {
    two->hold_places = places;
    Offered later(Bytes(whole.begin(), whole.begin() + 60));
    std::array<std::span<const uint8_t>, 1> rest = {std::span(whole).subspan(60)};
    later.packet.rest = rest;
    later.packet.rest_length = static_cast<uint32_t>(rest[0].size());
    EXPECT_EQ(offer(*two, later).verdict, places == 2 ? Verdict::hold : Verdict::drop);
  }
}

TEST_F(Hold, WhatIsGivenUpIsDroppedByItsName) {
  const auto pieces = fragments(52);
  EXPECT_EQ(send(*two, pieces[1]).verdict, Verdict::hold);
  EXPECT_EQ(send(*two, pieces[2]).verdict, Verdict::hold);
  drop_held(two->counters, 2);
  EXPECT_EQ(two->counters.held.read(), 0u);
  EXPECT_EQ(unknown(*two), 2u);
  EXPECT_TRUE(test::accounts_balance(two->counters));
}

TEST_F(Hold, WhatIsHeldFollowsTheTableOfNow) {
  const auto pieces = fragments(53);
  Offered later(pieces[1]);
  EXPECT_EQ(offer(*two, later).verdict, Verdict::hold);
  const Decision first = send(*one, pieces[0]);
  story.at(first.backend).usable = false;
  table = story.make();
  EXPECT_EQ(offer(*two, later, true).verdict, Verdict::drop);
  EXPECT_EQ(later.decision.reason, DropReason::no_backend);
}

}  // namespace
}  // namespace xebec
