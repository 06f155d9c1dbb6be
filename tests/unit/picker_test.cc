// SPDX-License-Identifier: BSD-2-Clause
// Which backend a new flow gets, algorithm by algorithm, against what is obvious and slow.
#include "dataplane/picker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include "dataplane/turns.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

constexpr uint64_t kNow = 1'000'000'000'000;
constexpr const char* kVip = "203.0.113.10";

IpAddress address_of(uint32_t n) {
  return IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, static_cast<uint8_t>(n >> 8),
                    static_cast<uint8_t>(n)}};
}

/// A service of backends with ids 0, 1, 2, ..., and one worker's or several workers' counts of their flows.
struct World {
  explicit World(Algorithm algorithm, std::vector<uint32_t> weights, uint32_t workers = 1)
      : counts(workers), fleets(workers), loads_of_all(weights.size()) {
    service.algorithm = algorithm;
    service.load_factor_percent = 125;
    service.weights = weights;
    service.weight_sum = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
    service.turns = std::make_shared<const std::vector<uint16_t>>(make_turns(weights));
    std::vector<MaglevBackend> backends;
    for (uint32_t i = 0; i < weights.size(); ++i) {
      service.backend_ids.push_back(i);
      backends.push_back({address_of(i), 80, weights[i]});
    }
    service.lookup = std::make_shared<const MaglevTable>(MaglevTable::build("s", backends, 1, 65537));
    for (uint32_t w = 0; w < workers; ++w) {
      pickers.emplace_back(w);
      pickers.back().seed(w + 1);
    }
  }

  FlowLoads loads(uint32_t worker) const {
    return {counts[worker], fleets[worker], static_cast<uint32_t>(counts.size())};
  }
  uint16_t pick(uint64_t hash = 0, uint32_t worker = 0) {
    return pickers[worker].pick(service, 0, hash, loads(worker));
  }
  void begin(uint16_t backend, uint32_t worker = 0) {
    counts[worker].begins(backend, FlowState::half_open);
    ++loads_of_all[backend];
  }
  void end(uint16_t backend, uint32_t worker = 0) {
    counts[worker].ends(backend, FlowState::established);
    --loads_of_all[backend];
  }
  uint16_t open(uint64_t hash = 0, uint32_t worker = 0) {
    const uint16_t backend = pick(hash, worker);
    begin(backend, worker);
    return backend;
  }
  /// What Engine::share_flow_counts() does.
  void share() {
    for (uint32_t id = 0; id < loads_of_all.size(); ++id) {
      for (std::size_t w = 0; w < counts.size(); ++w)
        fleets[w].set(id, static_cast<uint32_t>(loads_of_all[id]), counts[w].of(id).open);
    }
  }
  uint64_t sum() const { return std::accumulate(loads_of_all.begin(), loads_of_all.end(), uint64_t{0}); }

  Service service;
  std::vector<FlowCounts> counts;
  std::vector<FleetCounts> fleets;
  std::vector<Picker> pickers;
  std::vector<uint64_t> loads_of_all;
};

// ---- Turns ----

TEST(Turns, OfEqualWeightsAreOneEach) {
  EXPECT_EQ(make_turns(std::vector<uint32_t>{100, 100, 100}), (std::vector<uint16_t>{0, 1, 2}));
  EXPECT_EQ(make_turns(std::vector<uint32_t>{7, 0, 7}), (std::vector<uint16_t>{0, 2})) << "weight 0 has none";
  EXPECT_TRUE(make_turns(std::vector<uint32_t>{0, 0}).empty());
  EXPECT_TRUE(make_turns({}).empty());
}

TEST(Turns, AreExactAndSpread) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 60; ++round) {
    std::vector<uint32_t> weights(1 + random() % 30);
    for (uint32_t& weight : weights) weight = static_cast<uint32_t>(random() % 60);
    const uint64_t sum = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
    const std::vector<uint16_t> turns = make_turns(weights);
    std::vector<double> had(weights.size());
    for (std::size_t n = 0; n < turns.size(); ++n) {
      const double due = static_cast<double>(n + 1) * weights[turns[n]] / static_cast<double>(sum);
      // Nobody is ever a whole turn before or behind what its weight wants.
      ASSERT_LT(std::abs(++had[turns[n]] - due), 1.0);
    }
    for (std::size_t i = 0; i < weights.size() && sum != 0; ++i)
      ASSERT_EQ(static_cast<uint64_t>(had[i]) * sum, turns.size() * weights[i]);
  }
}

