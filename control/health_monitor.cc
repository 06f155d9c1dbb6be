// SPDX-License-Identifier: BSD-2-Clause
#include "control/health_monitor.h"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace xebec {
namespace {

using Clock = EventLoop::Clock;

/// Answers of single checks that wait to be asked for.
constexpr std::size_t kAnswersKept = 64;

HealthRules rules_of(const HealthCheck& check) {
  return {check.settings.rise, check.settings.fall};
}

Clock::duration share_of(Clock::duration whole, double share) {
  return std::chrono::duration_cast<Clock::duration>(whole * share);
}

}  // namespace

HealthMonitor::HealthMonitor(EventLoop& loop, ProbeStarter starter, std::function<void()> on_change,
                             uint64_t seed, HealthClock now)
    : loop_(loop),
      runner_(loop, std::move(starter), kMaxProbes, now),
      on_change_(std::move(on_change)),
      now_(std::move(now)),
      random_(seed) {}

HealthMonitor::~HealthMonitor() {
  for (auto& [key, watched] : watched_) stop(watched);
  if (announce_timer_ != 0) loop_.cancel(announce_timer_);
}

double HealthMonitor::random_share() {
  return std::uniform_real_distribution<double>(0, 1)(random_);
}

void HealthMonitor::stop(Watched& watched) {
  if (watched.timer != 0) loop_.cancel(watched.timer);
  if (watched.run != 0) runner_.cancel(watched.run);
  watched.timer = 0;
  watched.run = 0;
}

void HealthMonitor::follow(const std::vector<HealthCheck>& checks) {
  std::map<HealthCheck::Key, const HealthCheck*> wanted;
  for (const HealthCheck& check : checks) wanted.emplace(check.key(), &check);
  for (auto it = watched_.begin(); it != watched_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    stop(it->second);
    it = watched_.erase(it);
  }
  passive_.clear();
  const Clock::time_point now = now_();
  for (const auto& [key, check] : wanted) {
    if (check->settings.passive.fall != 0) passive_.push_back(key);
    auto found = watched_.find(key);
    if (found != watched_.end() && found->second.entry.check == *check) continue;
    if (found == watched_.end()) {
      HealthEntry entry(*check, HealthState(rules_of(*check), check->settings.initial));
      entry.since = now;
      found = watched_.emplace(key, Watched{std::move(entry), 0, 0, {}, {}, false}).first;
    } else {
      stop(found->second);
      found->second.entry.check = *check;
      found->second.entry.state.restart(rules_of(*check));
    }
    if (check->settings.type == HealthType::none) {
      // A check that brought it down is gone: connections decide.
      if (found->second.entry.state.health() == Health::down) try_again_later(found->second);
      continue;
    }
    // Anywhere in its first interval: thousands that come with one reload are asked one after the other.
    const std::chrono::milliseconds interval(check->settings.interval_ms);
    schedule(found->second, now + share_of(interval, random_share()));
  }
}

void HealthMonitor::observe(const HealthCheck::Key& key, const Openings& since) {
  const auto found = watched_.find(key);
  if (found == watched_.end()) return;
  Watched& watched = found->second;
  HealthEntry& entry = watched.entry;
  entry.openings += since;
  const uint32_t fall = watched.on_trial ? 1 : entry.check.settings.passive.fall;
  if (since.answered != 0) {
    watched.failures = {};
    watched.on_trial = false;
    return;
  }
  if (fall == 0 || since.failed() == 0 || entry.state.health() == Health::down) return;
  watched.failures += since;
  if (watched.failures.failed() < fall) return;
  const Health before = entry.state.health();
  entry.reason = fmt::format("connections of clients: {} refused and {} unanswered in a row",
                             watched.failures.refused, watched.failures.unanswered);
  watched.failures = {};
  entry.state.condemn(now_());
  record(entry, before);
  if (entry.check.settings.type == HealthType::none) try_again_later(watched);
}

/// The more often it went down of late the later, as checks would have to be good for longer.
void HealthMonitor::try_again_later(Watched& watched) {
  if (watched.timer != 0) loop_.cancel(watched.timer);
  const uint32_t falls = std::max(watched.entry.state.recent_falls(now_()), 1u);
  const uint32_t damping = std::min(kMaxDamping, 1u << std::min(falls - 1, 8u));
  const std::chrono::milliseconds pause(uint64_t{watched.entry.check.settings.passive.retry_after_ms} *
                                        damping);
  watched.timer = loop_.at(now_() + pause, [this, key = watched.entry.check.key(), pause] {
    Watched& again = watched_.at(key);
    again.timer = 0;
    again.on_trial = true;
    again.entry.state.forget();
    again.entry.reason = fmt::format("tried again after {} ms without connections", pause.count());
    record(again.entry, Health::down);
  });
}

