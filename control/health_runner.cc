// SPDX-License-Identifier: BSD-2-Clause
#include "control/health_runner.h"

#include <fmt/format.h>

namespace xebec {

HealthRunner::~HealthRunner() {
  for (auto& [id, run] : running_) loop_.cancel(run.deadline);
}

HealthRunner::RunId HealthRunner::run(const HealthCheck& check, Done done) {
  const RunId id = ++last_id_;
  Run run{check, std::move(done), nullptr, 0, {}};
  if (running_.size() < limit_) {
    start(id, std::move(run));
  } else {
    waiting_.emplace(id, std::move(run));
  }
  return id;
}

void HealthRunner::cancel(RunId id) {
  if (waiting_.erase(id) > 0) return;
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  loop_.cancel(found->second.deadline);
  running_.erase(found);
  start_waiting();
}

void HealthRunner::start(RunId id, Run run) {
  const std::chrono::milliseconds timeout(run.check.settings.timeout_ms);
  Run& mine = running_.emplace(id, std::move(run)).first->second;
  mine.started = now_();
  mine.deadline = loop_.at(mine.started + timeout, [this, id, timeout] {
    ProbeResult result = running_.at(id).probe->overdue();
    if (result.kind != ProbeResult::Kind::good) result.text += fmt::format(" within {} ms", timeout.count());
    finish(id, result);
  });
  mine.probe = starter_(mine.check, [this, id](const ProbeResult& result) { finish(id, result); });
}

void HealthRunner::finish(RunId id, const ProbeResult& result) {
  auto node = running_.extract(id);
  Run& run = node.mapped();
  loop_.cancel(run.deadline);
  const auto took = now_() - run.started;
  const ProbeResult kept = result;
  run.probe.reset();  // its socket is closed before another is opened
  start_waiting();
  run.done(kept, took);
}

void HealthRunner::start_waiting() {
  while (running_.size() < limit_ && !waiting_.empty()) {
    auto node = waiting_.extract(waiting_.begin());
    start(node.key(), std::move(node.mapped()));
  }
}

}  // namespace xebec
