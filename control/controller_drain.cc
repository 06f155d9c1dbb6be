// SPDX-License-Identifier: BSD-2-Clause
// Backends that are taken out of work and put back while connections run.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/controller.h"

namespace xebec {
namespace {

// A drain of many thousand flows is looked at as soon as a person would; counting is one addition a worker.
constexpr std::chrono::milliseconds kDrainInterval{200};

std::string flows_text(uint64_t flows) {
  return fmt::format("{} open connection{}", flows, flows == 1 ? "" : "s");
}

/// "60 s", "0.5 s"
std::string seconds_text(uint32_t ms) {
  return fmt::format("{:g} s", ms / 1000.0);
}

void audit(const Drains::Key& key, const Drains::Order& order) {
  spdlog::info("audit: drain of backend {} of {}{} by {}{}", key.second.to_string(), key.first,
               order.deadline
                   ? fmt::format(" within {:g} s", static_cast<double>(order.deadline->count()) / 1000)
                   : std::string(),
               order.by, order.then_remove ? ", to delete it then" : "");
}

/// Of what is no change of the configuration.
ChangeReport still_at(uint64_t generation, uint64_t config_generation) {
  ChangeReport report;
  report.generation = generation;
  report.config_generation = config_generation;
  return report;
}

/// What makes the backend's connections be translated in another way than before; null: nothing does.
const char* new_translation(const Config& before, const ServiceConfig& service_before, const Config& wanted,
                            const ServiceConfig& service, const BackendConfig& backend) {
  const auto& list = service_before.backends;
  const auto old = std::find_if(list.begin(), list.end(),
                                [&](const BackendConfig& b) { return b.address == backend.address; });
  if (old == list.end()) return nullptr;
  const Mode mode_before = old->mode.value_or(service_before.mode),
             mode = backend.mode.value_or(service.mode);
  if (!is_nat(mode_before) && !is_nat(mode)) return nullptr;
  if (mode_before != mode) return "mode";
  const auto port = [](const ServiceConfig& s, const BackendConfig& b) {
    return b.port != 0 ? b.port : s.port;
  };
  if (port(service_before, *old) != port(service, backend)) return "port";
  if (mode == Mode::nat && before.nat.addresses != wanted.nat.addresses) return "source (nat.addresses)";
  return nullptr;
}

}  // namespace

uint64_t Controller::open_flows(const Drains::Key& key) const {
  const auto it = builder_.status().find(key);
  if (it == builder_.status().end()) return 0;
  // Where no packet goes nothing has to be waited for.
  const ServiceConfig* service = find_service(served(), key.first);
  const bool kept = it->second.down && service != nullptr && service->on_down == OnDown::keep;
  if (!it->second.usable && !kept) return 0;
  return engine_->flows(it->second.id).open;
}

ChangeResult Controller::drain_backend(const std::string& name, const IpAddress& address, Drains::Order order,
                                       const ChangeTerms& terms) {
  const Drains::Key key{name, address};
  order.by = terms.by;
  if (leaving_.contains(key)) {  // by another deadline
    if (auto refused = refusal(terms)) return tl::unexpected(std::move(*refused));
    drains_.order(key, order, open_flows(key), std::chrono::steady_clock::now());
    audit(key, order);
    watch_drains();
    ChangeReport report = still_at(builder_.generation(), history_.generation());
    report.changed = true;
    return report;
  }
  // One that goes on gets another deadline; that it is to be deleted then, only putting it back to work takes back.
  const Drain* const going = drains_.find(key);
  if (going != nullptr) order.then_remove |= going->then_remove;
  const bool at_once = order.then_remove && open_flows(key) == 0;
  if (at_once) return remove_backend(name, address, terms);
  ChangeResult result = set_backend(name, address, {{"admin", "drain"}}, terms);
  if (!result) return result;
  result->changed |= going != nullptr;
  drains_.order(key, order, open_flows(key), std::chrono::steady_clock::now());
  audit(key, order);
  watch_drains();
  return result;
}

std::vector<std::string> Controller::ends_of_services(const Config& wanted) const {
  std::map<std::string, uint64_t> open;
  for (const auto& [key, status] : builder_.status()) open[key.first] += engine_->flows(status.id).open;
  for (const ServiceConfig& service : wanted.services) open.erase(service.name);
  std::vector<std::string> sentences;
  for (const auto& [name, flows] : open) {
    if (flows == 0) continue;
    sentences.push_back(
        fmt::format("{}: the service is removed, and its {} with it", name,
                    flows == 1 ? std::string("open connection ends") : flows_text(flows) + " end"));
  }
  for (const ServiceConfig& service : wanted.services) {
    const ServiceConfig* before = find_service(config_, service.name);
    if (before == nullptr) continue;
    for (const BackendConfig& backend : service.backends) {
      const char* what = new_translation(config_, *before, wanted, service, backend);
      const auto status = builder_.status().find({service.name, backend.address});
      if (what == nullptr || status == builder_.status().end()) continue;
      const uint64_t flows = engine_->flows(status->second.id).open;
      if (flows == 0) continue;
      sentences.push_back(
          fmt::format("{}: backend {} has another {}, and its {}", service.name, backend.address.to_string(),
                      what, flows == 1 ? std::string("open connection ends") : flows_text(flows) + " end"));
    }
  }
  return sentences;
}

std::vector<std::string> Controller::begin_leaving(const Config& config_before, const Leaving& before,
                                                   const std::string& by) {
  const auto now = std::chrono::steady_clock::now();
  std::vector<std::string> sentences;
  for (const ServiceConfig& service : config_.services) {
    for (const BackendConfig& backend : leaving_.of(service.name)) {
      const Drains::Key key{service.name, backend.address};
      const Drain* drain = drains_.find(key);
      std::chrono::milliseconds left(service.drain_ms);
      if (before.contains(key)) {
        const ServiceConfig* was = find_service(config_before, service.name);
        if (was != nullptr && service.drain_ms < was->drain_ms) shorten_drain(key, left, by);
        continue;
      }
      // One that was in drain before keeps its deadline, if that comes earlier.
      if (drain != nullptr && drain->deadline)
        left = std::min(left, std::chrono::ceil<std::chrono::milliseconds>(*drain->deadline - now));
      const uint64_t flows = open_flows(key);
      drains_.order(
          key, {.deadline = std::max(left, std::chrono::milliseconds(0)), .then_remove = false, .by = by},
          flows, now);
      const std::string sentence = fmt::format(
          "{}: backend {} is removed and drains: {}, {} at most", service.name, backend.address.to_string(),
          flows_text(flows), seconds_text(static_cast<uint32_t>(std::max<int64_t>(left.count(), 0))));
      spdlog::info("{}", sentence);
      if (flows != 0) sentences.push_back(sentence);
    }
  }
  watch_drains();
  return sentences;
}

/// One that leaves already, and whose service waits no longer than that for such as it now.
void Controller::shorten_drain(const Drains::Key& key, std::chrono::milliseconds term,
                               const std::string& by) {
  const Drain* drain = drains_.find(key);
  if (drain == nullptr || drain->phase == Drain::Phase::drained) return;
  const auto end = drain->since + term;
  if (drain->deadline && end >= *drain->deadline) return;
  const auto now = std::chrono::steady_clock::now();
  const auto left =
      std::max(std::chrono::ceil<std::chrono::milliseconds>(end - now), std::chrono::milliseconds(0));
  drains_.order(key, {.deadline = left, .then_remove = false, .by = by}, open_flows(key), now);
  spdlog::info("{}: backend {}, removed before, drains for {:g} s at most now", key.first,
               key.second.to_string(), static_cast<double>(left.count()) / 1000);
}

/// Drained, or nothing that is remembered goes there. A moment after its last new flow: workers have taken the new table by then.
bool Controller::has_left(const Leaving::Key& key) const {
  if (drains_.is_drained(key)) return true;
  const Drain* drain = drains_.find(key);
  const auto status = builder_.status().find(key);
  if (drain == nullptr || status == builder_.status().end()) return true;
  return std::chrono::steady_clock::now() - drain->since >= kDrainInterval &&
         engine_->flows(status->second.id).flows == 0;
}

tl::expected<void, std::string> Controller::forget_leaving(const std::vector<Leaving::Key>& gone) {
  Leaving leaving = leaving_;
  for (const Leaving::Key& key : gone) {
    leaving.erase(key);
    spdlog::info("backend {} of {}: has left", key.second.to_string(), key.first);
  }
  put_in_force(std::move(config_), std::move(leaving));
  follow_drains(nullptr);
  follow_destinations();
  follow_checks();
  return rebuild();
}

ChangeResult Controller::let_go(const Leaving::Key& key) {
  if (auto r = forget_leaving({key}); !r)
    return tl::unexpected(ChangeError{ChangeError::Kind::failed, "change not applied: " + r.error(), {}, {}});
  ChangeReport report = still_at(builder_.generation(), history_.generation());
  report.changed = true;
  return report;
}

void Controller::put_in_force(Config config, Leaving leaving) {
  config_ = std::move(config);
  leaving_ = std::move(leaving);
  served_ = leaving_.empty() ? Config{} : leaving_.with(config_);
}

void Controller::follow_drains(const std::set<AdminOrders::Key>* standing) {
  orders_.settle(config_, standing);
  drains_.follow(served(), std::chrono::steady_clock::now());
  watch_drains();
}

void Controller::watch_drains() {
  // One that was drained before it was left out is active no more, and has still to be seen off.
  if (drain_timer_ != 0 || (!drains_.any_active() && leaving_.empty())) return;
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
  std::vector<Leaving::Key> gone;
  for (const Leaving::Key& key : leaving_.keys()) {
    if (has_left(key)) gone.push_back(key);
  }
  if (!done.empty() || !gone.empty()) {
    if (auto r = forget_leaving(gone); !r) spdlog::error("table not updated after a drain: {}", r.error());
  }
  for (const Drains::Key& key : drains_.to_remove()) {
    // While another change waits to be confirmed it is refused, and tried again.
    const std::string by = fmt::format("xebecd, at the end of the drain by {}", drains_.find(key)->by);
    (void)remove_backend(key.first, key.second, {.by = by});
  }
}

}  // namespace xebec