void HealthMonitor::schedule(Watched& watched, Clock::time_point due) {
  watched.due = due;
  watched.timer = loop_.at(due, [this, key = watched.entry.check.key()] { begin_check(key); });
}

void HealthMonitor::begin_check(const HealthCheck::Key& key) {
  Watched& watched = watched_.at(key);
  watched.timer = 0;
  const HealthCheck& check = watched.entry.check;
  watched.run = runner_.run(check, [this, key](const ProbeResult& result, std::chrono::nanoseconds took) {
    take(key, result, took);
  });
}

void HealthMonitor::take(const HealthCheck::Key& key, const ProbeResult& result,
                         std::chrono::nanoseconds took) {
  Watched& watched = watched_.at(key);
  HealthEntry& entry = watched.entry;
  watched.run = 0;
  const Clock::time_point now = now_();
  // Early by up to the jitter and never late: what is promised of detection is an upper bound.
  const std::chrono::milliseconds interval(entry.check.settings.interval_ms);
  const double early = random_share() * entry.check.settings.jitter_percent / 100;
  schedule(watched, std::max(watched.due + share_of(interval, 1 - early), now));

  const bool was_run = entry.last != ProbeResult::Kind::not_run || entry.not_run == 0;
  entry.last = result.kind;
  entry.took = took;
  if (result.kind == ProbeResult::Kind::not_run) {
    ++entry.not_run;
    entry.reason = result.text;
    if (was_run) spdlog::warn("health: backend {} of {}: {}", key.second.to_string(), key.first, result.text);
    return;
  }
  const bool good = result.kind == ProbeResult::Kind::good;
  ++entry.checks;
  if (!good) ++entry.failures;
  if (good && hear_good_) hear_good_(key, took);
  const Health before = entry.state.health();
  const uint32_t needed = good ? entry.state.rise_needed(now) : entry.state.fall_needed();
  const HealthState::Change change = entry.state.take(good, now);
  const bool settled =
      (good && entry.state.health() == Health::up) || (!good && entry.state.health() == Health::down);
  entry.reason = settled && change == HealthState::Change::none
                     ? result.text
                     : fmt::format("{} after {} of {}", result.text, entry.state.streak(), needed);
  if (change != HealthState::Change::none) record(entry, before);
}

void HealthMonitor::record(HealthEntry& entry, Health from) {
  const Health to = entry.state.health();
  entry.since = now_();
  entry.history.push_back({std::chrono::system_clock::now(), from, to, entry.reason, entry.took});
  if (entry.history.size() > kHealthHistory) entry.history.pop_front();
  spdlog::log(to == Health::down ? spdlog::level::warn : spdlog::level::info,
              "health: backend {} of {}: {}: {}", entry.check.backend.to_string(), entry.check.service,
              to_string(to), entry.reason);
  if (hear_) hear_(entry, entry.history.back());
  if (from == Health::unknown && to == Health::up) return;  // counted as up already
  if (announce_timer_ != 0) return;
  const Clock::time_point at = std::max(now_(), announced_ + kHealthChangeInterval);
  announce_timer_ = loop_.at(at, [this] { announce(); });
}

void HealthMonitor::announce() {
  announce_timer_ = 0;
  announced_ = now_();
  on_change_();
}

const HealthEntry* HealthMonitor::find(const HealthCheck::Key& key) const {
  const auto found = watched_.find(key);
  return found == watched_.end() ? nullptr : &found->second.entry;
}

uint64_t HealthMonitor::check_once(const HealthCheck& check) {
  const uint64_t ticket = ++last_ticket_;
  answers_.emplace(ticket, Answer{check, false, {}, {}});
  if (answers_.size() > kAnswersKept) answers_.erase(answers_.begin());
  runner_.run(check, [this, ticket](const ProbeResult& result, std::chrono::nanoseconds took) {
    const auto found = answers_.find(ticket);
    if (found == answers_.end()) return;
    found->second.done = true;
    found->second.result = result;
    found->second.took = took;
  });
  return ticket;
}

const HealthMonitor::Answer* HealthMonitor::answer(uint64_t ticket) const {
  const auto found = answers_.find(ticket);
  return found == answers_.end() ? nullptr : &found->second;
}

}  // namespace xebec
