// SPDX-License-Identifier: BSD-2-Clause
// Where the daemon's log lines go: stderr, the journal, syslog or a file that can be rotated. One line an event, and of
// many that are alike some (control/log_rate.h).
#pragma once

#include <string>

#include <tl/expected.hpp>

namespace xebec {

/// target: "stderr", "journal", "syslog" or "file:PATH". level: trace, debug, info, warning, error, off. `instance`: the
/// daemon's name, a field of the journal. The error is a sentence.
tl::expected<void, std::string> open_log(const std::string& target, const std::string& level,
                                         const std::string& instance = "xebec");

/// Opens the file anew after it was renamed (SIGUSR1); nothing for the other targets.
void reopen_log();

/// Once a second: says how many similar lines were left out.
void tell_suppressed_lines();

}  // namespace xebec
