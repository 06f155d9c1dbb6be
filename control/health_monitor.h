// SPDX-License-Identifier: BSD-2-Clause
// Watches over all backends that are to be checked: when each is asked, what its answers make of it, and who hears
// of it.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "control/health_runner.h"
#include "control/health_state.h"
#include "control/openings.h"

namespace xebec {

/// A change of a backend's health, for the history.
struct HealthTransition {
  std::chrono::system_clock::time_point at;
  Health from = Health::unknown;
  Health to = Health::unknown;
  std::string reason;             ///< "connection refused after 3 of 3"
  std::chrono::nanoseconds took;  ///< of the check that decided
};

/// What is known of one checked backend.
struct HealthEntry {
  HealthCheck check;
  HealthState state;
  std::string reason;  ///< of the last result: "connection refused after 2 of 3"; empty before the first
  ProbeResult::Kind last = ProbeResult::Kind::not_run;
  std::chrono::nanoseconds took{};
  uint64_t checks = 0;    ///< that said something about the backend
  uint64_t failures = 0;  ///< of them
  uint64_t not_run = 0;
  Openings openings;                              ///< seen, where passive health asks for it
  std::chrono::steady_clock::time_point since{};  ///< when it came into its present state
  std::deque<HealthTransition> history;           ///< oldest first, at most kHealthHistory

  HealthEntry(HealthCheck c, HealthState s) : check(std::move(c)), state(std::move(s)) {}
};

inline constexpr std::size_t kHealthHistory = 32;
/// A table is built at most so often for the sake of health: flapping backends shall not keep the control thread
/// busy, nor workers with cold lookup arrays.
inline constexpr std::chrono::milliseconds kHealthChangeInterval{500};

class HealthMonitor {
 public:
  /// on_change: some backend went down or came up; the first at once, later ones at most every kHealthChangeInterval.
  /// `seed`: of the jitter.
  HealthMonitor(EventLoop& loop, ProbeStarter starter, std::function<void()> on_change, uint64_t seed,
                HealthClock now = EventLoop::Clock::now);
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;
  ~HealthMonitor();

  /// Hears of each change of a backend's health at once.
  void on_transition(std::function<void(const HealthEntry&, const HealthTransition&)> hear) {
    hear_ = std::move(hear);
  }

  /// Hears how long each good check took.
  void on_good(std::function<void(const HealthCheck::Key&, std::chrono::nanoseconds took)> hear) {
    hear_good_ = std::move(hear);
  }

  /// Replaces the set of checks. One that is there again unchanged goes on as if nothing had happened; a changed
  /// one keeps its state until its first result; what is not in the set is forgotten.
  void follow(const std::vector<HealthCheck>& checks);

  /// Those whose clients' connections are to be watched.
  const std::vector<HealthCheck::Key>& passive() const { return passive_; }
  /// What became of connections since the last call. Those that failed count in a row: one that was answered in between says that
  /// the backend lives. One that goes down by it comes up by its checks; if there are none it is tried again after a while, and
  /// then the first connection decides.
  void observe(const HealthCheck::Key& key, const Openings& since);

  /// nullptr if it is not followed.
  const HealthEntry* find(const HealthCheck::Key& key) const;
  const HealthRunner& runner() const { return runner_; }

  /// One check beside the schedule, which changes no state. The ticket finds its answer.
  uint64_t check_once(const HealthCheck& check);
  struct Answer {
    HealthCheck check;
    bool done = false;
    ProbeResult result;
    std::chrono::nanoseconds took{};
  };
  /// nullptr: never given, or so long ago that it is forgotten.
  const Answer* answer(uint64_t ticket) const;

 private:
  struct Watched {
    HealthEntry entry;
    EventLoop::TimerId timer = 0;
    HealthRunner::RunId run = 0;
    EventLoop::Clock::time_point due{};
    Openings failures;      ///< in a row
    bool on_trial = false;  ///< the first connection decides
  };
  void schedule(Watched& watched, EventLoop::Clock::time_point due);
  void stop(Watched& watched);
  void try_again_later(Watched& watched);
  void begin_check(const HealthCheck::Key& key);
  void take(const HealthCheck::Key& key, const ProbeResult& result, std::chrono::nanoseconds took);
  void record(HealthEntry& entry, Health from);
  void announce();
  double random_share();

  EventLoop& loop_;
  HealthRunner runner_;
  std::function<void()> on_change_;
  std::function<void(const HealthEntry&, const HealthTransition&)> hear_;
  std::function<void(const HealthCheck::Key&, std::chrono::nanoseconds)> hear_good_;
  HealthClock now_;
  std::mt19937_64 random_;
  std::map<HealthCheck::Key, Watched> watched_;
  std::vector<HealthCheck::Key> passive_;
  std::map<uint64_t, Answer> answers_;
  uint64_t last_ticket_ = 0;
  EventLoop::TimerId announce_timer_ = 0;
  EventLoop::Clock::time_point announced_{};
};

}  // namespace xebec
