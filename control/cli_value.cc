// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>

#include "control/cli_render.h"

namespace xebec {

const CliJson& value_at(const CliJson& object, const std::string& path) {
  static const CliJson nothing;
  const CliJson* value = &object;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (!value->is_object()) return nothing;
    const auto found = value->find(path.substr(at, end - at));
    if (found == value->end()) return nothing;
    value = &*found;
    at = end + 1;
  }
  return *value;
}

}  // namespace xebec
