// SPDX-License-Identifier: BSD-2-Clause
// `xebec debug`: the daemon in the foreground, and what it does beside its log.
#pragma once

#include "control/cli_verbs.h"
#include "control/daemon_launch.h"

namespace xebec {

/// On a terminal: xebecd as a child, its debug log in a file of its own, and `xebec top` with that log as fifth view until q or a
/// signal, which ends the daemon, too. If the daemon ends first, the end of its log is printed. Elsewhere, with a log target, or if
/// `plain`: becomes xebecd, with its debug log on stderr.
VerbResult debug_daemon(const CliOptions& options, const DaemonArguments& arguments);

}  // namespace xebec
