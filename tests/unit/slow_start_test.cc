// SPDX-License-Identifier: BSD-2-Clause
// Weights of backends that have just come: when they rise, how far, and how often a table is asked for. The clock is a number.
#include "control/slow_start.h"

#include <gtest/gtest.h>

#include <set>

namespace xebec {
namespace {

IpAddress backend(uint8_t n) {
  return *IpAddress::parse("10.0.0." + std::to_string(n));
}

/// A service "web" of backends 1 to 4 that takes ten seconds; `taking` is what the last table said.
struct World {
  World() {
    ServiceConfig web;
    web.name = "web";
    web.slow_start_ms = 10'000;
    for (uint8_t n = 1; n <= 4; ++n) {
      BackendConfig b;
      b.address = backend(n);
      web.backends.push_back(b);
    }
    config.services.push_back(web);
  }
  void look() {
    slow.observe(
        config, [this](const SlowStart::Key& key) { return taking.contains(key); }, now_ms);
  }
  void set(std::initializer_list<uint8_t> numbers) {
    taking.clear();
    for (const uint8_t n : numbers) taking.insert({"web", backend(n)});
    look();
  }
  uint32_t permille(uint8_t n) const { return slow.permille(config.services[0], backend(n), now_ms); }
  std::optional<uint64_t> next() const { return slow.next_step_ms(config, now_ms); }

  Config config;
  SlowStart slow;
  std::set<SlowStart::Key> taking;
  uint64_t now_ms = 1'000'000;
};

TEST(SlowStart, ABackendThatComesRisesFromATenthToItsWholeWeight) {
  World world;
  world.set({1, 2, 3});
  world.now_ms += 60'000;
  EXPECT_EQ(world.permille(4), 100u) << "what the table gets that has it first";
  world.set({1, 2, 3, 4});
  const uint64_t came_ms = world.now_ms;
  uint32_t last = 0;
  for (uint64_t elapsed = 0; elapsed < 10'000; elapsed += 100) {
    world.now_ms = came_ms + elapsed;
    world.look();  // however often somebody looks
    const uint32_t now = world.permille(4);
    EXPECT_GE(now, last);
    EXPECT_NEAR(now, 100 + 0.09 * static_cast<double>(elapsed), 45) << elapsed;
    EXPECT_LT(now, 1000u);
    last = now;
  }
  world.now_ms = came_ms + 10'000;
  EXPECT_EQ(world.permille(4), 1000u);
  for (const uint8_t n : std::initializer_list<uint8_t>{1, 2, 3}) EXPECT_EQ(world.permille(n), 1000u);
}

TEST(SlowStart, StepsAreAtMostTwentyAndTwoASecond) {
  for (const auto& [ramp_ms, wanted] :
       {std::pair<uint32_t, uint32_t>{10'000, 20}, {100'000, 20}, {2'000, 4}, {300, 1}}) {
    World world;
    world.config.services[0].slow_start_ms = ramp_ms;
    world.set({1, 2, 3});
    EXPECT_FALSE(world.next());
    world.now_ms += 60'000;
    world.set({1, 2, 3, 4});
    uint32_t steps = 0;
    uint64_t at_ms = world.now_ms;
    while (const auto next = world.next()) {
      ASSERT_GE(*next - at_ms, SlowStart::kStepMs);
      const uint32_t before = world.permille(4);
      at_ms = world.now_ms = *next;
      world.look();
      ASSERT_GT(world.permille(4), before) << "a table that changes nothing";
      ASSERT_LE(++steps, 100u);
    }
    EXPECT_EQ(steps, wanted) << ramp_ms;
    EXPECT_EQ(world.permille(4), 1000u);
  }
}

TEST(SlowStart, BackendsThatComeOneByOneShareTheSteps) {
  World world;
  world.set({1, 2});
  world.now_ms += 60'000;
  world.set({1, 2, 3});
  world.now_ms += 200;
  world.set({1, 2, 3, 4});
  EXPECT_EQ(world.next(), world.now_ms + SlowStart::kStepMs) << "not 300 ms after, and 200 ms after that";
}

TEST(SlowStart, FirstBackendsOfAServiceHaveTheirWholeWeight) {
  World world;
  EXPECT_EQ(world.permille(1), 1000u);
  world.set({1});
  world.now_ms += SlowStart::kSettleMs - 1;  // the neighbour was asked again and again
  EXPECT_EQ(world.permille(2), 1000u);
  world.set({1, 2});
  EXPECT_FALSE(world.next());
  world.now_ms += 1;
  EXPECT_EQ(world.permille(2), 1000u) << "also afterwards";
  EXPECT_EQ(world.permille(3), 100u);
}

TEST(SlowStart, ABackendThatWasGoneForAMomentBeginsAgain) {
  World world;
  world.set({1, 2, 3, 4});
  world.now_ms += 60'000;
  world.set({1, 2, 3});
  world.now_ms += 10;
  world.set({1, 2, 3, 4});
  EXPECT_EQ(world.permille(4), 100u);
}

TEST(SlowStart, WithoutItNothingStartsSlowly) {
  World world;
  world.config.services[0].slow_start_ms = 0;
  world.set({1});
  world.now_ms += 60'000;
  EXPECT_EQ(world.permille(2), 1000u);
  world.set({1, 2});
  EXPECT_EQ(world.permille(2), 1000u);
  EXPECT_FALSE(world.next());
}

TEST(SlowStart, AServiceThatIsGoneIsForgotten) {
  World world;
  world.set({1, 2, 3, 4});
  world.now_ms += 60'000;
  const Config with = world.config;
  world.config.services.clear();
  world.look();
  world.config = with;
  EXPECT_EQ(world.permille(1), 1000u) << "it has no older one beside it";
}

}  // namespace
}  // namespace xebec
