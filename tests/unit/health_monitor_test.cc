// SPDX-License-Identifier: BSD-2-Clause
// The schedule, the bound and the coalescing of checks, on a loop whose time the test moves and with probes that it
// answers.
#include "control/health_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace xebec {
namespace {

using namespace std::chrono_literals;
using Clock = EventLoop::Clock;
using Kind = ProbeResult::Kind;

class FakeLoop final : public EventLoop {
 public:
  WatchId watch(int, short, std::function<void(short)>) override { return 0; }
  void unwatch(WatchId) override {}
  TimerId at(Clock::time_point at, std::function<void()> callback) override {
    timers_.emplace(std::pair(at, ++last_), std::move(callback));
    return last_;
  }
  void cancel(TimerId id) override {
    std::erase_if(timers_, [id](const auto& timer) { return timer.first.second == id; });
  }
  void run() override {}
  void stop() override {}
  std::string_view backend() const override { return "fake"; }
  std::string_view why() const override { return ""; }

  Clock::time_point now() const { return now_; }
  std::size_t timers() const { return timers_.size(); }
  /// Runs what is due until `until`, in order.
  void advance(Clock::duration by) {
    const Clock::time_point until = now_ + by;
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      auto timer = timers_.extract(timers_.begin());
      now_ = std::max(now_, timer.key().first);
      timer.mapped()();
    }
    now_ = until;
  }

 private:
  std::map<std::pair<Clock::time_point, TimerId>, std::function<void()>> timers_;
  TimerId last_ = 0;
  Clock::time_point now_{1h};
};

class HealthMonitorTest : public ::testing::Test {
 protected:
  struct FakeProbe final : Probe {
    FakeProbe(HealthMonitorTest& test, int number) : test_(test), number_(number) { ++test_.alive_; }
    FakeProbe(const FakeProbe&) = delete;
    FakeProbe& operator=(const FakeProbe&) = delete;
    ~FakeProbe() override {
      --test_.alive_;
      test_.dead_.insert(number_);
    }
    ProbeResult overdue() const override { return {Kind::bad, "no answer"}; }

   private:
    HealthMonitorTest& test_;
    int number_;
  };

  static HealthCheck check(int number, uint32_t interval_ms = 1000) {
    HealthCheck c;
    c.service = "web";
    c.backend =
        IpAddress::parse("10.0." + std::to_string(number / 256) + "." + std::to_string(number % 256)).value();
    c.port = 80;
    c.settings.type = HealthType::tcp;
    c.settings.interval_ms = interval_ms;
    c.settings.timeout_ms = 500;
    return c;
  }
  static std::vector<HealthCheck> checks(int count) {
    std::vector<HealthCheck> out;
    for (int i = 0; i < count; ++i) out.push_back(check(i));
    return out;
  }
  ProbeStarter starter() {
    return [this](const HealthCheck& c, ProbeDone done) {
      started_.emplace_back(c.backend, loop_.now());
      most_alive_ = std::max(most_alive_, alive_ + 1);
      if (answer_) {
        loop_.at(loop_.now() + 1ms, [this, done, result = *answer_, probe = probes_ + 1] {
          if (!dead_.contains(probe))
            done(result);  // as the real ones: nothing is heard of what was abandoned
        });
      }
      return std::make_unique<FakeProbe>(*this, ++probes_);
    };
  }
  HealthMonitor& monitor() {
    if (!monitor_) {
      monitor_ = std::make_unique<HealthMonitor>(
          loop_, starter(), [this] { changes_.push_back(loop_.now()); }, 1, [this] { return loop_.now(); });
    }
    return *monitor_;
  }
  Health health(int number) { return monitor().find(check(number).key())->state.health(); }

  FakeLoop loop_;
  std::optional<ProbeResult> answer_ = ProbeResult{Kind::good, "connected"};  ///< none: silence
  std::vector<std::pair<IpAddress, Clock::time_point>> started_;
  std::vector<Clock::time_point> changes_;
  std::set<int> dead_;
  int probes_ = 0;
  int alive_ = 0;
  int most_alive_ = 0;
  std::unique_ptr<HealthMonitor> monitor_;
};