TEST(Turns, OfManyOddWeightsAreAsManyAsFit) {
  std::vector<uint32_t> weights;
  for (uint32_t i = 0; i < 4096; ++i) weights.push_back(1 + i * 7919 % 1000);
  const uint64_t sum = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
  const std::vector<uint16_t> turns = make_turns(weights);
  ASSERT_EQ(turns.size(), kMaxTurns);
  std::vector<uint32_t> had(weights.size());
  for (const uint16_t turn : turns) ++had[turn];
  for (std::size_t i = 0; i < weights.size(); ++i) {
    ASSERT_GE(had[i], 1u);
    ASSERT_NEAR(had[i], static_cast<double>(weights[i]) * kMaxTurns / static_cast<double>(sum), 3.0);
  }
}

// ---- Turns and dice ----

TEST(Picker, RrGivesEveryBackendTheSameToTheFlow) {
  World world(Algorithm::rr, std::vector<uint32_t>(7, 100));
  std::vector<uint16_t> order;
  for (int i = 0; i < 70; ++i) order.push_back(world.open());
  for (std::size_t i = 7; i < order.size(); ++i) ASSERT_EQ(order[i], order[i - 7]);
  for (const uint64_t load : world.loads_of_all) EXPECT_EQ(load, 10u);
}

TEST(Picker, WorkersBeginTheirTurnsInDifferentPlaces) {
  World world(Algorithm::rr, std::vector<uint32_t>(8, 100), 4);
  for (uint32_t w = 0; w < 4; ++w) EXPECT_EQ(world.pick(0, w), 2 * w);
}

TEST(Picker, WrrGivesWhatTheWeightsSayToTheFlow) {
  World world(Algorithm::wrr, {1, 300, 700, 999});
  for (int i = 0; i < 2 * 2000; ++i) world.open();
  EXPECT_EQ(world.loads_of_all, (std::vector<uint64_t>{2, 600, 1400, 1998}));
}

TEST(Picker, RandomFollowsTheWeights) {
  World world(Algorithm::random, {100, 200, 700});
  constexpr int kFlows = 100'000;
  for (int i = 0; i < kFlows; ++i) world.open();
  const double shares[] = {0.1, 0.2, 0.7};
  for (int i = 0; i < 3; ++i) {
    const double sigma = std::sqrt(kFlows * shares[i] * (1 - shares[i]));
    EXPECT_NEAR(static_cast<double>(world.loads_of_all[static_cast<std::size_t>(i)]), kFlows * shares[i],
                5 * sigma);
  }
}

// ---- Flow counts ----

/// The fewest by weight of all, and whether `picked` is one of those who have it.
bool is_least(const World& world, uint16_t picked) {
  const auto load = [&](std::size_t i) {
    return static_cast<double>(world.loads_of_all[i] + 1) / world.service.weights[i];
  };
  for (std::size_t i = 0; i < world.loads_of_all.size(); ++i) {
    if (load(i) < load(picked) * (1 - 1e-12)) return false;
  }
  return true;
}

TEST(Picker, LeastConnectionsTakesTheLeastOfAllWhileFlowsComeAndGo) {
  std::mt19937_64 random(2);
  for (const auto& weights :
       {std::vector<uint32_t>(64, 100), std::vector<uint32_t>{1, 10, 100, 1000}, std::vector<uint32_t>{5}}) {
    World world(Algorithm::wlc, weights);
    std::vector<uint16_t> flows;
    for (int step = 0; step < 20'000; ++step) {
      if (!flows.empty() && random() % 5 < 2) {
        std::swap(flows[random() % flows.size()], flows.back());
        world.end(flows.back());
        flows.pop_back();
        continue;
      }
      const uint16_t picked = world.open();
      --world.loads_of_all[picked];
      ASSERT_TRUE(is_least(world, picked)) << "step " << step;
      ++world.loads_of_all[picked];
      flows.push_back(picked);
    }
  }
}

TEST(Picker, LeastConnectionsOfEqualsTakesTurns) {
  World world(Algorithm::lc, std::vector<uint32_t>(5, 100));
  for (int i = 0; i < 50; ++i) {
    world.open();
    const auto [low, high] = std::minmax_element(world.loads_of_all.begin(), world.loads_of_all.end());
    ASSERT_LE(*high - *low, 1u);
  }
}

