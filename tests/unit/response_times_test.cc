// SPDX-License-Identifier: BSD-2-Clause
// Weights by response times: where they go, how fast, and that noise moves nobody.
#include "control/response_times.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "dataplane/maglev.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

IpAddress backend(int n) {
  return *IpAddress::parse("10.0.0." + std::to_string(n));
}

/// A service "web" of four backends with what their checks took, of which all take new flows.
struct World {
  explicit World(uint32_t weight = 100) {
    ServiceConfig web;
    web.name = "web";
    web.weights = WeightSource::response_time;
    for (int n = 1; n <= 4; ++n) {
      BackendConfig b;
      b.address = backend(n);
      b.weight = weight;
      web.backends.push_back(b);
    }
    config.services.push_back(web);
  }
  void see(int n, std::chrono::nanoseconds took, int times = 1) {
    for (int i = 0; i < times; ++i) times_of.observe({"web", backend(n)}, took);
  }
  bool step() {
    return times_of.step(config,
                         [this](const ResponseTimes::Key& key) { return !away.contains(key.second); });
  }
  /// Steps until nothing moves; how many.
  int settle() {
    int steps = 0;
    while (step() && steps < 1000) ++steps;
    return steps;
  }
  uint32_t permille(int n) const { return times_of.permille(config.services[0], backend(n)); }
  /// As the table builder makes it: weights of a thousandth.
  MaglevTable array() const {
    std::vector<MaglevBackend> backends;
    for (const BackendConfig& b : config.services[0].backends)
      backends.push_back(
          {b.address, 80, b.weight * 10 * times_of.permille(config.services[0], b.address) / 1000});
    return MaglevTable::build("web", backends, 7, kDefaultLookupSize);
  }

  Config config;
  ResponseTimes times_of;
  std::set<IpAddress> away;
};

TEST(ResponseTimes, WhoTakesTwiceAsLongGetsHalf) {
  World world;
  for (const int n : {1, 2, 3}) world.see(n, 19ms);
  world.see(4, 39ms);
  world.settle();
  EXPECT_EQ(world.permille(1), 1000u);
  EXPECT_NEAR(world.permille(4), 500, 45) << "a difference that is not worth a table is left";
  EXPECT_NEAR(*world.times_of.average_ms({"web", backend(4)}), 39, 0.01);
}

TEST(ResponseTimes, NobodyFallsBelowTheFloorNorIsRaisedAboveHisWeight) {
  World world;
  world.config.services[0].weights_floor_percent = 40;
  for (const int n : {1, 2, 3}) world.see(n, 1ms);
  world.see(4, 10s);
  world.settle();
  EXPECT_NEAR(world.permille(4), 400, 45);
  EXPECT_GE(world.permille(4), 400u);
  for (const int n : {1, 2, 3}) EXPECT_EQ(world.permille(n), 1000u);
}

TEST(ResponseTimes, NoMoreOfTheArrayMovesInAStepThanIsAllowed) {
  for (const uint32_t percent : {1u, 2u, 10u}) {
    World world;
    world.config.services[0].weights_move_percent = percent;
    for (const int n : {1, 2, 3}) world.see(n, 5ms);
    world.see(4, 500ms);
    MaglevTable before = world.array();
    int steps = 0;
    while (world.step()) {
      MaglevTable after = world.array();
      std::size_t moved = 0;
      for (std::size_t i = 0; i < before.slots().size(); ++i) moved += before.slots()[i] != after.slots()[i];
      EXPECT_LE(static_cast<double>(moved), percent / 100.0 * static_cast<double>(before.slots().size()))
          << percent << " % in step " << steps;
      before = std::move(after);
      ASSERT_LT(++steps, 1000);
    }
    EXPECT_GT(steps, percent == 10 ? 1 : 8) << percent;
    EXPECT_LT(world.permille(4), 320u) << "it gets there";
  }
}

TEST(ResponseTimes, NoiseMovesNobody) {
  World world;
  for (int i = 0; i < 100; ++i) {
    for (int n = 1; n <= 4; ++n) world.see(n, 200us + 40us * ((i * n) % 7));
    EXPECT_FALSE(world.step()) << i;
  }
  EXPECT_EQ(world.permille(1), 1000u);
}

TEST(ResponseTimes, OneSlowAnswerIsNoSlowBackend) {
  World world;
  for (int n = 1; n <= 4; ++n) world.see(n, 20ms, 20);
  world.see(4, 40ms);
  world.settle();
  EXPECT_GT(world.permille(4), 750u);
  world.see(4, 20ms, 20);
  world.settle();
  EXPECT_GT(world.permille(4), 950u) << "forgotten, but for what is not worth a table";
}

TEST(ResponseTimes, ComesBackWhenItAnswersQuicklyAgain) {
  World world;
  for (const int n : {1, 2, 3}) world.see(n, 10ms);
  world.see(4, 100ms);
  world.settle();
  ASSERT_LT(world.permille(4), 350u);
  world.see(4, 10ms, 30);
  EXPECT_GT(world.settle(), 5) << "in steps as well";
  EXPECT_GT(world.permille(4), 940u);
}

TEST(ResponseTimes, OfWhomNothingIsKnownNothingIsTaken) {
  World world;
  world.see(1, 1ms);
  world.see(2, 1ms);
  EXPECT_FALSE(world.step());
  for (int n = 1; n <= 4; ++n) EXPECT_EQ(world.permille(n), 1000u);
  world.away = {backend(1)};
  world.see(2, 500ms, 30);
  world.see(3, 500ms, 30);
  EXPECT_FALSE(world.step()) << "who takes nothing is nobody to be compared with";
}

TEST(ResponseTimes, AreOfNoMatterWhereWeightsAreFixedAndForgottenWithTheBackend) {
  World world;
  for (const int n : {1, 2, 3}) world.see(n, 1ms);
  world.see(4, 500ms);
  world.settle();
  ASSERT_LT(world.permille(4), 500u);
  EXPECT_TRUE(ResponseTimes::is_wanted(world.config));
  world.config.services[0].weights = WeightSource::fixed;
  EXPECT_FALSE(ResponseTimes::is_wanted(world.config));
  EXPECT_EQ(world.permille(4), 1000u);
  EXPECT_FALSE(world.step());
  EXPECT_FALSE(world.times_of.average_ms({"web", backend(4)}));
}

}  // namespace
}  // namespace xebec
