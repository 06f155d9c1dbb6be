// SPDX-License-Identifier: BSD-2-Clause
// Backends that are taken out of work and put back while connections run.
#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/controller.h"

namespace xebec {
namespace {

// A drain of many thousand flows is looked at as soon as a person would; counting is one addition a worker.
constexpr std::chrono::milliseconds kDrainInterval{200};

}  // namespace

uint64_t Controller::open_flows(const Drains::Key& key) const {
  const auto it = builder_.status().find(key);
  // Where no packet goes nothing has to be waited for.
  if (it == builder_.status().end() || !it->second.usable) return 0;
  return engine_->flows(it->second.id).open;
}

ChangeResult Controller::drain_backend(const std::string& name, const IpAddress& address, Drains::Order order,
                                       const ChangeTerms& terms) {
  const Drains::Key key{name, address};
  order.by = terms.by;
  const bool at_once = order.then_remove && open_flows(key) == 0;
  if (at_once) return remove_backend(name, address, terms);
  ChangeResult result = set_backend(name, address, {{"admin", "drain"}}, terms);
  if (!result) return result;
  drains_.order(key, order, open_flows(key), std::chrono::steady_clock::now());
  spdlog::info("audit: drain of backend {} of {}{} by {}{}", address.to_string(), name,
               order.deadline
                   ? fmt::format(" within {:g} s", static_cast<double>(order.deadline->count()) / 1000)
                   : std::string(),
               terms.by, order.then_remove ? ", to delete it then" : "");
  watch_drains();
  return result;
}

void Controller::follow_drains(const std::set<AdminOrders::Key>* standing) {
  orders_.settle(config_, standing);
  drains_.follow(config_, std::chrono::steady_clock::now());
  watch_drains();
}

void Controller::watch_drains() {
  if (drain_timer_ != 0 || !drains_.any_active()) return;
  drain_timer_ = loop_.after(kDrainInterval, [this] {
    drain_timer_ = 0;
    look_at_drains();
    watch_drains();
  });
}

void Controller::look_at_drains() {
  const auto done = drains_.observe([this](const Drains::Key& key) { return open_flows(key); },
                                    std::chrono::steady_clock::now());
  for (const Drains::Key& key : done) {
    const Drain& drain = *drains_.find(key);
    const std::string rest =
        drain.flows == 0 ? "" : fmt::format(", {} flows were let go at the deadline", drain.flows);
    spdlog::info("backend {} of {}: drained{}", key.second.to_string(), key.first, rest);
  }
  if (!done.empty()) {
    if (auto r = rebuild(); !r) spdlog::error("table not updated after a drain: {}", r.error());
  }
  for (const Drains::Key& key : drains_.to_remove()) {
    // While another change waits to be confirmed it is refused, and tried again.
    const std::string by = fmt::format("xebecd, at the end of the drain by {}", drains_.find(key)->by);
    (void)remove_backend(key.first, key.second, {.by = by});
  }
}

}  // namespace xebec