HealthCheck watched(HealthCheck check, HealthType type = HealthType::none) {
  check.settings.type = type;
  check.settings.passive = {.fall = 3, .retry_after_ms = 10'000};
  return check;
}

TEST_F(HealthMonitorTest, TakesABackendDownByConnectionsThatFailInARow) {
  monitor().follow({watched(check(1))});
  const HealthCheck::Key key = check(1).key();
  EXPECT_EQ(monitor().passive(), std::vector{key});
  monitor().observe(key, {.refused = 2});
  monitor().observe(key, {.answered = 1, .refused = 2});
  monitor().observe(key, {.unanswered = 2});
  EXPECT_EQ(health(1), Health::unknown) << "one was answered in between";
  monitor().observe(key, {.refused = 1});
  EXPECT_EQ(health(1), Health::down);
  const HealthEntry& entry = *monitor().find(key);
  EXPECT_EQ(entry.history.back().reason, "connections of clients: 1 refused and 2 unanswered in a row");
  EXPECT_EQ(entry.openings.refused, 5u);
  EXPECT_EQ(entry.openings.answered, 1u);
  loop_.advance(1ms);
  EXPECT_EQ(changes_.size(), 1u);
  EXPECT_TRUE(started_.empty()) << "nothing is asked";
}

TEST_F(HealthMonitorTest, TriesABackendAgainWhoseChecksAreNone) {
  monitor().follow({watched(check(1))});
  const HealthCheck::Key key = check(1).key();
  monitor().observe(key, {.refused = 3});
  loop_.advance(9s);
  EXPECT_EQ(health(1), Health::down);
  loop_.advance(2s);
  EXPECT_EQ(health(1), Health::unknown);
  EXPECT_EQ(changes_.size(), 2u) << "its packets come back";
  EXPECT_EQ(monitor().find(key)->history.back().reason, "tried again after 10000 ms without connections");
  monitor().observe(key, {.unanswered = 1});
  EXPECT_EQ(health(1), Health::down) << "the first connection decides";
  loop_.advance(11s);
  EXPECT_EQ(health(1), Health::down) << "the second time it takes twice as long";
  loop_.advance(10s);
  EXPECT_EQ(health(1), Health::unknown);
  monitor().observe(key, {.answered = 1});
  monitor().observe(key, {.refused = 2});
  EXPECT_EQ(health(1), Health::unknown) << "back to three";
}

TEST_F(HealthMonitorTest, LetsChecksBringBackWhatConnectionsTookDown) {
  monitor().follow({watched(check(1), HealthType::tcp)});
  loop_.advance(3s);
  EXPECT_EQ(health(1), Health::up);
  monitor().observe(check(1).key(), {.refused = 3});
  EXPECT_EQ(health(1), Health::down);
  loop_.advance(3s);
  EXPECT_EQ(health(1), Health::up);
  EXPECT_EQ(monitor().find(check(1).key())->history.size(), 3u);
}

TEST_F(HealthMonitorTest, ForgetsARetryOfABackendThatIsGone) {
  monitor().follow({watched(check(1))});
  monitor().observe(check(1).key(), {.refused = 3});
  monitor().follow({});
  loop_.advance(60s);
  EXPECT_EQ(monitor().find(check(1).key()), nullptr);
  monitor().observe(check(1).key(), {.refused = 3});
}

TEST_F(HealthMonitorTest, SpreadsTheFirstChecksOverTheInterval) {
  monitor().follow(checks(1000));
  int before = 0;
  for (int tenth = 0; tenth < 10; ++tenth) {
    loop_.advance(100ms);
    const int now = static_cast<int>(started_.size());
    EXPECT_NEAR(now - before, 100, 50) << "in tenth " << tenth;
    before = now;
  }
}

TEST_F(HealthMonitorTest, AsksUpToTheJitterEarlyAndNeverLate) {
  monitor().follow({check(1)});
  loop_.advance(200s);
  ASSERT_GT(started_.size(), 199u);
  std::set<Clock::duration> distances;
  for (std::size_t i = 1; i < started_.size(); ++i) {
    const auto distance = started_[i].second - started_[i - 1].second;
    EXPECT_LE(distance, 1000ms);
    EXPECT_GE(distance, 900ms);
    distances.insert(distance);
  }
  EXPECT_GT(distances.size(), 50u) << "they are not all the same";
}

TEST_F(HealthMonitorTest, TakesSilenceForBadAfterTheTimeoutAndNamesIt) {
  answer_.reset();
  monitor().follow({check(1)});
  loop_.advance(4s);  // first within 1 s, third within 3 s, and its timeout
  EXPECT_EQ(health(1), Health::down);
  const HealthEntry& entry = *monitor().find(check(1).key());
  ASSERT_EQ(entry.history.size(), 1u);
  EXPECT_EQ(entry.history[0].reason, "no answer within 500 ms after 3 of 3");
  EXPECT_EQ(entry.history[0].took, 500ms);
  EXPECT_EQ(entry.history[0].from, Health::unknown);
  EXPECT_EQ(changes_.size(), 1u);
}

TEST_F(HealthMonitorTest, DetectsWithinFallTimesIntervalPlusTimeout) {
  for (uint64_t offset = 0; offset < 20; ++offset) {
    monitor_.reset();
    changes_.clear();
    answer_ = ProbeResult{Kind::good, ""};
    monitor().follow({check(1)});
    loop_.advance(5s + offset * 53ms);
    answer_.reset();
    const Clock::time_point died = loop_.now();
    loop_.advance(10s);
    ASSERT_EQ(changes_.size(), 1u);
    EXPECT_LE(changes_[0] - died, 3 * 1000ms + 500ms);
  }
}

TEST_F(HealthMonitorTest, ChangesTheTableAtMostTwiceASecondWhateverFlaps) {
  std::vector<HealthCheck> many;
  for (int i = 0; i < 50; ++i) {
    many.push_back(check(i, 100));
    many.back().settings.rise = many.back().settings.fall = 1;
    many.back().settings.timeout_ms = 50;
  }
  monitor().follow(many);
  for (int i = 0; i < 300; ++i) {
    answer_ = ProbeResult{i % 20 == 0 ? Kind::bad : Kind::good, "x"};
    loop_.advance(100ms);
  }
  ASSERT_GT(changes_.size(), 10u);
  for (std::size_t i = 1; i < changes_.size(); ++i) EXPECT_GE(changes_[i] - changes_[i - 1], 500ms);
}

TEST_F(HealthMonitorTest, RunsABoundedNumberAtOnceAndLosesNone) {
  answer_.reset();  // all of them last their timeout
  const int count = static_cast<int>(kMaxProbes) * 2;
  monitor().follow(checks(count));
  loop_.advance(10s);
  EXPECT_EQ(most_alive_, static_cast<int>(kMaxProbes));
  std::set<IpAddress> asked;
  for (const auto& [backend, at] : started_) asked.insert(backend);
  EXPECT_EQ(asked.size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) EXPECT_EQ(health(i), Health::down) << i;
}

TEST_F(HealthMonitorTest, KeepsStateOverAReloadAndForgetsWhatIsGone) {
  answer_.reset();
  monitor().follow({check(1), check(2)});
  loop_.advance(5s);
  const uint64_t before = monitor().find(check(1).key())->checks;
  monitor().follow({check(1)});
  EXPECT_EQ(health(1), Health::down);
  EXPECT_EQ(monitor().find(check(1).key())->checks, before);
  EXPECT_EQ(monitor().find(check(2).key()), nullptr);
  loop_.advance(5s);
  EXPECT_GT(monitor().find(check(1).key())->checks, before) << "it goes on";
  monitor().follow({});
  EXPECT_EQ(alive_, 0) << "probes on their way are abandoned";
  EXPECT_EQ(loop_.timers(), 0u);
}

TEST_F(HealthMonitorTest, TakesTheFirstResultOfAChangedCheckAtItsWord) {
  answer_.reset();
  monitor().follow({check(1)});
  loop_.advance(5s);
  ASSERT_EQ(health(1), Health::down);
  HealthCheck changed = check(1);
  changed.settings.rise = 10;
  changed.port = 81;
  answer_ = ProbeResult{Kind::good, "connected"};
  monitor().follow({changed});
  EXPECT_EQ(health(1), Health::down);
  loop_.advance(1001ms);
  EXPECT_EQ(health(1), Health::up);
  EXPECT_EQ(monitor().find(check(1).key())->history.back().reason, "connected after 1 of 1");
}

TEST_F(HealthMonitorTest, CountsACheckThatCouldNotBeMadeForNothing) {
  answer_ = ProbeResult{Kind::not_run, "the check could not be made: too many open files"};
  monitor().follow({check(1)});
  loop_.advance(20s);
  const HealthEntry& entry = *monitor().find(check(1).key());
  EXPECT_EQ(entry.state.health(), Health::unknown);
  EXPECT_EQ(entry.checks, 0u);
  EXPECT_GT(entry.not_run, 15u);
  EXPECT_EQ(entry.reason, "the check could not be made: too many open files");
  EXPECT_TRUE(changes_.empty());
}

TEST_F(HealthMonitorTest, ChangesNothingWhenTheUnknownTurnsOutToBeUp) {
  monitor().follow({check(1)});
  loop_.advance(5s);
  EXPECT_EQ(health(1), Health::up);
  EXPECT_TRUE(changes_.empty()) << "it was counted as up";
}

TEST_F(HealthMonitorTest, AnswersASingleCheckWithoutTouchingTheState) {
  monitor().follow({check(1)});
  loop_.advance(5s);
  answer_ = ProbeResult{Kind::bad, "connection refused"};
  const uint64_t ticket = monitor().check_once(check(1));
  EXPECT_FALSE(monitor().answer(ticket)->done);
  loop_.advance(1ms);
  ASSERT_TRUE(monitor().answer(ticket)->done);
  EXPECT_EQ(monitor().answer(ticket)->result.text, "connection refused");
  EXPECT_EQ(monitor().answer(ticket)->took, 1ms);
  EXPECT_EQ(health(1), Health::up);
  EXPECT_EQ(monitor().find(check(1).key())->failures, 0u);
  EXPECT_EQ(monitor().answer(ticket + 1), nullptr);
  for (int i = 0; i < 64; ++i) monitor().check_once(check(1));
  EXPECT_EQ(monitor().answer(ticket), nullptr) << "old answers are forgotten";
}

TEST_F(HealthMonitorTest, KeepsABoundedHistory) {
  HealthCheck c = check(1, 100);
  c.settings.rise = c.settings.fall = 1;
  c.settings.timeout_ms = 50;
  monitor().follow({c});
  for (int i = 0; i < 100; ++i) {
    answer_ = ProbeResult{i % 2 == 0 ? Kind::bad : Kind::good, "x"};
    loop_.advance(61s);
  }
  EXPECT_EQ(monitor().find(c.key())->history.size(), kHealthHistory);
}

}  // namespace
}  // namespace xebec
