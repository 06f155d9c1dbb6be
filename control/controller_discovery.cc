// SPDX-License-Identifier: BSD-2-Clause
// Backends that a name tells (control/discovery.h) become a change of the configuration like any other: checked, in the history,
// audited under the name's.
#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/controller.h"

namespace xebec {

bool Controller::take_discovered(const std::string& name, const std::vector<DiscoveredBackend>& found) {
  Config wanted = config_;
  ServiceConfig* const service = find_service(wanted, name);
  if (service == nullptr || !service->backends_from) return true;
  const std::string by = std::string(ConfigHistory::kByDns) + service->backends_from->name;
  const bool says_weights = service->backends_from->type == DnsRecords::srv;
  std::vector<BackendConfig> backends;
  for (const BackendConfig& b : service->backends) {
    if (!b.discovered) backends.push_back(b);
  }
  const std::size_t written = backends.size();
  for (const DiscoveredBackend& one : found) {
    const auto has = [&](const BackendConfig& b) { return b.address == one.address; };
    // What an operator wrote of the same address stands.
    if (std::any_of(backends.begin(), backends.begin() + static_cast<std::ptrdiff_t>(written), has)) continue;
    const auto known = std::find_if(service->backends.begin(), service->backends.end(), has);
    BackendConfig b;
    b.weight = one.weight;
    if (known != service->backends.end()) b = *known;  // with what was set of it since: maintenance, a weight
    if (says_weights) b.weight = one.weight;
    b.address = one.address;
    b.port = one.port == service->port && service->last_port == 0 ? uint16_t{0} : one.port;
    b.discovered = true;
    backends.push_back(std::move(b));
  }
  if (service->backends == backends) {
    refused_answers_.erase(name);
    return true;
  }
  service->backends = std::move(backends);
  const ChangeResult result = apply(std::move(wanted), {.by = by});
  if (result) {
    refused_answers_.erase(name);
    return true;
  }
  const bool again =
      result.error().kind == ChangeError::Kind::conflict;  // while a change waits to be confirmed
  if (again) return false;
  // Told once for each reason: it is asked for again, and answered so again, with every TTL.
  std::string& refused = refused_answers_[name];
  if (refused != result.error().message)
    spdlog::error("{}: service {} keeps the backends it has: {}", by, name, result.error().message);
  refused = result.error().message;
  return true;
}

}  // namespace xebec
