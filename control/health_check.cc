// SPDX-License-Identifier: BSD-2-Clause
// Configuration -> the checks it asks for.
#include "control/health_check.h"

#include <fmt/format.h>

namespace xebec {

std::string HealthCheck::target() const {
  if (port == 0) return backend.to_string();
  return fmt::format("{}{}{}:{}", backend.is_v4() ? "" : "[", backend.to_string(), backend.is_v4() ? "" : "]",
                     port);
}

HealthCheck check_of(const Config& config, const ServiceConfig& service, const BackendConfig& backend) {
  HealthCheck check;
  check.service = service.name;
  check.backend = backend.address;
  check.settings = settle(health_of(config.defaults.health, service, backend));
  if (!is_passively_watchable(service, backend)) check.settings.passive = {};
  if (check.settings.type == HealthType::icmp || check.settings.type == HealthType::none) return check;
  const uint16_t own = backend.port != 0 ? backend.port : service.port;
  check.port = check.settings.port != 0 ? check.settings.port : own;
  return check;
}

std::vector<HealthCheck> checks_of(const Config& config) {
  std::vector<HealthCheck> checks;
  for (const ServiceConfig& service : config.services) {
    const auto add = [&](const BackendConfig& backend) {
      HealthCheck check = check_of(config, service, backend);
      if (backend.admin == Admin::maint || !check.settings.is_watched()) return;
      checks.push_back(std::move(check));
    };
    for (const BackendConfig& backend : service.backends) add(backend);
    for (const BackendConfig& fallback : service.fallback) add(fallback);
  }
  return checks;
}

}  // namespace xebec
