// SPDX-License-Identifier: BSD-2-Clause
// Maglev arrays: equal to the slow obvious construction, balanced by weight, and steady when backends change.
#include "dataplane/maglev.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/flow_key.h"
#include "dataplane/limits.h"

namespace xebec {
namespace {

constexpr uint64_t kSeed = 0x5eed;

MaglevBackend backend(uint32_t number, uint32_t weight = 1) {
  MaglevBackend b;
  b.address = IpAddress::from_v4(Be32::from_host(0x0a000000u + number));
  b.port = 8080;
  b.weight = weight;
  return b;
}

std::vector<MaglevBackend> backends(uint32_t count) {
  std::vector<MaglevBackend> list;
  for (uint32_t i = 0; i < count; ++i) list.push_back(backend(i));
  return list;
}

MaglevTable build(const std::vector<MaglevBackend>& list, uint32_t size = kDefaultLookupSize,
                  uint64_t seed = kSeed) {
  return MaglevTable::build("web", list, seed, size);
}

std::vector<uint32_t> slots_per_backend(const MaglevTable& table, std::size_t count) {
  std::vector<uint32_t> slots(count);
  for (uint16_t index : table.slots()) ++slots.at(index);
  return slots;
}

/// Share of the slots not `before`'s `changed` backend that have another owner in `after`, by address.
double moved_share(const std::vector<MaglevBackend>& before, const std::vector<MaglevBackend>& after,
                   const IpAddress& changed, uint64_t seed = kSeed) {
  const MaglevTable a = build(before, kDefaultLookupSize, seed);
  const MaglevTable b = build(after, kDefaultLookupSize, seed);
  uint32_t moved = 0;
  uint32_t others = 0;
  for (std::size_t i = 0; i < a.slots().size(); ++i) {
    const IpAddress& from = before.at(a.slots()[i]).address;
    const IpAddress& to = after.at(b.slots()[i]).address;
    if (from == changed || to == changed) continue;
    ++others;
    moved += from != to ? 1 : 0;
  }
  return static_cast<double>(moved) / others;
}

// The paper's figure 8 with the header's turns, nothing clever: whole permutations, and for every turn a look
// at every backend for the one whose time has come.
struct Reference {
  std::vector<MaglevBackend> list;
  std::vector<std::vector<uint32_t>> permutations;
  std::vector<uint64_t> turns;

  static uint64_t hash(const MaglevBackend& b, uint32_t size, uint64_t seed) {
    std::string bytes(reinterpret_cast<const char*>(b.address.bytes.data()), 16);
    bytes += static_cast<char>(b.port & 0xff);
    bytes += static_cast<char>(b.port >> 8);
    for (uint32_t shift = 0; shift < 32; shift += 8) bytes += static_cast<char>((size >> shift) & 0xff);
    bytes += "web";
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
  }

  /// True if a's next turn comes before b's: earlier, then heavier, then by address and port.
  bool before(std::size_t a, std::size_t b) const {
    const auto twice = [&](std::size_t i) { return turns[i] == 0 ? 0 : 2 * turns[i] + 1; };
    const uint64_t left = twice(a) * list[b].weight;
    const uint64_t right = twice(b) * list[a].weight;
    if (left != right) return left < right;
    if (list[a].weight != list[b].weight) return list[a].weight > list[b].weight;
    return std::pair(list[a].address, list[a].port) < std::pair(list[b].address, list[b].port);
  }

