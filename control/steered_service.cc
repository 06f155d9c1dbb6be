// SPDX-License-Identifier: BSD-2-Clause
// A service as the shim knows it.
#include "control/steered_service.h"

#include <algorithm>

namespace xebec {

std::vector<SteeredService> services_of(const Table& table) {
  std::vector<SteeredService> services;
  for (const Service& s : table.services())
    services.push_back({s.match(), s.sources, s.no_backend == NoBackend::pass});
  std::sort(services.begin(), services.end(),
            [](const SteeredService& a, const SteeredService& b) { return a.match < b.match; });
  return services;
}

}  // namespace xebec
