// SPDX-License-Identifier: BSD-2-Clause
// Frames of `xebec top`, as they stand on the screen.
#include "control/top_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/cli_rates.h"

namespace xebec {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

CliJson backend(const char* address, uint64_t packets, bool usable, const char* why) {
  return {{"service", "web"},   {"address", address},
          {"admin", "ready"},   {"health", {{"state", usable ? "up" : "down"}}},
          {"usable", usable},   {"share", usable ? 0.5 : 0.0},
          {"packets", packets}, {"bytes", packets * 100},
          {"new_flows", 0},     {"why", why}};
}

CliJson sample(uint64_t n) {
  const auto service = [&](const char* name, uint64_t packets, int usable) {
    return CliJson{{"name", name},
                   {"vip", "203.0.113.10"},
                   {"port", 443},
                   {"protocol", "tcp"},
                   {"mode", "dsr-l2"},
                   {"packets", packets},
                   {"bytes", packets * 100},
                   {"new_flows", packets / 10},
                   {"backends", {{"usable", usable}, {"total", 2}}}};
  };
  return {
      {"status",
       {{"instance", "lb1"},
        {"version", "0.1.0"},
        {"uptime_seconds", 61},
        {"generation", 7},
        {"healthy", n < 5},
        {"problems", n < 5 ? CliJson::array() : CliJson::array({"eth0: no carrier"})},
        {"packets",
         {{"received", 1000 * n},
          {"received_bytes", 100'000 * n},
          {"forwarded", 900 * n},
          {"replied", 0u},
          {"dropped", 100 * n},
          {"drops", {{"no_service", 90 * n}, {"martian", 10 * n}}}}}}},
      {"services", {service("api", 100 * n, 2), service("web", 800 * n, 1), service("dns", 0, 2)}},
      {"backends", {backend("10.0.0.1", 800 * n, true, ""), backend("10.0.0.2", 0, false, "down: refused")}},
      {"workers",
       {{{"worker", 0},
         {"cpu", 1},
         {"packets", {{"received", 1000 * n}, {"forwarded", 900 * n}, {"dropped", 100 * n}}},
         {"flows", {{"used", 12}}},
         {"loop", {{"rounds", 5 * n}, {"sleeps", n}}}}}}};
}

std::vector<std::string> frame(TopState& state, uint64_t n = 2, std::size_t width = 90,
                               std::size_t height = 0) {
  std::vector<std::string> lines;
  for (const TopLine& line :
       top_frame(sample(n), rates_between(sample(n - 1), sample(n), 1), state, width, height))
    lines.push_back(line.text);
  return lines;
}

TEST(TopFrame, ShowsServicesBySpeed) {
  TopState state;
  EXPECT_THAT(frame(state),
              ElementsAre("healthy  lb1: xebecd 0.1.0, up 1m 1s, generation 7",
                          "a second: 1000 received (800k bit), 900 forwarded, 0 replied, 100 dropped",
                          "SERVICE  ADDRESS               MODE     UP  PKT/S*  BIT/S  NEW/S",
                          "web      203.0.113.10:443/tcp  dsr-l2  1/2     800   640k     80",
                          "api      203.0.113.10:443/tcp  dsr-l2  2/2     100  80000     10",
                          "dns      203.0.113.10:443/tcp  dsr-l2  2/2       0      0      0"));
}

TEST(TopFrame, SortsByAnyColumnEitherWay) {
  TopState state;
  state.sort[0] = 0;
  state.ascending[0] = true;
  const auto lines = frame(state);
  EXPECT_THAT(lines[2], HasSubstr("SERVICE^"));
  EXPECT_THAT(lines[3], HasSubstr("api"));
  EXPECT_THAT(lines[5], HasSubstr("web"));
}

TEST(TopFrame, ShowsBackendsWithWhyOneIsNotUsable) {
  TopState state;
  state.view = TopView::backends;
  const auto lines = top_frame(sample(2), rates_between(sample(1), sample(2), 1), state, 120, 0);
  EXPECT_THAT(lines[4].text, HasSubstr("down: refused"));
  EXPECT_EQ(lines[4].look, TopLine::Look::bad);
  EXPECT_EQ(lines[3].look, TopLine::Look::plain);
}

TEST(TopFrame, ShowsDropsWithTheirMeaningAndTotals) {
  TopState state;
  state.view = TopView::drops;
  const auto lines = frame(state, 3);
  EXPECT_THAT(lines[3], HasSubstr("no_service       90    270  no service at this address"));
  EXPECT_THAT(lines[4], HasSubstr("martian"));
}

TEST(TopFrame, ShowsOnlyRowsThatContainTheFilter) {
  TopState state;
  state.filter = "API";
  const auto lines = frame(state);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_THAT(lines[3], HasSubstr("api"));
}

TEST(TopFrame, FillsTheScreenExactlyAndScrolls) {
  TopState state;
  for (std::size_t height = kTopMinHeight; height < 30; ++height) {
    for (std::size_t width = kTopMinWidth; width < 120; width += 7) {
      const auto lines = frame(state, 6, width, height);
      EXPECT_EQ(lines.size(), height);
      for (const std::string& line : lines) EXPECT_LE(line.size(), width);
    }
  }
  state.offset = 1;
  EXPECT_THAT(frame(state, 6, 90, kTopMinHeight), Not(Contains(HasSubstr("web  "))));
  state.offset = SIZE_MAX / 2;
  EXPECT_THAT(frame(state, 6, 90, kTopMinHeight), Contains(HasSubstr("dns")));
  EXPECT_EQ(state.offset, 1u);
}

TEST(TopFrame, SaysThatAScreenIsTooSmall) {
  TopState state;
  EXPECT_THAT(frame(state, 2, 39, 24), ElementsAre("39x24: too small, 40x8 at least"));
  EXPECT_THAT(frame(state, 2, 10, 1), ElementsAre("10x1: too "));
}

TEST(TopFrame, ShowsProblemsAndWhatKeepsTheDaemonFromAnswering) {
  TopState state;
  state.trouble = "connect: refused";
  state.paused = true;
  const auto lines = frame(state, 6);
  EXPECT_THAT(lines[0], HasSubstr("DEGRADED"));
  EXPECT_THAT(lines[0], HasSubstr("[paused]"));
  EXPECT_EQ(lines[1], "connect: refused");
  EXPECT_EQ(lines[3], "  - eth0: no carrier");
}

TEST(TopFrame, DoesNotStumbleOverAnswersWithoutAnything) {
  const CliJson nothing = CliJson::object();
  for (std::size_t view = 0; view < kTopViews; ++view) {
    TopState state;
    state.view = static_cast<TopView>(view);
    EXPECT_EQ(top_frame(nothing, nothing, state, 80, 24).size(), 24u);
    EXPECT_EQ(top_frame(nothing, nothing, state, 80, 0).size(), 3u);
  }
}

}  // namespace
}  // namespace xebec
