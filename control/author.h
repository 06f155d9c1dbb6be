// SPDX-License-Identifier: BSD-2-Clause
// Who makes a change, as the log and the history name him.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace xebec {

/// "WHAT uid 0 pid 4711 (xebec)"; the command's name as long as the process lives.
std::string author(std::string_view what, uid_t uid, pid_t pid);

}  // namespace xebec
