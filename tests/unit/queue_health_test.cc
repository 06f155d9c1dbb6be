// SPDX-License-Identifier: BSD-2-Clause
// Queues that came and went while they were served, and links that a driver resets.
#include "control/queue_health.h"

#include <array>
#include <functional>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/carrier_wait.h"

namespace xebec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string problem(uint32_t served, uint32_t at_start, uint32_t now,
                    std::optional<uint32_t> hashed = std::nullopt) {
  return queue_count_problem("eth0", {served, at_start, now, hashed});
}

TEST(QueueCount, IsNoProblemWhileItIsAsAtStart) {
  EXPECT_EQ(problem(4, 4, 4), "");
  EXPECT_EQ(problem(2, 4, 4), "");  // configured so, and said at start
}

TEST(QueueCount, IsAProblemWhereAQueueIsNewAndUnserved) {
  EXPECT_THAT(problem(2, 2, 4), HasSubstr("interface eth0: it has 4 receive queues now, 2 are served"));
  EXPECT_THAT(problem(2, 4, 8), HasSubstr("8 receive queues now"));
}

TEST(QueueCount, IsNoProblemWhereHashingDoesNotReachTheNewQueues) {
  EXPECT_EQ(problem(2, 2, 4, 2), "");
  EXPECT_NE(problem(2, 2, 4, 4), "");
}

TEST(QueueCount, IsAProblemWhereAServedQueueIsGone) {
  EXPECT_THAT(problem(4, 4, 1), HasSubstr("1 receive queues are left, 4 are served"));
  EXPECT_EQ(problem(2, 4, 2), "");  // those that nobody served
}

TEST(QueueCount, LeavesAnInterfaceThatIsGoneToOthers) {
  EXPECT_EQ(problem(4, 4, 0), "");
}

const HeldSocket kIce{"eth0", "ice", true, true, true};
const HeldSocket kVeth{"eth1", "veth", false, false, true};

TEST(HeldSockets, MayBeClosedWhereNoDriverIsToKeepThem) {
  EXPECT_EQ(why_sockets_stay({}), "");
  EXPECT_EQ(why_sockets_stay(std::array{kVeth, kVeth}), "");
}

TEST(HeldSockets, AllStayForTheOneThatItsDriverIsToKeep) {
  for (const auto& sockets : {std::array{kIce, kVeth}, std::array{kVeth, kIce}}) {
    const std::string why = why_sockets_stay(sockets);
    EXPECT_THAT(why, HasSubstr("zero-copy socket on eth0"));
    EXPECT_THAT(why, HasSubstr("driver ice"));
    EXPECT_THAT(why, HasSubstr("restart xebecd"));
  }
}

TEST(HeldSockets, MayBeClosedInCopyModeOrOnceTheirInterfaceIsGone) {
  HeldSocket copy = kIce, gone = kIce;
  copy.zerocopy = false;
  gone.bound = false;
  EXPECT_EQ(why_sockets_stay(std::array{copy, kVeth}), "");
  EXPECT_EQ(why_sockets_stay(std::array{gone, kVeth}), "");
}

TEST(TransmitReasons, NameQueuesOnlyWhereTheyDiffer) {
  EXPECT_EQ(transmit_reasons({}), "");
  EXPECT_EQ(transmit_reasons({{0, "zero-copy"}, {1, "zero-copy"}}), "zero-copy");
  EXPECT_EQ(transmit_reasons({{0, "zero-copy"}, {1, "no zero-copy"}, {2, "zero-copy"}}),
            "zero-copy (queues 0, 2); no zero-copy (queue 1)");
}

/// Links that come back after so many looks.
class Links {
 public:
  std::map<std::string, int> looks_left;
  bool operator()(const std::string& name) { return looks_left[name]-- <= 0; }
};

TEST(CarrierWait, DoesNotWaitWhereNothingWasLost) {
  int pauses = 0;
  const auto answer = wait_for_carrier(
      {"eth0"}, [](const std::string&) { return true; }, [&] { return ++pauses < 9; });
  EXPECT_THAT(answer.lost, IsEmpty());
  EXPECT_EQ(pauses, 0);
}

TEST(CarrierWait, WaitsForTheLastLinkAndNotLonger) {
  Links links{{{"eth0", 0}, {"eth1", 2}, {"eth2", 4}}};
  int pauses = 0;
  const auto answer =
      wait_for_carrier({"eth0", "eth1", "eth2"}, std::ref(links), [&] { return ++pauses < 99; });
  EXPECT_THAT(answer.lost, ElementsAre("eth1", "eth2"));
  EXPECT_THAT(answer.missing, IsEmpty());
  EXPECT_EQ(pauses, 4);
}

TEST(CarrierWait, GivesUpWhenTimeIsUpAndNamesWhatIsMissing) {
  int pauses = 0;
  const auto answer = wait_for_carrier(
      {"eth0"}, [](const std::string&) { return false; }, [&] { return ++pauses < 5; });
  EXPECT_THAT(answer.missing, ElementsAre("eth0"));
  EXPECT_EQ(pauses, 5);
}

TEST(CarrierWait, HasPausesThatEnd) {
  const auto pause = pauses_for(std::chrono::milliseconds(0));
  EXPECT_FALSE(pause());
}

}  // namespace
}  // namespace xebec
