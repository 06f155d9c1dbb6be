// SPDX-License-Identifier: BSD-2-Clause
// How new flows are spread, as it goes on between changes: workers hear of each other's flows, and backends that start slowly
// get more of their weight.
#include <utility>

#include <spdlog/spdlog.h>

#include "control/controller.h"
#include "dataplane/clock.h"

namespace xebec {
namespace {

// New flows that come meanwhile are estimated (dataplane/fleet_counts.h).
constexpr std::chrono::milliseconds kShareInterval{100};

}  // namespace

void Controller::follow_slow_start() {
  const uint64_t now_ms = monotonic_ns() / 1'000'000;
  const auto takes = [this](const SlowStart::Key& key) {
    const auto it = builder_.status().find(key);
    return it != builder_.status().end() && it->second.taking;
  };
  slow_start_.observe(config_, takes, now_ms);
  // Anew each time: what comes next may come before what was waited for.
  if (slow_start_timer_ != 0) loop_.cancel(std::exchange(slow_start_timer_, 0));
  const auto next_ms = slow_start_.next_step_ms(config_, now_ms);
  if (!next_ms) return;
  slow_start_timer_ = loop_.after(std::chrono::milliseconds(*next_ms - now_ms), [this] {
    slow_start_timer_ = 0;
    const auto rebuilt = rebuild();
    if (rebuilt) return;
    spdlog::error("table not updated while a backend starts slowly: {}", rebuilt.error());
    follow_slow_start();  // nobody else would come back to it
  });
}

void Controller::follow_response_times() {
  if (response_timer_ != 0 || !ResponseTimes::is_wanted(config_)) return;
  response_timer_ = loop_.after(ResponseTimes::kStep, [this] {
    response_timer_ = 0;
    const auto takes = [this](const ResponseTimes::Key& key) {
      const auto it = builder_.status().find(key);
      return it != builder_.status().end() && it->second.taking;
    };
    if (response_times_.step(config_, takes)) {
      if (auto r = rebuild(); !r) spdlog::error("table not updated for other response times: {}", r.error());
    }
    follow_response_times();
  });
}

void Controller::share_flow_counts() {
  if (share_timer_ != 0 || !engine_->shares_flow_counts()) return;
  engine_->share_flow_counts();
  share_timer_ = loop_.after(kShareInterval, [this] {
    share_timer_ = 0;
    share_flow_counts();
  });
}

}  // namespace xebec
