// SPDX-License-Identifier: BSD-2-Clause
// start, stop and restart: the verbs that deal with the daemon's process and not with its API.
#pragma once

#include "control/cli_verbs.h"
#include "control/daemon_launch.h"

namespace xebec {

/// Starts xebecd in the background (by systemd, where its unit is there and nothing else was asked for) and returns when it
/// serves. One that runs already is left as it is.
VerbResult start_daemon(const CliOptions& options, const DaemonArguments& arguments);
/// Ends the one that holds the socket's lock, and waits for it.
VerbResult stop_daemon(const CliOptions& options, const DaemonArguments& arguments);
/// Stops and starts, with the arguments of the one that runs where none are given; a configuration that does not pass the check
/// stops nothing.
VerbResult restart_daemon(const CliOptions& options, const DaemonArguments& arguments);

}  // namespace xebec
