// SPDX-License-Identifier: BSD-2-Clause
// Configuration -> the checks it asks for.
#include "control/health_check.h"

#include <fmt/format.h>

namespace xebec {

std::string HealthCheck::target() const {
  const IpAddress& at = vip.value_or(backend);
  if (port == 0) return at.to_string();
  return fmt::format("{}{}{}:{}", at.is_v4() ? "" : "[", at.to_string(), at.is_v4() ? "" : "]", port);
}

namespace {

/// Of a prefix the second address: the first may stand for the network.
IpAddress address_to_ask(const ServiceConfig& service) {
  IpAddress vip = service.vip;
  if (!service.match().vip.is_single()) vip.bytes.back() |= 1;
  return vip;
}

}  // namespace

HealthCheck check_of(const Config& config, const ServiceConfig& service, const BackendConfig& backend) {
  HealthCheck check;
  check.service = service.name;
  check.backend = backend.address;
  check.settings = settle(health_of(config.defaults.health, service, backend));
  if (!is_passively_watchable(service, backend)) check.settings.passive = {};
  const bool translates = is_nat(backend.mode.value_or(service.mode));
  // One that is inherited and means nothing here is passed over.
  if (check.settings.to == HealthTo::vip && can_ask_vip(check.settings.type) && !translates)
    check.vip = address_to_ask(service);
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
