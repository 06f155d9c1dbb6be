// SPDX-License-Identifier: BSD-2-Clause
// Frames that wait: in order, in whole packets, for their time, and none is lost.
#include "dataplane/held_fragments.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

namespace xebec {
namespace {

constexpr uint64_t kNow = 1'000'000'000;

class HeldFragmentsTest : public testing::Test {
 protected:
  // A received packet of so many frames, each as long as `mark` says.
  void keep(uint32_t frames, uint32_t mark, uint64_t since_ns) {
    std::array<Frame, kMaxPacketFrames> packet;
    for (uint32_t i = 0; i < frames; ++i) {
      const uint64_t address = umem->give_to_fill(umem->allocate());
      packet[i] = umem->take_received(address + kFrameHeadroom, mark, i + 1 != frames);
    }
    held.keep(std::span(packet).first(frames), since_ns);
  }
  struct Taken {
    uint32_t mark;
    uint64_t since_ns;
    friend bool operator==(const Taken&, const Taken&) = default;
  };
  // What comes out into so many places; it is recycled.
  std::vector<Taken> take(std::size_t places) {
    std::array<Frame, HeldFragments::kFrames> out;
    std::array<uint64_t, HeldFragments::kFrames> since{};
    const uint32_t n = held.take(std::span(out).first(places), since);
    EXPECT_EQ(whole_packets(out, n), n);
    std::vector<Taken> taken;
    for (uint32_t i = 0; i < n; ++i) {
      taken.push_back({out[i].length(), since[i]});
      umem->recycle(std::move(out[i]));
    }
    return taken;
  }
  void TearDown() override {
    EXPECT_TRUE(held.empty());
    EXPECT_EQ(umem->counts().free, umem->count()) << "frames were lost";
  }

  std::unique_ptr<Umem> umem = Umem::create_unregistered(512);
  HeldFragments held;
};

TEST_F(HeldFragmentsTest, GivesWholePacketsInTheOrderTheyCame) {
  keep(1, 10, kNow);
  keep(3, 20, kNow + 1);
  keep(2, 30, kNow + 2);
  EXPECT_EQ(held.size(), 6u);
  EXPECT_EQ(held.free(), HeldFragments::kFrames - 6);
  EXPECT_EQ(take(3), (std::vector<Taken>{{10, kNow}})) << "the second does not fit whole";
  EXPECT_EQ(take(4), (std::vector<Taken>{{20, kNow + 1}, {20, kNow + 1}, {20, kNow + 1}}));
  EXPECT_EQ(take(4), (std::vector<Taken>{{30, kNow + 2}, {30, kNow + 2}}));
  EXPECT_TRUE(take(4).empty());
}

TEST_F(HeldFragmentsTest, GivesUpWhatHasWaitedLongEnoughAndNoMore) {
  keep(2, 10, kNow);
  keep(1, 20, kNow + 5);
  keep(1, 30, kNow + 6);
  EXPECT_EQ(held.give_up(kNow + HeldFragments::kPatienceNs - 1, *umem), 0u);
  EXPECT_EQ(held.give_up(kNow + HeldFragments::kPatienceNs + 5, *umem), 2u) << "packets, not frames";
  EXPECT_EQ(held.size(), 1u);
  EXPECT_EQ(held.give_up(UINT64_MAX, *umem), 1u);
}

TEST_F(HeldFragmentsTest, GoesRoundItsPlacesWithoutMixingThemUp) {
  uint32_t in = 0;
  uint32_t out = 0;
  for (int round = 0; round < 50; ++round) {
    while (held.free() >= 3) keep(1 + in % 3, in, kNow + in), ++in;
    std::vector<Taken> taken = take(61);
    ASSERT_GT(taken.size(), 58u);
    for (std::size_t i = 0; i < taken.size(); ++out) {
      for (uint32_t frame = 0; frame < 1 + out % 3; ++frame, ++i)
        ASSERT_EQ(taken[i], (Taken{out, kNow + out}));
    }
  }
  (void)held.give_up(UINT64_MAX, *umem);
}

}  // namespace
}  // namespace xebec
