// SPDX-License-Identifier: BSD-2-Clause
// Where a daemon has its files, as daemon and tool both have to know it.
#pragma once

#include <string>

namespace xebec {

inline constexpr const char* kDefaultConfigFile = "/etc/xebec/xebec.json";
inline constexpr const char* kDefaultSocket = "/run/xebec/xebec.sock";
inline constexpr const char* kDefaultStateDirectory = "/var/lib/xebec";

/// The control socket: of the command line, else of the configuration, else named after the instance that the
/// command line gave, else the default. Each may be empty.
std::string socket_path(const std::string& given, const std::string& configured, const std::string& instance);

/// The lock that the daemon on `socket` holds for life.
std::string lock_path(const std::string& socket);

}  // namespace xebec
