// SPDX-License-Identifier: BSD-2-Clause
// Where later fragments go.
#include "dataplane/fragment_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

namespace xebec {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

FragmentKey key_of(uint32_t id) {
  FragmentKey key;
  key.source = *IpAddress::parse("192.0.2.1");
  key.destination = *IpAddress::parse("203.0.113.10");
  key.id = id;
  key.protocol = kProtoUdp;
  return key;
}

class FragmentTableTest : public testing::Test {
 protected:
  std::optional<uint32_t> find(const FragmentKey& key, uint64_t hash, uint64_t now_ns) const {
    const auto there = table->find(key, hash, now_ns);
    return there ? std::optional(there->backend_id) : std::nullopt;
  }
  std::unique_ptr<FragmentTable> table = std::make_unique<FragmentTable>();
};

TEST_F(FragmentTableTest, FindsWhatItRememberedAndNothingElse) {
  table->remember(key_of(1), 77, 5, kSecond);
  EXPECT_EQ(find(key_of(1), 77, kSecond), 5u);
  EXPECT_FALSE(find(key_of(2), 77, kSecond));
  FragmentKey other = key_of(1);
  other.protocol = kProtoTcp;
  EXPECT_FALSE(find(other, 77, kSecond));
}

TEST_F(FragmentTableTest, ForgetsAfterItsLifetime) {
  table->remember(key_of(1), 77, 5, kSecond);
  EXPECT_TRUE(find(key_of(1), 77, kSecond + FragmentTable::kLifetimeNs));
  EXPECT_FALSE(find(key_of(1), 77, kSecond + FragmentTable::kLifetimeNs + 1));
}

TEST_F(FragmentTableTest, TakesTheNewestDecisionForAnIdUsedAnew) {
  table->remember(key_of(1), 77, 5, kSecond);
  table->remember(key_of(1), 77, 6, 2 * kSecond);
  EXPECT_EQ(find(key_of(1), 77, 2 * kSecond), 6u);
  // One place, not two: three more ids still fit beside it.
  for (uint32_t id = 2; id < 2 + FragmentTable::kWays - 1; ++id)
    table->remember(key_of(id), 77, id, 3 * kSecond);
  EXPECT_EQ(find(key_of(1), 77, 3 * kSecond), 6u);
}

TEST_F(FragmentTableTest, LetsTheOldestOfAFullSetGiveWay) {
  for (uint32_t id = 0; id <= FragmentTable::kWays; ++id)
    table->remember(key_of(id), 77, id, (id + 1) * kSecond);
  EXPECT_FALSE(find(key_of(0), 77, 6 * kSecond));
  for (uint32_t id = 1; id <= FragmentTable::kWays; ++id) EXPECT_EQ(find(key_of(id), 77, 6 * kSecond), id);
}

TEST_F(FragmentTableTest, WorksFromTheFirstNanosecondOn) {
  table->remember(key_of(1), 77, 5, 0);
  EXPECT_EQ(find(key_of(1), 77, 0), 5u);
}

TEST_F(FragmentTableTest, TakesAnEntryFromAMomentAheadOfTheReadersClock) {
  table->remember(key_of(1), 77, 5, kSecond + 1);
  EXPECT_EQ(find(key_of(1), 77, kSecond), 5u);
}

TEST_F(FragmentTableTest, CountsWhatItRemembers) {
  EXPECT_EQ(table->remembered(), 0u);
  for (int i = 0; i < 2; ++i) table->remember(key_of(1), 77, 5, kSecond);
  EXPECT_EQ(table->remembered(), 2u);
}

TEST_F(FragmentTableTest, TheNewestOfAllTablesCounts) {
  const auto second = std::make_shared<FragmentTable>();
  const auto third = std::make_shared<FragmentTable>();
  const std::vector<SharedFragmentTable> others = {second, third};
  const auto newest = [&](uint64_t now_ns) { return find_newest(*table, others, key_of(1), 77, now_ns); };
  EXPECT_FALSE(newest(kSecond));
  third->remember(key_of(1), 77, 3, kSecond);
  EXPECT_EQ(newest(kSecond), 3u);
  table->remember(key_of(1), 77, 1, 3 * kSecond);
  EXPECT_EQ(newest(3 * kSecond), 1u) << "its own is newer";
  second->remember(key_of(1), 77, 2, 4 * kSecond);
  EXPECT_EQ(newest(4 * kSecond), 2u) << "the id came round again, at another worker";
  EXPECT_FALSE(newest(4 * kSecond + FragmentTable::kLifetimeNs + 1));
}

}  // namespace
}  // namespace xebec