  std::vector<uint16_t> build(uint32_t size) {
    turns.assign(list.size(), 0);
    for (const MaglevBackend& b : list) {
      const uint64_t offset = hash(b, size, kSeed) % size;
      const uint64_t skip = hash(b, size, ~kSeed) % (size - 1) + 1;
      std::vector<uint32_t> permutation;
      for (uint64_t j = 0; j < size; ++j)
        permutation.push_back(static_cast<uint32_t>((offset + j * skip) % size));
      permutations.push_back(permutation);
    }
    std::vector<uint16_t> slots(size, MaglevTable::kNone);
    for (uint32_t filled = 0; filled < size; ++filled) {
      std::size_t next = list.size();
      for (std::size_t i = 0; i < list.size(); ++i) {
        if (list[i].weight != 0 && (next == list.size() || before(i, next))) next = i;
      }
      const auto& permutation = permutations[next];
      const auto slot = std::find_if(permutation.begin(), permutation.end(),
                                     [&](uint32_t s) { return slots[s] == MaglevTable::kNone; });
      slots[*slot] = static_cast<uint16_t>(next);
      ++turns[next];
    }
    return slots;
  }
};

TEST(Maglev, EqualsTheSlowReferenceSlotBySlot) {
  std::mt19937_64 random(1);
  for (uint32_t size : {2u, 3u, 5u, 7u, 13u, 101u, 251u, 509u, 1021u}) {
    for (uint32_t count : {1u, 2u, 3u, 10u, 40u}) {
      if (count > size) continue;
      for (uint32_t max_weight : {1u, 3u, 1000u}) {
        std::vector<MaglevBackend> list;
        for (uint32_t i = 0; i < count; ++i) {
          list.push_back(
              backend(i, max_weight == 1 ? 1 : static_cast<uint32_t>(random() % (max_weight + 1))));
        }
        list[0].weight = max_weight;
        std::shuffle(list.begin(), list.end(), random);
        const MaglevTable table = build(list, size);
        const std::vector<uint16_t> expected = Reference{list, {}, {}}.build(size);
        ASSERT_EQ(std::vector<uint16_t>(table.slots().begin(), table.slots().end()), expected)
            << "size " << size << ", " << count << " backends, weights up to " << max_weight;
      }
    }
  }
}

TEST(Maglev, FillsEverySlotWithABackendThatHasWeight) {
  for (uint32_t count : {1u, 2u, 10u, 1000u, kMaxBackendsPerService}) {
    std::vector<MaglevBackend> list = backends(count);
    list.back().weight = count > 1 ? 0 : 1;
    const MaglevTable table = build(list);
    ASSERT_EQ(table.slots().size(), kDefaultLookupSize);
    for (uint16_t index : table.slots()) ASSERT_GT(list.at(index).weight, 0u);
  }
}

TEST(Maglev, SharesSlotsEquallyAmongEqualBackends) {
  for (uint32_t count : {2u, 10u, 100u, 400u, 1000u}) {
    const auto slots = slots_per_backend(build(backends(count)), count);
    const auto [least, most] = std::minmax_element(slots.begin(), slots.end());
    EXPECT_LE(*most - *least, 1u) << count << " backends";
  }
}

TEST(Maglev, SharesFollowWeights) {
  const std::vector<std::vector<uint32_t>> rows = {
      {1, 2},      {1, 1000},          {1, 2, 3, 4, 5},       {500, 1000},
      {999, 1000}, {1, 10, 100, 1000}, {1000, 1000, 1, 1, 1}, {7, 7, 7, 3},
  };
  for (const auto& weights : rows) {
    std::vector<MaglevBackend> list;
    uint64_t total = 0;
    for (uint32_t weight : weights) {
      list.push_back(backend(static_cast<uint32_t>(list.size()), weight));
      total += weight;
    }
    const auto slots = slots_per_backend(build(list), list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      const double share = static_cast<double>(kDefaultLookupSize) * weights[i] / static_cast<double>(total);
      EXPECT_NEAR(slots[i], share, 0.01 * share + 1) << "weight " << weights[i] << " of " << total;
    }
  }
}

TEST(Maglev, SharesFollowRandomWeightsOfAHundredBackends) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 5; ++round) {
    std::vector<MaglevBackend> list;
    uint64_t total = 0;
    for (uint32_t i = 0; i < 100; ++i) {
      list.push_back(backend(i, static_cast<uint32_t>(random() % kMaxWeight) + 1));
      total += list.back().weight;
    }
    const auto slots = slots_per_backend(build(list), list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      const double share =
          static_cast<double>(kDefaultLookupSize) * list[i].weight / static_cast<double>(total);
      EXPECT_NEAR(slots[i], share, 0.01 * share + 1) << "weight " << list[i].weight;
    }
  }
}

