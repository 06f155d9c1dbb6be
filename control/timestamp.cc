// SPDX-License-Identifier: BSD-2-Clause
#include "control/timestamp.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace xebec {

std::string timestamp(std::chrono::system_clock::time_point at) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(at);
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(at - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(whole)),
                     rest);
}

}  // namespace xebec
