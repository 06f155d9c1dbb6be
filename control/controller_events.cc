// SPDX-License-Identifier: BSD-2-Clause
// What the controller notes in the event_log.
#include <fmt/format.h>

#include "control/controller.h"

namespace xebec {

void Controller::watch_network() {
  std::vector<WatchedLink> links;
  for (std::size_t i = 0; i < engine_->interfaces().size(); ++i) {
    const ServedInterface& served = engine_->interfaces()[i];
    links.push_back({served.config.name, hops_->link(served.ifindex), engine_->times_attached_again(i)});
  }
  network_watch_.look(hops_->all(), links, event_log_);
}

void Controller::note_change(const std::string& by, const ChangeReport& report) {
  constexpr std::size_t kShown = 4;  // in the line; the fields have all paths
  std::string text = fmt::format("changed by {}:", by);
  nlohmann::ordered_json paths = nlohmann::ordered_json::array();
  for (const ConfigChange& change : report.diff) {
    if (paths.size() < kShown) text += fmt::format(" {} {};", to_string(change.op), change.path);
    paths.push_back(change.path);
  }
  if (paths.size() > kShown) text += fmt::format(" and {} more;", paths.size() - kShown);
  text.pop_back();
  event_log_.add("config", std::move(text),
                 {{"by", by}, {"generation", report.generation}, {"paths", paths}});
}

void Controller::note_health(const HealthEntry& entry, const HealthTransition& t) {
  const std::string backend = entry.check.backend.to_string();
  event_log_.add("health",
                 fmt::format("backend {} of {}: {} -> {}: {}", backend, entry.check.service,
                             to_string(t.from), to_string(t.to), t.reason),
                 {{"service", entry.check.service},
                  {"backend", backend},
                  {"from", to_string(t.from)},
                  {"to", to_string(t.to)},
                  {"reason", t.reason}});
}

/// A table was published; `before`: the backends as the last one had them.
void Controller::note_table(const std::map<std::pair<std::string, IpAddress>, BackendStatus>& before) {
  for (const auto& [key, status] : builder_.status()) {
    const auto old = before.find(key);
    const bool was = old != before.end() && old->second.usable;
    if (status.usable == was) continue;
    const std::string backend = key.second.to_string();
    event_log_.add(
        "backend",
        fmt::format("backend {} of {}: {}", backend, key.first,
                    status.usable ? "usable" : "not usable: " + status.why),
        {{"service", key.first}, {"backend", backend}, {"usable", status.usable}, {"why", status.why}});
  }
  const TableBuilder::Tally tally = builder_.tally();
  event_log_.add("table",
                 fmt::format("table {} published: {} services, {} of {} backends usable",
                             builder_.generation(), config_.services.size(), tally.usable, tally.backends),
                 {{"generation", builder_.generation()},
                  {"services", config_.services.size()},
                  {"usable", tally.usable}});
}

}  // namespace xebec
