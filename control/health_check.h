// SPDX-License-Identifier: BSD-2-Clause
// One thing to check: a backend of a service, and how. What a configuration asks for is a list of these.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/config.h"

namespace xebec {

struct HealthCheck {
  std::string service;
  IpAddress backend;
  uint16_t port = 0;  ///< 0 for icmp
  std::optional<IpAddress>
      vip{};  ///< asked there, the way the service's packets go; absent: at the backend's own address
  HealthSettings settings;
  bool operator==(const HealthCheck&) const = default;

  /// State, history and answers belong to it, over every reload.
  using Key = std::pair<std::string, IpAddress>;
  Key key() const { return {service, backend}; }
  /// Where it goes: "10.0.0.1:80", "[2001:db8::1]:80", "10.0.0.1".
  std::string target() const;
};

/// How `backend`, one of the service's or its fallback, is checked; unless is_watched() it is not.
HealthCheck check_of(const Config& config, const ServiceConfig& service, const BackendConfig& backend);

/// Of all backends that are to be checked: those in maintenance are not, those of weight 0 are.
std::vector<HealthCheck> checks_of(const Config& config);

}  // namespace xebec
