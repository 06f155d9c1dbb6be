// SPDX-License-Identifier: BSD-2-Clause
// Where the daemon's log lines go: stderr, syslog or a file that can be rotated.
#pragma once

#include <string>

#include <tl/expected.hpp>

namespace xebec {

/// target: "stderr", "syslog" or "file:PATH". level: trace, debug, info, warning, error. The error is a
/// sentence.
tl::expected<void, std::string> open_log(const std::string& target, const std::string& level);

/// Opens the file anew after it was renamed (SIGUSR1); nothing for the other targets.
void reopen_log();

}  // namespace xebec
