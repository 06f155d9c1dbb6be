// SPDX-License-Identifier: BSD-2-Clause
// What workers see of connections that clients open to translated backends.
#include <gtest/gtest.h>

#include "dataplane/nat_table.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr const char* kClient = "192.0.2.1";
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kBackend = "10.0.0.1";

class NatOpeningsTest : public testing::Test {
 protected:
  void SetUp() override {
    story.service(kVip, kProtoTcp, 443);
    id = story.backend(kBackend, Mode::dnat);
    table = story.make();
  }
  Verdict send(const Bytes& bytes) {
    const test::HeapFrame frame(bytes);
    Packet packet = frame.packet();
    Decision decision;
    forward_batch(*table, *state, {&packet, 1}, {&decision, 1}, now);
    return decision.verdict;
  }
  void client(uint16_t port, uint8_t flags) {
    EXPECT_EQ(send(FrameBuilder().ethernet().ipv4(kClient, kVip).tcp(port, 443, {.flags = flags}).build()),
              Verdict::forward);
  }
  void backend(uint16_t port, uint8_t flags) {
    EXPECT_EQ(
        send(FrameBuilder().ethernet().ipv4(kBackend, kClient).tcp(443, port, {.flags = flags}).build()),
        Verdict::forward);
  }
  std::array<uint64_t, 3> seen() const {
    const NatOpenings& o = state->nat->of(0).openings(id);
    return {o.answered.read(), o.refused.read(), o.unanswered.read()};
  }

  using Seen = std::array<uint64_t, 3>;
  test::TableStory story;
  uint32_t id = 0;
  std::unique_ptr<const Table> table;
  std::unique_ptr<ForwardState> state =
      std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  uint64_t now = 100 * kSecond;
};

TEST_F(NatOpeningsTest, AnsweredIsTheFirstSynWithAckOfAConnection) {
  client(1, kTcpSyn);
  EXPECT_EQ(seen(), (Seen{0, 0, 0}));
  backend(1, kTcpSyn | kTcpAck);
  EXPECT_EQ(seen(), (Seen{1, 0, 0}));
  backend(1, kTcpSyn | kTcpAck);
  client(1, kTcpAck);
  backend(1, kTcpAck);
  backend(1, kTcpRst | kTcpAck);
  EXPECT_EQ(seen(), (Seen{1, 0, 0})) << "one that stood was not refused";
}

TEST_F(NatOpeningsTest, RefusedIsAResetInsteadOfIt) {
  client(1, kTcpSyn);
  backend(1, kTcpRst | kTcpAck);
  EXPECT_EQ(seen(), (Seen{0, 1, 0}));
  backend(1, kTcpRst | kTcpAck);
  EXPECT_EQ(seen(), (Seen{0, 1, 0})) << "it was told once";
  client(1, kTcpSyn);
  backend(1, kTcpRst | kTcpAck);
  EXPECT_EQ(seen(), (Seen{0, 2, 0})) << "from the same port anew";
}

TEST_F(NatOpeningsTest, UnansweredIsASynSentAgainAfterASecond) {
  client(1, kTcpSyn);
  now += 5'000'000;
  client(1, kTcpSyn);
  EXPECT_EQ(seen(), (Seen{0, 0, 0})) << "so soon nobody sends again, and the answer may be on its way";
  now += 2 * kSecond;
  client(1, kTcpSyn);
  EXPECT_EQ(seen(), (Seen{0, 0, 1}));
  backend(1, kTcpSyn | kTcpAck);
  now += 2 * kSecond;
  client(1, kTcpSyn);
  EXPECT_EQ(seen(), (Seen{1, 0, 1})) << "the answer was lost behind us";
}

TEST_F(NatOpeningsTest, AreCountedForTcpAndNotForDatagrams) {
  story = {};
  story.service(kVip, kProtoUdp, 443);
  id = story.backend(kBackend, Mode::dnat);
  table = story.make();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(send(FrameBuilder().ethernet().ipv4(kClient, kVip).udp(1, 443).payload("q").build()),
              Verdict::forward);
    now += 2 * kSecond;
  }
  EXPECT_EQ(seen(), (Seen{0, 0, 0}));
}

}  // namespace
}  // namespace xebec
