// SPDX-License-Identifier: BSD-2-Clause
// Ring or inject: cheap for few packets, fast for many, and no flow reordered on the way between them.
#include "dataplane/inject_policy.h"

#include <gtest/gtest.h>

namespace xebec {
namespace {

using Way = InjectPolicy::Way;
using Gathered = InjectPolicy::Gathered;

constexpr uint32_t kFew = InjectPolicy::kWorthInjecting - 1;
constexpr uint32_t kMany = InjectPolicy::kWorthInjecting;
constexpr uint64_t kStart = 1'000'000'000'000;

TEST(InjectPolicy, SendsFewPacketsByTheRingAndManyByInjection) {
  InjectPolicy few, many;
  EXPECT_EQ(few.choose({.packets = 1}, kStart), Way::ring);
  EXPECT_EQ(few.choose({.packets = kFew}, kStart), Way::ring);
  EXPECT_EQ(many.choose({.packets = kMany}, kStart), Way::inject);
}

TEST(InjectPolicy, MakesAFewCallsAtOnceAndThenOneInHalfAMillisecond) {
  InjectPolicy policy;
  for (uint64_t i = 0; i < InjectPolicy::kCallsAtOnce; ++i) {
    EXPECT_EQ(policy.rest_ns(kStart + i), 0u);
    EXPECT_EQ(policy.choose({.packets = kMany}, kStart + i), Way::inject);
  }
  uint64_t now = kStart + InjectPolicy::kCallsAtOnce;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(policy.choose({.packets = kMany}, now), Way::inject)
        << "one that is in debt by a full ration may call";
    EXPECT_EQ(policy.choose({.packets = kMany}, now), Way::gather);
    EXPECT_EQ(policy.rest_ns(now), InjectPolicy::kLookNs);
    EXPECT_EQ(policy.choose({.packets = kMany}, now + InjectPolicy::kCallNs - 1 - InjectPolicy::kCallsAtOnce),
              Way::gather);
    now += InjectPolicy::kCallNs;
    EXPECT_EQ(policy.rest_ns(now), 0u);
  }
}

TEST(InjectPolicy, RationsNoCallThatBringsEnough) {
  InjectPolicy policy;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(policy.choose({.packets = 256, .enough = true}, kStart), Way::inject);
    EXPECT_EQ(policy.rest_ns(kStart), 0u);
  }
}

TEST(InjectPolicy, RationsNoCallOnceTheBurstHasEnded) {
  InjectPolicy policy;
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(policy.choose({.packets = kMany, .stalled = true}, kStart), Way::inject);
  // And what they owe is soon forgotten.
  EXPECT_EQ(policy.choose({.packets = kMany}, kStart + 2 * InjectPolicy::kCallNs), Way::inject);
}

TEST(InjectPolicy, RationsNoCallWithoutWhichThereIsNoRoom) {
  InjectPolicy policy;
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(policy.choose({.packets = kMany, .full = true}, kStart), Way::inject);
}

TEST(InjectPolicy, RationsNothingAfterAQuietTime) {
  InjectPolicy policy;
  for (int burst = 0; burst < 5; ++burst) {
    const uint64_t now = kStart + static_cast<uint64_t>(burst) * 1'000'000'000;
    for (uint64_t i = 0; i < InjectPolicy::kCallsAtOnce; ++i)
      EXPECT_EQ(policy.choose({.packets = kMany}, now), Way::inject);
  }
}

TEST(InjectPolicy, InjectsNothingWhileTheRingHasPacketsOnTheirWay) {
  InjectPolicy policy;
  EXPECT_EQ(policy.choose({.packets = kFew}, kStart), Way::ring);
  EXPECT_EQ(policy.choose({.packets = kMany, .ring_busy = true}, kStart + 1), Way::hold);
  EXPECT_EQ(policy.choose({.packets = kMany, .ring_busy = true}, kStart + 2), Way::hold);
  EXPECT_EQ(policy.choose({.packets = kMany, .ring_busy = false}, kStart + 3), Way::inject);
}

TEST(InjectPolicy, KeepsToTheRingWhereItsPacketsAreNotCompletedInTime) {
  InjectPolicy policy;
  const Gathered busy{.packets = kMany, .ring_busy = true};
  EXPECT_EQ(policy.choose(busy, kStart), Way::hold);
  EXPECT_EQ(policy.choose(busy, kStart + InjectPolicy::kPatienceNs - 1), Way::hold);
  EXPECT_EQ(policy.choose(busy, kStart + InjectPolicy::kPatienceNs), Way::ring);
  // And does not hold the next ones for nothing.
  const uint64_t gave_up = kStart + InjectPolicy::kPatienceNs;
  EXPECT_EQ(policy.choose(busy, gave_up + 1), Way::ring);
  EXPECT_EQ(policy.choose(busy, gave_up + InjectPolicy::kNoHoldNs - 1), Way::ring);
  EXPECT_EQ(policy.choose(busy, gave_up + InjectPolicy::kNoHoldNs), Way::hold);
}

TEST(InjectPolicy, HoldsNothingThatThereIsNoRoomFor) {
  InjectPolicy policy;
  EXPECT_EQ(policy.choose({.packets = kMany, .full = true, .ring_busy = true}, kStart), Way::ring);
}

TEST(InjectPolicy, InjectsFewPacketsTooUntilTheInjectedOnesHaveSurelyArrived) {
  InjectPolicy policy;
  EXPECT_EQ(policy.choose({.packets = kMany}, kStart), Way::inject);
  EXPECT_EQ(policy.choose({.packets = 1}, kStart + InjectPolicy::kQuietNs - 1), Way::inject);
  // That one counts from its own time.
  const uint64_t last = kStart + InjectPolicy::kQuietNs - 1;
  EXPECT_EQ(policy.choose({.packets = 1}, last + InjectPolicy::kQuietNs - 1), Way::inject);
  EXPECT_EQ(policy.choose({.packets = 1}, last + 2 * InjectPolicy::kQuietNs - 1), Way::ring);
}

TEST(InjectPolicy, SendsWhatIsTooLongByTheRingOnceTheInjectedPacketsHaveArrived) {
  InjectPolicy policy;
  EXPECT_EQ(policy.choose({.packets = kMany}, kStart), Way::inject);
  EXPECT_EQ(policy.choose({.packets = kMany, .misfit = true}, kStart + 1), Way::hold);
  EXPECT_EQ(policy.choose({.packets = kMany, .misfit = true}, kStart + InjectPolicy::kQuietNs), Way::ring);
}

TEST(InjectPolicy, NeverInjectsWhatIsTooLong) {
  InjectPolicy policy;
  EXPECT_EQ(policy.choose({.packets = kMany}, kStart), Way::inject);
  for (uint64_t t = kStart; t < kStart + 3'000'000'000; t += 700'000) {
    for (const bool full : {false, true}) {
      for (const bool busy : {false, true}) {
        EXPECT_NE(policy.choose({.packets = kMany, .misfit = true, .full = full, .ring_busy = busy}, t),
                  Way::inject);
      }
    }
  }
}

TEST(InjectPolicy, KeepsAFlowWithLongPacketsOnTheRing) {
  InjectPolicy policy;
  EXPECT_EQ(policy.choose({.packets = 1, .misfit = true}, kStart), Way::ring);
  EXPECT_EQ(policy.choose({.packets = kMany}, kStart + InjectPolicy::kMisfitNs - 1), Way::ring);
  EXPECT_EQ(policy.choose({.packets = kMany}, kStart + InjectPolicy::kMisfitNs), Way::inject);
}

}  // namespace
}  // namespace xebec
