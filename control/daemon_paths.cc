// SPDX-License-Identifier: BSD-2-Clause
#include "control/daemon_paths.h"

#include <fmt/format.h>

namespace xebec {

std::string socket_path(const std::string& given, const std::string& configured,
                        const std::string& instance) {
  if (!given.empty()) return given;
  if (!configured.empty()) return configured;
  if (!instance.empty()) return fmt::format("/run/xebec/{}.sock", instance);
  return kDefaultSocket;
}

std::string lock_path(const std::string& socket) {
  return socket + ".lock";
}

}  // namespace xebec
