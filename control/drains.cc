// SPDX-License-Identifier: BSD-2-Clause
#include "control/drains.h"

#include <algorithm>
#include <set>

namespace xebec {

void Drains::order(const Key& key, const Order& order, uint64_t flows, Time now) {
  const auto [it, began] = drains_.try_emplace(key);
  Drain& drain = it->second;
  if (began || drain.by.empty()) {
    drain.since = now;
    drain.flows_at_start = flows;
    drain.flows = flows;
  }
  drain.deadline.reset();
  if (order.deadline) drain.deadline = now + *order.deadline;
  drain.then_remove = order.then_remove;
  drain.by = order.by;
}

void Drains::follow(const Config& config, Time now) {
  std::set<Key> wanted;
  for (const ServiceConfig& service : config.services) {
    for (const auto* list : {&service.backends, &service.fallback}) {
      for (const BackendConfig& backend : *list) {
        if (backend.admin == Admin::drain) wanted.emplace(service.name, backend.address);
      }
    }
  }
  std::erase_if(drains_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  for (const Key& key : wanted) {
    const auto [it, began] = drains_.try_emplace(key);
    if (began) it->second.since = now;
  }
}

std::vector<Drains::Key> Drains::observe(const std::function<uint64_t(const Key&)>& open_flows, Time now) {
  std::vector<Key> done;
  for (auto& [key, drain] : drains_) {
    if (drain.phase == Drain::Phase::drained) continue;
    drain.flows = open_flows(key);
    drain.flows_at_start = std::max(drain.flows_at_start, drain.flows);
    if (drain.flows != 0) drain.empty_since.reset();
    if (drain.flows == 0 && !drain.empty_since) drain.empty_since = now;
    const bool empty = drain.empty_since && now - *drain.empty_since >= kLinger;
    if (!empty && !(drain.deadline && now >= *drain.deadline)) continue;
    drain.phase = Drain::Phase::drained;
    done.push_back(key);
  }
  return done;
}

const Drain* Drains::find(const Key& key) const {
  const auto it = drains_.find(key);
  return it == drains_.end() ? nullptr : &it->second;
}

bool Drains::is_drained(const Key& key) const {
  const Drain* drain = find(key);
  return drain != nullptr && drain->phase == Drain::Phase::drained;
}

std::vector<Drains::Key> Drains::to_remove() const {
  std::vector<Key> keys;
  for (const auto& [key, drain] : drains_) {
    if (drain.phase == Drain::Phase::drained && drain.then_remove) keys.push_back(key);
  }
  return keys;
}

bool Drains::any_active() const {
  return std::any_of(drains_.begin(), drains_.end(), [](const auto& entry) {
    return entry.second.phase == Drain::Phase::draining || entry.second.then_remove;
  });
}

}  // namespace xebec
