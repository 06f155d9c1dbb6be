// SPDX-License-Identifier: BSD-2-Clause
// Choosing ports by RSS begins where a driver tells of it, and stops where replies do not come as it foretells.
#include "control/reply_homing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

using State = ReplyHoming::State;
using testing::ElementsAre;
using testing::IsEmpty;

ReceiveHashing toeplitz_over(uint32_t queues, std::size_t key_bytes = 40) {
  ReceiveHashing hashing;
  hashing.functions = 1;
  for (std::size_t i = 0; i < key_bytes; ++i) hashing.key.push_back(static_cast<uint8_t>(i * 37 + 11));
  for (uint32_t i = 0; i < 128; ++i) hashing.indirection.push_back(i % queues);
  return hashing;
}

ReplyHoming::Counts seen(uint64_t home, uint64_t away, HashClass hash_class = HashClass::udp4) {
  ReplyHoming::Counts counts{};
  counts[static_cast<std::size_t>(hash_class)] = {home, away};
  return counts;
}

struct Told {
  const char* what;
  std::optional<ReceiveHashing> hashing;
  uint32_t queues;
  State ipv4, ipv6;
};

TEST(ReplyHoming, ChoosesByRssOnlyWhereItIsToldAndMatters) {
  ReceiveHashing xored = toeplitz_over(4), no_table = toeplitz_over(4);
  xored.functions = 2;
  no_table.indirection.clear();
  const Told cases[] = {
      {"nothing is told, as on veth", std::nullopt, 4, State::unknown, State::unknown},
      {"one queue", toeplitz_over(1), 1, State::unknown, State::unknown},
      {"another function", xored, 4, State::unknown, State::unknown},
      {"no table", no_table, 4, State::unknown, State::unknown},
      {"a key for IPv4 only", toeplitz_over(4, 16), 4, State::by_rss, State::unknown},
      {"a key too short", toeplitz_over(4, 15), 4, State::unknown, State::unknown},
      {"Toeplitz over four queues", toeplitz_over(4), 4, State::by_rss, State::by_rss},
  };
  for (const Told& c : cases) {
    ReplyHoming homing;
    homing.set(c.hashing, c.queues, {});
    EXPECT_EQ(homing.state(HashClass::tcp4), c.ipv4) << c.what;
    EXPECT_EQ(homing.state(HashClass::udp6), c.ipv6) << c.what;
    EXPECT_EQ(homing.queues() != nullptr, c.ipv4 == State::by_rss) << c.what;
  }
}

TEST(ReplyHoming, StopsOnlyTheClassOfWhichFewerThanThreeInFourComeHome) {
  ReplyHoming homing;
  ASSERT_TRUE(homing.set(toeplitz_over(2), 2, {}));
  EXPECT_THAT(homing.observe(seen(31, 32)), IsEmpty()) << "too few to judge by";
  EXPECT_THAT(homing.observe(seen(31, 33)), ElementsAre(HashClass::udp4));
  EXPECT_EQ(homing.state(HashClass::udp4), State::stopped);
  EXPECT_EQ(homing.state(HashClass::tcp4), State::by_rss);
  ASSERT_NE(homing.queues(), nullptr);
  EXPECT_EQ(homing.queues()->classes(), kAllHashClasses & ~bit_of(HashClass::udp4));
  EXPECT_THAT(homing.observe(seen(31, 333)), IsEmpty()) << "said twice";
}

TEST(ReplyHoming, GoesOnAtThreeInFourAndJudgesEveryWindowByItself) {
  ReplyHoming homing;
  homing.set(toeplitz_over(2), 2, {});
  EXPECT_THAT(homing.observe(seen(4800, 1600)), IsEmpty());
  EXPECT_THAT(homing.observe(seen(4800 + 47, 1600 + 17)), ElementsAre(HashClass::udp4));
}

TEST(ReplyHoming, StopsAltogetherWhenAllClassesHave) {
  ReplyHoming homing;
  homing.set(toeplitz_over(2), 2, {});
  ReplyHoming::Counts counts{};
  for (auto& c : counts) c = {10, 90};
  EXPECT_EQ(homing.observe(counts).size(), kHashClasses);
  EXPECT_EQ(homing.queues(), nullptr);
  EXPECT_EQ(summary_of(homing), "any");
}

TEST(ReplyHoming, BeginsAnewWhenTheDriverTellsSomethingElse) {
  ReplyHoming homing;
  homing.set(toeplitz_over(2), 2, {});
  homing.observe(seen(0, 64));
  EXPECT_EQ(summary_of(homing), "by RSS, but not udp4");
  EXPECT_FALSE(homing.set(toeplitz_over(2), 2, seen(0, 64))) << "the same";
  EXPECT_EQ(homing.state(HashClass::udp4), State::stopped);
  EXPECT_TRUE(homing.set(toeplitz_over(4), 4, seen(0, 70)));
  EXPECT_EQ(summary_of(homing), "by RSS");
  EXPECT_THAT(homing.observe(seen(64, 70)), IsEmpty()) << "those of before do not count";
  EXPECT_TRUE(homing.set(std::nullopt, 4, {}));
  EXPECT_EQ(homing.queues(), nullptr);
}

TEST(ReplyHoming, TellsTheDoctorWhatToDo) {
  ReplyHoming homing;
  EXPECT_THAT(findings_of("eth0", homing, {}), IsEmpty());
  homing.set(toeplitz_over(2), 2, {});
  EXPECT_THAT(findings_of("eth0", homing, {}), IsEmpty()) << "nothing has been seen";
  ReplyHoming::Counts counts = seen(10, 54);
  counts[0] = {100, 1};
  homing.observe(counts);
  const auto findings = findings_of("eth0", homing, counts);
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[0].level, Finding::Level::ok);
  EXPECT_THAT(findings[0].text, testing::HasSubstr("of 101 first replies of mode nat (tcp4) 100 came"));
  EXPECT_EQ(findings[1].level, Finding::Level::warn);
  EXPECT_THAT(findings[1].mend, testing::HasSubstr("ethtool -N eth0 rx-flow-hash udp4 sdfn"));
}

}  // namespace
}  // namespace xebec
