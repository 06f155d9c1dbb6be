// SPDX-License-Identifier: BSD-2-Clause
// The event_log: numbers without gaps, whoever reads slowly is told what he missed.
#include "control/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

using namespace std::chrono_literals;
using Time = std::chrono::system_clock::time_point;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<uint64_t> numbers(const EventLog::Excerpt& excerpt) {
  std::vector<uint64_t> all;
  for (const Event* event : excerpt.events) all.push_back(event->sequence);
  return all;
}
std::vector<std::string> texts(const EventLog& event_log) {
  std::vector<std::string> all;
  for (const Event* event : event_log.behind(0, 100).events) all.push_back(event->text);
  return all;
}

TEST(EventLog, GivesWhatCameBehindANumber) {
  EventLog event_log;
  EXPECT_THAT(numbers(event_log.behind(0, 10)), IsEmpty());
  for (int i = 0; i < 5; ++i) event_log.add("health", "x", {}, Time(1s));
  EXPECT_THAT(numbers(event_log.behind(0, 10)), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(numbers(event_log.behind(3, 10)), ElementsAre(4, 5));
  EXPECT_THAT(numbers(event_log.behind(5, 10)), IsEmpty());
  EXPECT_EQ(event_log.behind(5, 10).next, 5u);
  EXPECT_THAT(numbers(event_log.behind(1, 2)), ElementsAre(2, 3));
  EXPECT_EQ(event_log.behind(1, 2).next, 3u);
}

TEST(EventLog, TellsHowManyAReaderMissed) {
  EventLog event_log;
  for (std::size_t i = 0; i < EventLog::kEvents + 10; ++i) event_log.add("health", "x", {}, Time(1s));
  const auto late = event_log.behind(4, 3);
  EXPECT_EQ(late.missed, 6u);
  EXPECT_THAT(numbers(late), ElementsAre(11, 12, 13));
  EXPECT_EQ(event_log.behind(10, 3).missed, 0u);
}

TEST(EventLog, TakesANumberItNeverGaveForAnotherDaemons) {
  EventLog event_log;
  event_log.add("health", "x", {}, Time(1s));
  EXPECT_THAT(numbers(event_log.behind(1000, 10)), ElementsAre(1));
}

TEST(EventLog, GivesOnlyTheTypesAskedForAndGoesOnBehindTheOthers) {
  EventLog event_log;
  for (const char* type : {"health", "config", "link", "config", "link"})
    event_log.add(type, "x", {}, Time(1s));
  const std::vector<std::string> types{"config"};
  const auto excerpt = event_log.behind(0, 10, types);
  EXPECT_THAT(numbers(excerpt), ElementsAre(2, 4));
  EXPECT_EQ(excerpt.next, 5u);
}

TEST(EventLog, FindsWhereATimeBegins) {
  EventLog event_log;
  EXPECT_EQ(event_log.last_before(Time(1s)), 0u);
  for (int i = 1; i <= 5; ++i) event_log.add("health", "x", {}, Time(i * 10s));
  EXPECT_EQ(event_log.last_before(Time(5s)), 0u);
  EXPECT_EQ(event_log.last_before(Time(30s)), 2u);
  EXPECT_EQ(event_log.last_before(Time(99s)), 5u);
}

TEST(ProblemWatch, TellsOfEachProblemOnceWhenItComesAndOnceWhenItGoes) {
  EventLog event_log;
  ProblemWatch watch;
  watch.look({"b", "a"}, event_log, Time(1s));
  watch.look({"a", "b"}, event_log, Time(2s));
  watch.look({"b", "c", "b"}, event_log, Time(3s));
  watch.look({}, event_log, Time(4s));
  EXPECT_THAT(texts(event_log), ElementsAre("a", "b", "over: a", "c", "over: b", "over: c"));
}

}  // namespace
}  // namespace xebec
