// SPDX-License-Identifier: BSD-2-Clause
// Backends: what there is, and changes of one.
#include "control/api_routes.h"

#include <chrono>

#include <fmt/format.h>

namespace xebec {
namespace {

HttpResponse list_backends(const Call& call) {
  const std::string* wanted = call.asked("service");
  if (wanted != nullptr && call.service(*wanted) == nullptr) return no_service(*wanted);
  Json rows = Json::array();
  for (const ServiceConfig& s : call.controller.config().services) {
    if (wanted != nullptr && *wanted != s.name) continue;
    for (auto& row : report_backends(call.controller, s)) rows.push_back(row);
  }
  return answer(200, {{"schema", "xebec.backend-list/1"}, {"backends", rows}});
}

HttpResponse add_backend(const Call& call) {
  const auto body = parse_body(call.request.body);
  return body ? answer(call.controller.add_backend(call.path[1], *body, call.terms()), 201) : body.error();
}

HttpResponse set_backend(const Call& call) {
  const auto address = IpAddress::parse(call.path[3]);
  if (!address) return not_an_address(call.path[3]);
  const auto body = parse_body(call.request.body);
  if (!body) return body.error();
  return answer(call.controller.set_backend(call.path[1], *address, *body, call.terms()), 200);
}

HttpResponse drain_address(const Call& call, const IpAddress& address, bool then_remove) {
  const auto deadline_ms = number_in_query(call, "deadline_ms", 0, kLongestTermMs);
  if (!deadline_ms) return deadline_ms.error();
  Drains::Order order;
  order.then_remove = then_remove;
  if (*deadline_ms != 0) order.deadline = std::chrono::milliseconds(*deadline_ms);
  return answer(call.controller.drain_backend(call.path[1], address, order, call.terms()), 200);
}

HttpResponse drain_backend(const Call& call) {
  const auto address = IpAddress::parse(call.path[3]);
  return address ? drain_address(call, *address, false) : not_an_address(call.path[3]);
}

HttpResponse remove_backend(const Call& call) {
  const auto address = IpAddress::parse(call.path[3]);
  if (!address) return not_an_address(call.path[3]);
  if (call.flag("drain")) return drain_address(call, *address, true);
  // It would be deleted at once: most likely the other half was forgotten.
  if (call.asked("deadline_ms") != nullptr)
    return failure(400, "usage", "deadline_ms means nothing without drain=1");
  return answer(call.controller.remove_backend(call.path[1], *address, call.terms()), 200);
}

}  // namespace

std::span<const Route> backend_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "backends", Access::read, list_backends, "service"},
      {"POST", "services/*/backends", Access::change, add_backend},
      {"PATCH", "services/*/backends/*", Access::change, set_backend},
      {"DELETE", "services/*/backends/*", Access::change, remove_backend, "drain deadline_ms"},
      {"POST", "services/*/backends/*/drain", Access::change, drain_backend, "deadline_ms"},
  };
  return kRoutes;
}

}  // namespace xebec