TEST(Maglev, GivesEveryBackendWithWeightASlotHoweverSmallItsShare) {
  std::vector<MaglevBackend> list;
  for (uint32_t i = 0; i < 97; ++i) list.push_back(backend(i, i % 2 == 0 ? 1 : kMaxWeight));
  const MaglevTable table = build(list, 97);  // as many slots as backends
  for (uint32_t slots : slots_per_backend(table, list.size())) EXPECT_EQ(slots, 1u);
  EXPECT_EQ(build(std::vector{backend(0, 1), backend(1, 1000)}, 3).slots().size(), 3u);
}

TEST(Maglev, RemovingOneBackendMovesFewOfTheOthersSlots) {
  struct Row {
    uint32_t count;
    double average;  // the product's promise
    double worst;    // of any one removal; plain chance spreads it most where backends are few
  };
  for (const Row& row : {Row{10, 0.0030, 0.0070}, Row{100, 0.0065, 0.0075}, Row{400, 0.0105, 0.0115}}) {
    double sum = 0;
    int removals = 0;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      for (uint32_t gone = 0; gone < row.count; gone += row.count / 5) {
        const auto before = backends(row.count);
        auto after = before;
        after.erase(after.begin() + gone);
        const double moved = moved_share(before, after, before[gone].address, seed);
        EXPECT_LE(moved, row.worst) << "of " << row.count << ", backend " << gone << ", seed " << seed;
        sum += moved;
        ++removals;
      }
    }
    EXPECT_LE(sum / removals, row.average) << "of " << row.count;
    RecordProperty("moved_ppm_of_" + std::to_string(row.count), static_cast<int>(1e6 * sum / removals));
  }
}

TEST(Maglev, AddingOneBackendTakesItsShareAndMovesLittleElse) {
  for (uint32_t count : {10u, 100u}) {
    const auto before = backends(count);
    auto after = before;
    after.push_back(backend(count));
    EXPECT_LE(moved_share(before, after, after.back().address), 0.008) << count;
    const auto slots = slots_per_backend(build(after), after.size());
    EXPECT_NEAR(slots.back(), kDefaultLookupSize / (count + 1.0), 1.0);
  }
}

TEST(Maglev, AWeightChangeMovesLittleAmongTheOthers) {
  for (uint32_t weight : {0u, 1u, 50u, 99u, 101u, 200u, 1000u}) {
    auto before = backends(100);
    for (auto& b : before) b.weight = 100;
    auto after = before;
    after[42].weight = weight;
    EXPECT_LE(moved_share(before, after, before[42].address), 0.008 + 0.0008 * (weight / 100.0))
        << "to " << weight;
  }
}

TEST(Maglev, ScalingAllWeightsChangesNothing) {
  std::vector<MaglevBackend> small = {backend(1, 1), backend(2, 2), backend(3, 5)};
  std::vector<MaglevBackend> large = small;
  for (auto& b : large) b.weight *= 200;
  EXPECT_EQ(build(small).digest(), build(large).digest());
}

TEST(Maglev, TheOrderOfTheListChangesOnlyTheIndices) {
  std::mt19937_64 random(3);
  std::vector<MaglevBackend> list;
  for (uint32_t i = 0; i < 50; ++i) list.push_back(backend(i, static_cast<uint32_t>(random() % 10)));
  const MaglevTable table = build(list);
  for (int round = 0; round < 5; ++round) {
    auto shuffled = list;
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    const MaglevTable other = build(shuffled);
    EXPECT_EQ(other.digest(), table.digest());
    for (std::size_t i = 0; i < table.slots().size(); ++i) {
      ASSERT_EQ(shuffled[other.slots()[i]].address, list[table.slots()[i]].address);
    }
  }
}