TEST(Picker, LeastConnectionsIsEvenAmongMoreBackendsThanItLooksAt) {
  World world(Algorithm::lc, std::vector<uint32_t>(1000, 100));
  for (int i = 0; i < 20'000; ++i) world.open();
  const auto [low, high] = std::minmax_element(world.loads_of_all.begin(), world.loads_of_all.end());
  EXPECT_LE(*high - *low, 3u);
  // One lost everything: it is filled up as soon as the looks come by.
  while (world.loads_of_all[500] != 0) world.end(500);
  for (int i = 0; i < 20 * 16; ++i) world.open();
  EXPECT_GE(world.loads_of_all[500], 18u);
}

TEST(Picker, TheBetterOfTwoIsFarMoreEvenThanChance) {
  constexpr uint32_t kBackends = 100;
  constexpr int kFlows = 20'000;
  const auto excess = [](Algorithm algorithm) {
    World world(algorithm, std::vector<uint32_t>(kBackends, 100));
    for (int i = 0; i < kFlows; ++i) world.open();
    return *std::max_element(world.loads_of_all.begin(), world.loads_of_all.end()) - kFlows / kBackends;
  };
  EXPECT_LE(excess(Algorithm::p2c), 6u);  // ln ln n / ln 2 + O(1)
  EXPECT_GT(excess(Algorithm::random), 20u);
}

TEST(Picker, TheBetterOfTwoFollowsTheWeights) {
  World world(Algorithm::p2c, {100, 200, 700});
  for (int i = 0; i < 10'000; ++i) world.open();
  EXPECT_NEAR(static_cast<double>(world.loads_of_all[0]), 1000, 100);
  EXPECT_NEAR(static_cast<double>(world.loads_of_all[1]), 2000, 200);
  EXPECT_NEAR(static_cast<double>(world.loads_of_all[2]), 7000, 300);
}

TEST(Picker, BoundedMaglevLetsNobodyHaveMoreThanItsPart) {
  std::mt19937_64 random(3);
  for (const auto& weights : {std::vector<uint32_t>(20, 100), std::vector<uint32_t>{10, 500, 1000, 3}}) {
    World world(Algorithm::maglev_bounded, weights);
    std::vector<uint16_t> flows;
    uint64_t hash = 0;
    int elsewhere = 0;
    for (int step = 0; step < 20'000; ++step) {
      if (!flows.empty() && random() % 5 < 2) {
        std::swap(flows[random() % flows.size()], flows.back());
        world.end(flows.back());
        flows.pop_back();
        continue;
      }
      if (random() % 4 != 0) hash = random();  // one client in four opens many
      const uint16_t picked = world.open(hash);
      flows.push_back(picked);
      const double part = std::ceil(1.25 * static_cast<double>(world.sum() * weights[picked]) /
                                    static_cast<double>(world.service.weight_sum));
      ASSERT_LE(static_cast<double>(world.loads_of_all[picked]), part) << "step " << step;
      if (picked != world.service.lookup->pick(hash)) ++elsewhere;
    }
    EXPECT_GT(elsewhere, 0);
    EXPECT_LT(elsewhere, 8'000) << "most go where the hash says";
  }
}

TEST(Picker, BoundedMaglevIsMaglevWhileNobodyIsFull) {
  World world(Algorithm::maglev_bounded, std::vector<uint32_t>(10, 100));
  for (uint16_t i = 0; i < 10; ++i) {
    for (int n = 0; n < 100; ++n) world.begin(i);
  }
  std::mt19937_64 random(4);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t hash = random();
    ASSERT_EQ(world.pick(hash), world.service.lookup->pick(hash));
  }
}

TEST(Picker, BoundedMaglevHoldsItsBoundAmongMany) {
  // The sum is made anew every few flows only.
  World world(Algorithm::maglev_bounded, std::vector<uint32_t>(1000, 100));
  std::mt19937_64 random(5);
  for (int i = 0; i < 50'000; ++i) world.open(random());
  EXPECT_LE(*std::max_element(world.loads_of_all.begin(), world.loads_of_all.end()), 63u + 1);  // 1.25 * 50
}

TEST(Picker, NoBackendIsNone) {
  for (const Algorithm algorithm : {Algorithm::rr, Algorithm::wrr, Algorithm::random, Algorithm::lc,
                                    Algorithm::wlc, Algorithm::p2c, Algorithm::maglev_bounded}) {
    World world(algorithm, {});
    EXPECT_EQ(world.pick(), MaglevTable::kNone);
  }
}

TEST(Picker, OneBackendGetsEverything) {
  for (const Algorithm algorithm : {Algorithm::rr, Algorithm::wrr, Algorithm::random, Algorithm::lc,
                                    Algorithm::wlc, Algorithm::p2c, Algorithm::maglev_bounded}) {
    World world(algorithm, {3});
    for (int i = 0; i < 10; ++i) EXPECT_EQ(world.open(), 0);
  }
}

// ---- Several workers ----

struct EstimateCase {
  uint32_t all, own_then, own_now, workers;
  uint64_t expected;
};

TEST(FleetCounts, EstimateWhatHasHappenedSince) {
  const EstimateCase cases[] = {
      {100, 25, 25, 4, 100},  // nothing
      {100, 25, 27, 4, 108},  // two more here, so two more everywhere
      {100, 25, 20, 4, 80},   // fewer
      {10, 9, 2, 4, 2},       // all the rest were elsewhere, and here are 2 for sure
      {0, 0, 5, 4, 20},       // never told
      {7, 7, 9, 1, 9},        // alone
  };
  for (const EstimateCase& c : cases) {
    FleetCounts fleet;
    fleet.set(3, c.all, c.own_then);
    EXPECT_EQ(fleet.estimate(3, c.own_now, c.workers), c.expected) << c.all << " " << c.own_now;
  }
  FleetCounts fleet;
  EXPECT_EQ(fleet.estimate(kMaxBackends, 5, 4), 5u);
}

/// Four workers, long connections, and a backend that comes back with none. New flows are spread by `worker_of`.
template <typename WorkerOf>
void fill_up(const WorkerOf& worker_of) {
  constexpr uint32_t kWorkers = 4;
  World world(Algorithm::lc, std::vector<uint32_t>(5, 100), kWorkers);
  for (uint16_t b = 0; b < 4; ++b) {
    for (uint32_t n = 0; n < 1000; ++n) world.begin(b, n % kWorkers);
  }
  world.share();
  uint64_t most = 0;
  for (uint32_t n = 0; n < 4000; ++n) {
    if (n % 200 == 199) world.share();  // 2,000 flows a second
    world.open(0, worker_of(n));
    most = std::max(most, world.loads_of_all[4] * 5 * 100 / world.sum());
  }
  EXPECT_LE(most, 105u) << "percent of the mean: it must not be sent more than it lacked";
  const auto [low, high] = std::minmax_element(world.loads_of_all.begin(), world.loads_of_all.end());
  EXPECT_LE(*high - *low, 60u) << "of 1,600";
}

TEST(FleetCounts, FillUpABackendThatComesBackAndNotMoreThanThat) {
  fill_up([](uint32_t n) { return n % 4; });
}

TEST(FleetCounts, FillItUpAlsoWhereOneWorkerGetsEverything) {
  fill_up([](uint32_t) { return 0u; });
}

// ---- Through forward_batch ----

test::Bytes tcp(uint16_t source_port, uint8_t flags) {
  return test::FrameBuilder()
      .ethernet()
      .ipv4("192.0.2.1", kVip)
      .tcp(source_port, 443, {.flags = flags})
      .build();
}

struct Forwarder {
  explicit Forwarder(Algorithm algorithm, bool second_down = false) {
    story.service(kVip, kProtoTcp, 443);
    for (int i = 1; i <= 3; ++i) story.backend("10.0.0." + std::to_string(i));
    story.at(1).usable = !second_down;
    TableParts parts = story.parts();
    Service& service = parts.services[0];
    service.algorithm = algorithm;
    if (second_down) {
      service.backend_ids = {0, 2};
      const MaglevBackend left[] = {{address_of(1), 443, 1}, {address_of(3), 443, 1}};
      service.lookup = std::make_shared<const MaglevTable>(MaglevTable::build("s", left, 1, 251));
    }
    service.weights.assign(service.backend_ids.size(), 100);
    service.turns = std::make_shared<const std::vector<uint16_t>>(make_turns(service.weights));
    table = Table::make(std::move(parts));
  }
  Decision send(ForwardState& state, const test::Bytes& bytes) const {
    const test::HeapFrame frame(bytes);
    Packet packet = frame.packet();
    Decision decision;
    forward_batch(*table, state, {&packet, 1}, {&decision, 1}, kNow);
    return decision;
  }
  test::TableStory story;
  std::unique_ptr<const Table> table;
};

std::unique_ptr<ForwardState> new_state() {
  return std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
}

TEST(Algorithms, ApplyToNewFlowsOnly) {
  const Forwarder world(Algorithm::rr);
  const auto state = new_state();
  std::map<uint16_t, uint32_t> placed;
  std::map<uint32_t, int> loads;
  for (uint16_t port = 1000; port < 1030; ++port)
    ++loads[placed[port] = world.send(*state, tcp(port, kTcpSyn)).backend];
  EXPECT_EQ(loads, (std::map<uint32_t, int>{{0, 10}, {1, 10}, {2, 10}}));
  for (const auto& [port, backend] : placed) {
    EXPECT_EQ(world.send(*state, tcp(port, kTcpSyn)).backend, backend) << "a SYN sent again";
    EXPECT_EQ(world.send(*state, tcp(port, kTcpAck)).backend, backend);
  }
  EXPECT_EQ(state->flows.counts().of(0), (FlowCount{10, 10}));
}

TEST(Algorithms, PacketsOutOfNowhereGoByTheLookupArrayWhateverTheAlgorithm) {
  const Forwarder by_turns(Algorithm::rr);
  const Forwarder by_hash(Algorithm::maglev);
  const auto state = new_state();
  const auto other = new_state();
  for (uint16_t port = 1000; port < 1050; ++port)
    ASSERT_EQ(by_turns.send(*state, tcp(port, kTcpAck)).backend,
              by_hash.send(*other, tcp(port, kTcpAck)).backend);
}

TEST(Algorithms, PlaceWhatIsNotRememberedAsItsLaterPacketsWillBe) {
  for (const Algorithm algorithm : {Algorithm::rr, Algorithm::random, Algorithm::lc, Algorithm::p2c}) {
    const Forwarder world(algorithm);
    const auto state = std::make_unique<ForwardState>(
        FlowTableConfig{.capacity = 4096, .timeouts = {}, .max_inserts_per_s = 10});
    int unremembered = 0;
    for (uint16_t port = 1000; port < 1200; ++port) {
      const Decision first = world.send(*state, tcp(port, kTcpSyn));
      unremembered += first.origin == FlowOrigin::unremembered;
      ASSERT_EQ(world.send(*state, tcp(port, kTcpAck)).backend, first.backend) << port;
    }
    EXPECT_GT(unremembered, 100);
  }
}

TEST(Algorithms, PlaceAnewTheFlowsOfABackendThatTakesNoMorePackets) {
  const Forwarder before(Algorithm::lc);
  const Forwarder after(Algorithm::lc, /*second_down=*/true);
  const auto state = new_state();
  for (uint16_t port = 1000; port < 1030; ++port) before.send(*state, tcp(port, kTcpSyn));
  ASSERT_EQ(state->flows.counts().of(1).open, 10u);
  for (uint16_t port = 1000; port < 1030; ++port) after.send(*state, tcp(port, kTcpAck));
  EXPECT_EQ(state->flows.counts().of(0).open, 15u);
  EXPECT_EQ(state->flows.counts().of(1).open, 0u);
  EXPECT_EQ(state->flows.counts().of(2).open, 15u);
}

TEST(Algorithms, DoNotCountAFlowThatClosesAsAConnection) {
  const Forwarder world(Algorithm::lc);
  const auto state = new_state();
  for (uint16_t port = 1000; port < 1003; ++port) world.send(*state, tcp(port, kTcpSyn));
  const uint32_t ended = world.send(*state, tcp(1001, kTcpFin | kTcpAck)).backend;
  EXPECT_EQ(world.send(*state, tcp(2000, kTcpSyn)).backend, ended);
}

TEST(Algorithms, TablesWithoutWhatTheyNeedAreRefused) {
  test::TableStory story;
  story.service(kVip, kProtoTcp, 443);
  story.backend("10.0.0.1");
  const auto with = [&](auto&& change) {
    TableParts parts = story.parts();
    parts.services[0].algorithm = Algorithm::wlc;
    parts.services[0].weights = {100};
    parts.services[0].turns = std::make_shared<const std::vector<uint16_t>>(std::vector<uint16_t>{0});
    change(parts.services[0]);
    return Table::make(std::move(parts));
  };
  EXPECT_NO_THROW(with([](Service&) {}));
  EXPECT_THROW(with([](Service& s) { s.stateless = true; }), std::invalid_argument);
  EXPECT_THROW(with([](Service& s) { s.turns.reset(); }), std::invalid_argument);
  EXPECT_THROW(with([](Service& s) { s.weights.clear(); }), std::invalid_argument);
  EXPECT_THROW(with([](Service& s) { s.weights = {0}; }), std::invalid_argument);
  EXPECT_THROW(with([](Service& s) { s.weights = {1001}; }), std::invalid_argument);
  EXPECT_THROW(with([](Service& s) {
                 s.turns = std::make_shared<const std::vector<uint16_t>>(std::vector<uint16_t>{1});
               }),
               std::invalid_argument);
  EXPECT_THROW(with([](Service& s) { s.turns = std::make_shared<const std::vector<uint16_t>>(); }),
               std::invalid_argument);
}

}  // namespace
}  // namespace xebec
