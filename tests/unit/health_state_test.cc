// SPDX-License-Identifier: BSD-2-Clause
// Rows of results, and the health they make.
#include "control/health_state.h"

#include <gtest/gtest.h>

#include <string>

namespace xebec {
namespace {

using namespace std::chrono_literals;
using Change = HealthState::Change;

/// Feeds '+' (good) and '-' (bad), a second apart; after each, the state as u(nknown), U(p) or D(own).
std::string states(HealthState state, const std::string& results) {
  HealthState::Time now{1h};
  std::string out;
  for (const char result : results) {
    state.take(result == '+', now);
    now += 1s;
    out += "uUD"[static_cast<std::size_t>(state.health())];
  }
  return out;
}

struct Row {
  HealthRules rules;
  Health initial;
  const char* results;
  const char* states;
};

TEST(HealthState, CountsConsecutiveResultsOnly) {
  const Row rows[] = {
      // rise and fall from unknown
      {{2, 3}, Health::unknown, "++", "uU"},
      {{2, 3}, Health::unknown, "---", "uuD"},
      {{2, 3}, Health::unknown, "+-+-+-+-", "uuuuuuuu"},
      // two bad ones, a good one, two bad ones: four bad in all and never three in a row
      {{2, 3}, Health::up, "--+--+--", "UUUUUUUU"},
      {{2, 3}, Health::up, "--+---", "UUUUUD"},
      {{2, 3}, Health::down, "+-+-++", "DDDDDU"},
      {{1, 1}, Health::up, "-+", "DU"},
      {{3, 2}, Health::down, "+++--", "DDUUD"},
      // initially down: nothing but good results bring it up
      {{2, 3}, Health::down, "-----", "DDDDD"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(states(HealthState(row.rules, row.initial), row.results), row.states) << row.results;
}

TEST(HealthState, TellsEachChangeOnce) {
  HealthState state({1, 2}, Health::up);
  const HealthState::Time now{1h};
  EXPECT_EQ(state.take(false, now), Change::none);
  EXPECT_EQ(state.take(false, now), Change::went_down);
  EXPECT_EQ(state.take(false, now), Change::none);
  EXPECT_EQ(state.streak(), 3u);
  EXPECT_FALSE(state.streak_is_good());
  EXPECT_EQ(state.take(true, now), Change::went_up);
  EXPECT_EQ(state.take(true, now), Change::none);
}

TEST(HealthState, DoublesTheRiseWithEveryFallWithinAMinuteUpToSixteenTimes) {
  HealthState state({2, 1}, Health::up);
  HealthState::Time now{1h};
  const uint32_t needed[] = {2, 4, 8, 16, 32, 32, 32};
  for (const uint32_t expected : needed) {
    EXPECT_EQ(state.take(false, now), Change::went_down);
    EXPECT_EQ(state.rise_needed(now), expected);
    for (uint32_t i = 1; i < expected; ++i) EXPECT_EQ(state.take(true, now), Change::none) << expected;
    EXPECT_EQ(state.take(true, now), Change::went_up);
    now += 1s;
  }
  EXPECT_EQ(state.take(false, now + 57s), Change::went_down) << "of the seven, some are old by now";
  EXPECT_EQ(state.rise_needed(now + 57s), 8u);
  EXPECT_EQ(state.rise_needed(now + 117s), 2u);
}

TEST(HealthState, ForgetsFallsThatAreOlderThanAMinute) {
  HealthState state({2, 1}, Health::up);
  HealthState::Time now{1h};
  for (int day = 0; day < 10; ++day, now += 60s) {
    state.take(false, now);
    EXPECT_EQ(state.rise_needed(now), 2u);
    state.take(true, now);
    EXPECT_EQ(state.take(true, now), Change::went_up);
  }
}

TEST(HealthState, LetsTheFirstResultOfAChangedCheckDecide) {
  const HealthState::Time now{1h};
  HealthState down({5, 5}, Health::down);
  down.restart({5, 5});
  EXPECT_EQ(down.health(), Health::down) << "until then nothing is known that would be better";
  EXPECT_EQ(down.take(true, now), Change::went_up);
  HealthState up({5, 5}, Health::up);
  up.restart({5, 5});
  EXPECT_EQ(up.take(false, now), Change::went_down);
  EXPECT_EQ(up.take(true, now), Change::none) << "the second one does not";
  HealthState unchanged({5, 2}, Health::up);
  unchanged.restart({5, 2});
  EXPECT_EQ(unchanged.take(true, now), Change::none);
  EXPECT_EQ(unchanged.take(false, now), Change::none);
  EXPECT_EQ(unchanged.take(false, now), Change::went_down);
}

}  // namespace
}  // namespace xebec