TEST(Maglev, TheDigestTellsEveryInputApart) {
  const auto list = backends(10);
  const uint64_t digest = build(list).digest();
  EXPECT_NE(digest, 0u);
  EXPECT_EQ(digest, build(list).digest());
  auto other_port = list;
  other_port[3].port = 8081;
  auto other_address = list;
  other_address[3] = backend(77);
  auto other_weight = list;
  other_weight[3].weight = 2;
  EXPECT_NE(digest, build(other_port).digest());
  EXPECT_NE(digest, build(other_address).digest());
  EXPECT_NE(digest, build(other_weight).digest());
  EXPECT_NE(digest, build(list, kDefaultLookupSize, kSeed + 1).digest());
  EXPECT_NE(digest, build(list, 65539).digest());
  EXPECT_NE(digest, MaglevTable::build("mail", list, kSeed, kDefaultLookupSize).digest());
}

// Nodes of different releases must agree, so what is computed may not drift unnoticed.
TEST(Maglev, KeepsItsArrayFromReleaseToRelease) {
  EXPECT_EQ(build(backends(10)).digest(), 18201467426787410956u);
}

TEST(Maglev, IsEmptyWhereNoBackendHasWeight) {
  for (const auto& list : {std::vector<MaglevBackend>{}, std::vector{backend(1, 0), backend(2, 0)}}) {
    const MaglevTable table = build(list);
    EXPECT_TRUE(table.empty());
    EXPECT_EQ(table.digest(), 0u);
    EXPECT_EQ(table.pick(12345), MaglevTable::kNone);
  }
  EXPECT_EQ(MaglevTable().pick(0), MaglevTable::kNone);
}

TEST(Maglev, PicksFromTheFirstSlotToTheLast) {
  const MaglevTable table = build(backends(10));
  EXPECT_EQ(table.pick(0), table.slots().front());
  EXPECT_EQ(table.pick(UINT64_MAX), table.slots().back());
  EXPECT_EQ(table.slot_of(0), table.slots().data());
  EXPECT_EQ(table.slot_of(UINT64_MAX), table.slots().data() + table.slots().size() - 1);
}

TEST(Maglev, RejectsWhatItCannotBuild) {
  struct Row {
    std::vector<MaglevBackend> list;
    uint32_t size;
    std::string says;
  };
  const Row rows[] = {
      {backends(3), 0, "0 is not prime"},
      {backends(3), 1, "1 is not prime"},
      {backends(3), 65536, "65536 is not prime"},
      {backends(4), 3, "lookup size 3 for 4 backends"},
      {backends(kMaxBackendsPerService + 1), kDefaultLookupSize,
       "4097 backends in one service, at most 4096"},
      {{backend(1), backend(2), backend(1)}, 7, "10.0.0.1 port 8080 is there twice"},
      {{backend(1, kMaxWeight + 1)}, 7, "weight 1001 of backend 10.0.0.1, at most 1000"},
  };
  for (const Row& row : rows) {
    try {
      build(row.list, row.size);
      ADD_FAILURE() << "accepted: " << row.says;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(row.says), std::string::npos) << error.what();
    }
  }
}

TEST(Maglev, ABackendWithoutWeightNeedsNoSlot) {
  EXPECT_EQ(build({backend(1), backend(2), backend(3), backend(4, 0)}, 3).slots().size(), 3u);
}

TEST(IsPrime, AgreesWithASieve) {
  constexpr uint32_t kLimit = 20000;
  std::vector<bool> composite(kLimit);
  for (uint32_t i = 2; i < kLimit; ++i) {
    EXPECT_EQ(is_prime(i), !composite[i]) << i;
    for (uint32_t j = 2 * i; j < kLimit; j += i) composite[j] = true;
  }
  EXPECT_FALSE(is_prime(0));
  EXPECT_FALSE(is_prime(1));
  EXPECT_TRUE(is_prime(65537));
  EXPECT_FALSE(is_prime(65521u * 65521u));  // the largest divisor that has to be tried
  EXPECT_TRUE(is_prime(4294967291u));
  EXPECT_FALSE(is_prime(UINT32_MAX));
}

}  // namespace
}  // namespace xebec
