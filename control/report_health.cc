// SPDX-License-Identifier: BSD-2-Clause
#include "control/report_health.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "control/timestamp.h"

namespace xebec {
namespace {

double milliseconds(std::chrono::nanoseconds duration) {
  // Microseconds are as exact as one check is.
  return static_cast<double>(duration.count() / 1000) / 1000;
}

std::string_view name_of(ProbeResult::Kind kind) {
  constexpr std::string_view kNames[] = {"good", "bad", "not_run"};
  return kNames[static_cast<std::size_t>(kind)];
}

/// Of what is not asked, and watched all the same.
std::string_view type_of(const HealthSettings& settings) {
  return settings.type == HealthType::none && settings.is_watched() ? "passive" : to_string(settings.type);
}

Json check_row(const HealthEntry& e) {
  const auto now = std::chrono::steady_clock::now();
  const bool counted = e.state.streak() > 0;
  const bool good = counted && e.state.streak_is_good();
  const HealthSettings& s = e.check.settings;
  Json passive = nullptr;
  if (s.passive.fall != 0)
    passive = {{"fall", s.passive.fall},
               {"retry_after_ms", s.passive.retry_after_ms},
               {"answered", e.openings.answered},
               {"refused", e.openings.refused},
               {"unanswered", e.openings.unanswered}};
  return {{"service", e.check.service},
          {"address", e.check.backend.to_string()},
          {"state", to_string(e.state.health())},
          {"type", type_of(s)},
          {"to", to_string(e.check.vip ? HealthTo::vip : HealthTo::backend)},
          {"target", e.check.target()},
          {"last", e.checks + e.not_run == 0 ? Json(nullptr) : Json(name_of(e.last))},
          {"reason", e.reason},
          {"duration_ms", milliseconds(e.took)},
          {"good_in_a_row", good ? e.state.streak() : 0},
          {"bad_in_a_row", counted && !good ? e.state.streak() : 0},
          {"rise", e.state.rise_needed(now)},
          {"fall", s.fall},
          {"interval_ms", s.interval_ms},
          {"timeout_ms", s.timeout_ms},
          {"checks", e.checks},
          {"failures", e.failures},
          {"not_run", e.not_run},
          {"passive", passive},
          {"since_seconds", std::chrono::duration_cast<std::chrono::seconds>(now - e.since).count()}};
}

template <typename Each>
void for_each_entry(const Controller& controller, const ServiceConfig& service, Each&& each) {
  for (const auto* list : {&service.backends, &service.fallback}) {
    for (const BackendConfig& backend : *list) {
      if (const HealthEntry* entry = controller.health().find({service.name, backend.address})) each(*entry);
    }
  }
}

}  // namespace

Json report_health_of(const Controller& controller, const ServiceConfig& service,
                      const BackendConfig& backend) {
  const HealthEntry* entry = controller.health().find({service.name, backend.address});
  if (entry == nullptr) return {{"state", to_string(Health::unknown)}, {"type", "none"}, {"reason", ""}};
  return {{"state", to_string(entry->state.health())},
          {"type", type_of(entry->check.settings)},
          {"reason", entry->reason}};
}

Json report_checks(const Controller& controller, const ServiceConfig& service) {
  Json rows = Json::array();
  for_each_entry(controller, service, [&](const HealthEntry& entry) { rows.push_back(check_row(entry)); });
  return rows;
}

Json report_transitions(const Controller& controller, const std::string& wanted,
                        const std::optional<IpAddress>& backend) {
  std::vector<std::pair<const HealthTransition*, const HealthEntry*>> found;
  for (const ServiceConfig& service : controller.config().services) {
    if (!wanted.empty() && service.name != wanted) continue;
    for_each_entry(controller, service, [&](const HealthEntry& entry) {
      if (backend && entry.check.backend != *backend) return;
      for (const HealthTransition& transition : entry.history) found.emplace_back(&transition, &entry);
    });
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first->at < b.first->at; });
  Json rows = Json::array();
  for (const auto& [transition, entry] : found) {
    rows.push_back({{"time", timestamp(transition->at)},
                    {"service", entry->check.service},
                    {"address", entry->check.backend.to_string()},
                    {"from", to_string(transition->from)},
                    {"to", to_string(transition->to)},
                    {"reason", transition->reason},
                    {"duration_ms", milliseconds(transition->took)}});
  }
  return rows;
}

Json report_answer(uint64_t ticket, const HealthMonitor::Answer& answer) {
  return {{"schema", "xebec.health-check/1"},
          {"check", ticket},
          {"service", answer.check.service},
          {"address", answer.check.backend.to_string()},
          {"type", to_string(answer.check.settings.type)},
          {"target", answer.check.target()},
          {"done", answer.done},
          {"result", answer.done ? Json(name_of(answer.result.kind)) : Json(nullptr)},
          {"reason", answer.result.text},
          {"duration_ms", answer.done ? Json(milliseconds(answer.took)) : Json(nullptr)}};
}

}  // namespace xebec
