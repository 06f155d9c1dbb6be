// SPDX-License-Identifier: BSD-2-Clause
// What a change changes, in the words of the configuration.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/config.h"

namespace xebec {

/// One line of a diff. path: "services/web/backends/10.0.1.11/weight": services by name, backends by address.
struct ConfigChange {
  enum class Op : uint8_t { add, remove, change };
  Op op = Op::change;
  std::string path;
  nlohmann::ordered_json from;  ///< null for add
  nlohmann::ordered_json to;    ///< null for remove
};

std::string_view to_string(ConfigChange::Op op);

/// In document order: what `after` changes or adds, then what it removes. Empty if they mean the same.
std::vector<ConfigChange> diff(const Config& before, const Config& after);

}  // namespace xebec
