// SPDX-License-Identifier: BSD-2-Clause
#include "control/leaving.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace xebec {
namespace {

std::set<IpAddress> addresses_of(const ServiceConfig& service) {
  std::set<IpAddress> addresses;
  for (const auto* list : {&service.backends, &service.fallback}) {
    for (const BackendConfig& backend : *list) addresses.insert(backend.address);
  }
  return addresses;
}

/// Whatever its service or the defaults say from now on, its connections go on as they began.
BackendConfig as_it_was(const Config& config, const ServiceConfig& service, const BackendConfig& backend) {
  BackendConfig kept = backend;
  kept.admin = Admin::drain;
  kept.mode = backend.mode.value_or(service.mode);
  kept.tunnel = backend.tunnel.over(service.tunnel).over(config.tunnel);
  kept.health = health_of(config.defaults.health, service, backend);
  if (!kept.health.type) kept.health.type = HealthType::none;
  if (!kept.health.passive) kept.health.passive = PassiveHealth{};
  return kept;
}

/// What another backend is called by now, it is not any more.
void give_up_ids(BackendConfig& backend, const ServiceConfig& before, const ServiceConfig& after) {
  if (before.quic != after.quic || !after.quic) backend.server_ids.clear();
  if (backend.server_ids.empty()) return;
  const auto plain = [&](const ServerId& id) { return canonical(after.quic->format, id); };
  std::set<ServerId> taken;
  for (const auto* list : {&after.backends, &after.fallback}) {
    for (const BackendConfig& b : *list) {
      for (const ServerId& id : b.server_ids) taken.insert(plain(id));
    }
  }
  std::erase_if(backend.server_ids, [&](const ServerId& id) { return taken.contains(plain(id)); });
}

/// A table may have it beside what the configuration has.
bool fits(const BackendConfig& backend, const Config& config) {
  if (!is_nat(*backend.mode)) return true;
  return std::none_of(config.services.begin(), config.services.end(),
                      [&](const ServiceConfig& s) { return s.match().vip.contains(backend.address); });
}

std::size_t backends_of(const Config& config) {
  std::size_t count = 0;
  for (const ServiceConfig& s : config.services) count += s.backends.size() + s.fallback.size();
  return count;
}

}  // namespace

Leaving Leaving::next(const Config& before, const Config& after) const {
  std::map<std::string_view, const ServiceConfig*> later;
  for (const ServiceConfig& service : after.services) later.emplace(service.name, &service);
  Leaving out;
  for (const ServiceConfig& service : before.services) {
    const auto found = later.find(service.name);
    if (found == later.end()) continue;
    const ServiceConfig& now = *found->second;
    if (now.match() != service.match() || now.stateless || now.drain_ms == 0) continue;
    const std::set<IpAddress> stay = addresses_of(now);
    const auto leave = [&](BackendConfig backend) {
      if (!fits(backend, after)) return;
      give_up_ids(backend, service, now);
      out.backends_.emplace(Key{service.name, backend.address}, std::move(backend));
    };
    for (const auto* list : {&service.backends, &service.fallback}) {
      for (const BackendConfig& backend : *list) {
        if (backend.admin != Admin::maint && !stay.contains(backend.address))
          leave(as_it_was(before, service, backend));
      }
    }
    for (BackendConfig& backend : of(service.name)) {
      if (!stay.contains(backend.address)) leave(std::move(backend));
    }
  }
  if (backends_of(after) + out.backends_.size() > kMaxBackends) return {};
  return out;
}

Config Leaving::with(const Config& config) const {
  Config joined = config;
  for (ServiceConfig& service : joined.services) {
    for (BackendConfig& backend : of(service.name)) service.backends.push_back(std::move(backend));
  }
  return joined;
}

std::vector<BackendConfig> Leaving::of(const std::string& service) const {
  std::vector<BackendConfig> found;
  for (auto it = backends_.lower_bound({service, IpAddress{}});
       it != backends_.end() && it->first.first == service; ++it)
    found.push_back(it->second);
  return found;
}

std::vector<Leaving::Key> Leaving::keys() const {
  std::vector<Key> all;
  for (const auto& [key, backend] : backends_) all.push_back(key);
  return all;
}

}  // namespace xebec
