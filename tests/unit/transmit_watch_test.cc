// SPDX-License-Identifier: BSD-2-Clause
// When a transmit ring counts as standing still, and what is done then.
#include "dataplane/transmit_watch.h"

#include <gtest/gtest.h>

namespace xebec {
namespace {

using Orders = TransmitWatch::Orders;
constexpr TransmitProgress kStanding{100, 5};

/// Looks at a ring every half second from `from_ms` until just before `until_ms`; the sum of the orders.
Orders watch(TransmitWatch& w, uint64_t from_ms, uint64_t until_ms, TransmitProgress p = kStanding,
             bool up = true) {
  Orders all;
  for (uint64_t now = from_ms; now < until_ms; now += 500) {
    const Orders o = w.observe(now, p, up);
    all.tell_stuck |= o.tell_stuck;
    all.tell_recovered |= o.tell_recovered;
    all.kick |= o.kick;
    all.reopen |= o.reopen;
  }
  return all;
}

TEST(TransmitWatch, IsContentWithARingThatMovesHoweverFullItIs) {
  TransmitWatch w;
  for (uint32_t i = 0; i < 100; ++i) EXPECT_FALSE(w.observe(500 * i, {i, 2048}, true).kick);
  EXPECT_FALSE(w.stuck());
}

TEST(TransmitWatch, IsContentWithAnEmptyRing) {
  TransmitWatch w;
  EXPECT_FALSE(watch(w, 0, 100'000, {100, 0}).kick);
}

TEST(TransmitWatch, FindsTheRingStuckAfterTwoSecondsAndTellsOnce) {
  TransmitWatch w;
  EXPECT_FALSE(watch(w, 0, 2000).kick);
  const Orders first = w.observe(2000, kStanding, true);
  EXPECT_TRUE(first.tell_stuck && first.kick);
  EXPECT_FALSE(first.reopen);
  EXPECT_TRUE(w.stuck());
  const Orders second = w.observe(2500, kStanding, true);
  EXPECT_TRUE(second.kick);
  EXPECT_FALSE(second.tell_stuck);
  EXPECT_EQ(w.times_stuck(), 1u);
}

TEST(TransmitWatch, TellsOfTheRecovery) {
  TransmitWatch w;
  watch(w, 0, 3000);
  EXPECT_TRUE(w.observe(3000, {101, 4}, true).tell_recovered);
  EXPECT_FALSE(w.stuck());
  EXPECT_FALSE(w.observe(3500, {102, 4}, true).tell_recovered);
  watch(w, 4000, 7000, {102, 4});
  EXPECT_EQ(w.times_stuck(), 2u);
}

TEST(TransmitWatch, ExcusesARingWhoseLinkIsDownAndBeginsToCountWhenItIsUp) {
  TransmitWatch w;
  EXPECT_FALSE(watch(w, 0, 60'000, kStanding, false).kick);
  EXPECT_FALSE(watch(w, 60'000, 61'500).kick);
  EXPECT_TRUE(watch(w, 61'500, 63'000).tell_stuck);
}

TEST(TransmitWatch, DoesNotTakeAFallenLinkForARecovery) {
  TransmitWatch w;
  watch(w, 0, 3000);
  EXPECT_FALSE(watch(w, 3000, 10'000, kStanding, false).tell_recovered);
  EXPECT_TRUE(w.stuck());
}

TEST(TransmitWatch, AsksForANewSocketAfterFiveSecondsAndOncePerMinuteAtMost) {
  TransmitWatch w;
  EXPECT_FALSE(watch(w, 0, 5000).reopen);
  EXPECT_TRUE(w.observe(5000, kStanding, true).reopen);
  w.reopened(5000);
  EXPECT_FALSE(watch(w, 5500, 65'000, {0, 7}).reopen);
  EXPECT_TRUE(w.stuck()) << "a new ring that has not moved is no recovery";
  EXPECT_TRUE(w.observe(65'000, {0, 7}, true).reopen);
}

TEST(TransmitWatch, TakesTheIndexOfANewRingForNoMovement) {
  TransmitWatch w;
  watch(w, 0, 5500);
  w.reopened(5500);
  EXPECT_FALSE(w.observe(6000, {0, 3}, true).tell_recovered);
  EXPECT_TRUE(w.observe(6500, {3, 0}, true).tell_recovered);
}

}  // namespace
}  // namespace xebec
