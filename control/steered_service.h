// SPDX-License-Identifier: BSD-2-Clause
// A service as the shim knows it: what its maps hold, and what of a table they are to hold.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/service_match.h"
#include "dataplane/source_rules.h"
#include "dataplane/table.h"

namespace xebec {

struct SteeredService {
  ServiceMatch match;
  std::shared_ptr<const SourceRules> sources;  ///< null: everybody may speak to it
  bool passes = false;  ///< no backend: the host's stack has its packets (NoBackend::pass)

  friend bool operator==(const SteeredService& a, const SteeredService& b) {
    if (a.match != b.match || a.passes != b.passes || (a.sources == nullptr) != (b.sources == nullptr))
      return false;
    return a.sources == b.sources ||
           (a.sources->allow() == b.sources->allow() && a.sources->deny() == b.sources->deny());
  }
};

/// What has to be steered for `table` to see it; sorted by match.
std::vector<SteeredService> services_of(const Table& table);

}  // namespace xebec
