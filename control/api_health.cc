// SPDX-License-Identifier: BSD-2-Clause
// Health: the checks and where they stand, how states came about, and one check right now.
#include "control/api_routes.h"

#include <optional>
#include <string>

#include <fmt/format.h>

#include "control/config_fields.h"
#include "control/report_health.h"

namespace xebec {
namespace {

HttpResponse list_checks(const Call& call) {
  const std::string* service = call.asked("service");
  if (service != nullptr && call.service(*service) == nullptr) return no_service(*service);
  Controller& c = call.controller;
  Json rows = Json::array();
  for (const ServiceConfig& s : c.config().services) {
    if (service != nullptr && *service != s.name) continue;
    for (auto& row : report_checks(c, s)) rows.push_back(row);
  }
  return answer(200, {{"schema", "xebec.health-list/1"},
                      {"running", c.health().runner().running()},
                      {"waiting", c.health().runner().waiting()},
                      {"checks", rows}});
}

HttpResponse list_transitions(const Call& call) {
  const std::string* service = call.asked("service");
  if (service != nullptr && call.service(*service) == nullptr) return no_service(*service);
  std::optional<IpAddress> backend;
  if (const std::string* text = call.asked("backend")) {
    backend = IpAddress::parse(*text);
    if (!backend) return not_an_address(*text);
  }
  return answer(200, {{"schema", "xebec.health-history/1"},
                      {"transitions",
                       report_transitions(call.controller, service == nullptr ? "" : *service, backend)}});
}

HttpResponse single_check(const Call& call) {
  const auto ticket = decimal(call.path[2]);
  const HealthMonitor::Answer* found = ticket ? call.controller.health().answer(*ticket) : nullptr;
  if (found == nullptr)
    return failure(404, "not_found",
                   fmt::format("health check {}: there is none of this number", call.path[2]));
  return answer(200, report_answer(*ticket, *found));
}

HttpResponse start_check(const Call& call) {
  const auto address = IpAddress::parse(call.path[3]);
  if (!address) return not_an_address(call.path[3]);
  const auto ticket = call.controller.check_backend(call.path[1], *address);
  if (!ticket) return failure(ticket.error());
  return answer(202, report_answer(*ticket, *call.controller.health().answer(*ticket)));
}

}  // namespace

std::span<const Route> health_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "health", Access::read, list_checks, "service"},
      {"GET", "health/history", Access::read, list_transitions, "service backend"},
      {"GET", "health/checks/*", Access::read, single_check},
      {"POST", "services/*/backends/*/check", Access::change, start_check},
  };
  return kRoutes;
}

}  // namespace xebec
