// SPDX-License-Identifier: BSD-2-Clause
// When uneven workers are told of: rows of time and counters.
#include "control/worker_balance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

/// Windows of 5 s in which worker 0 has `hot` packets and the three others `cold` each.
class BalanceWatchTest : public testing::Test {
 protected:
  bool windows(int count, uint64_t hot, uint64_t cold) {
    bool changed = false;
    for (int i = 0; i < count; ++i) {
      now_ms_ += BalanceWatch::kWindowMs;
      for (std::size_t w = 0; w < received_.size(); ++w) received_[w] += w == 0 ? hot : cold;
      changed |= watch_.observe(now_ms_, received_);
    }
    return changed;
  }
  void SetUp() override { watch_.observe(now_ms_, received_); }

  uint64_t now_ms_ = 1000;
  std::vector<uint64_t> received_ = {5'000'000, 7, 8, 9};  // what was before the daemon looked is nothing
  BalanceWatch watch_;
};

TEST_F(BalanceWatchTest, TellsOfThreeUnevenWindowsInARow) {
  EXPECT_FALSE(windows(2, 900'000, 100'000));
  EXPECT_FALSE(windows(1, 300'000, 300'000));
  EXPECT_FALSE(windows(2, 900'000, 100'000));
  EXPECT_EQ(watch_.warning(), "");
  EXPECT_TRUE(windows(1, 900'000, 100'000));
  EXPECT_THAT(watch_.warning(), testing::StartsWith("worker 0 receives 75 % of the packets of 4 workers: "));
  EXPECT_FALSE(windows(5, 900'000, 100'000)) << "once";
}

TEST_F(BalanceWatchTest, LetsGoOnlyWhenItIsClearlyBetter) {
  windows(3, 900'000, 100'000);
  EXPECT_FALSE(windows(9, 850'000, 250'000)) << "1.7 times the even share";
  EXPECT_FALSE(windows(2, 300'000, 300'000));
  EXPECT_FALSE(windows(1, 850'000, 250'000));
  EXPECT_NE(watch_.warning(), "");
  EXPECT_TRUE(windows(3, 300'000, 300'000));
  EXPECT_EQ(watch_.warning(), "");
}

TEST_F(BalanceWatchTest, SaysNothingOfTrafficThatHurtsNobody) {
  EXPECT_FALSE(windows(10, 49'000, 0)) << "9,800 a second";
  EXPECT_TRUE(windows(10, 50'000, 0)) << "10,000 a second";
  EXPECT_TRUE(windows(3, 100, 0)) << "and quiet ends it";
}

TEST_F(BalanceWatchTest, LooksOnlyOnceAWindow) {
  windows(2, 900'000, 100'000);
  for (uint64_t ms = 500; ms < BalanceWatch::kWindowMs; ms += 500)
    EXPECT_FALSE(watch_.observe(now_ms_ + ms, received_));
  EXPECT_EQ(watch_.warning(), "");
}

TEST(BalanceWatch, HasNothingToSayOfASingleWorker) {
  BalanceWatch watch;
  uint64_t received = 0;
  for (uint64_t ms = 0; ms < 100'000; ms += 5000) {
    received += 1'000'000;
    EXPECT_FALSE(watch.observe(ms, std::vector<uint64_t>{received}));
  }
}

TEST(HashingWarning, IsOfAQueueThatHasHalfMoreThanItsPart) {
  const auto of = [](std::vector<double> shares) { return hashing_warning("eth0", shares); };
  EXPECT_EQ(of({}), "");
  EXPECT_EQ(of({1.0}), "");
  EXPECT_EQ(of({0.3, 0.25, 0.25, 0.2}), "");
  EXPECT_EQ(of({0.2, 0.4, 0.2, 0.2}),
            "interface eth0: receive hashing gives queue 1 40 % of the flows, of 4 queues");
}

}  // namespace
}  // namespace xebec
