// SPDX-License-Identifier: BSD-2-Clause
// Runs probes: a bounded number at once, each for at most its timeout.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "control/health_probe.h"

namespace xebec {

/// Descriptors that checks may hold at once: half of the usual limit of a process (RLIMIT_NOFILE, 1024). More wait
/// their turn. With 512 that all time out after a second, 512 a second are asked.
inline constexpr std::size_t kMaxProbes = 512;

/// Of the loop; a test has its own.
using HealthClock = std::function<EventLoop::Clock::time_point()>;

class HealthRunner {
 public:
  using RunId = uint64_t;  ///< never 0, never used again
  using Done = std::function<void(const ProbeResult&, std::chrono::nanoseconds took)>;

  HealthRunner(EventLoop& loop, ProbeStarter starter, std::size_t limit = kMaxProbes,
               HealthClock now = EventLoop::Clock::now)
      : loop_(loop), starter_(std::move(starter)), limit_(limit), now_(std::move(now)) {}
  HealthRunner(const HealthRunner&) = delete;
  HealthRunner& operator=(const HealthRunner&) = delete;
  ~HealthRunner();

  /// `done` is called once, from the loop, unless cancelled.
  RunId run(const HealthCheck& check, Done done);
  void cancel(RunId id);

  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }

 private:
  struct Run {
    HealthCheck check;
    Done done;
    std::unique_ptr<Probe> probe;
    EventLoop::TimerId deadline = 0;
    EventLoop::Clock::time_point started{};
  };
  void start(RunId id, Run run);
  void finish(RunId id, const ProbeResult& result);
  void start_waiting();

  EventLoop& loop_;
  ProbeStarter starter_;
  std::size_t limit_;
  HealthClock now_;
  RunId last_id_ = 0;
  std::map<RunId, Run> running_;
  std::map<RunId, Run> waiting_;  // ids grow: the first is the oldest
};

}  // namespace xebec
