// SPDX-License-Identifier: BSD-2-Clause
// start, stop, restart and debug: the verbs that deal with the daemon's process and not with its API.
#pragma once

#include <string>
#include <vector>

#include "control/cli_verbs.h"

namespace xebec {

/// What the daemon is to be started with; empty: left to it.
struct DaemonArguments {
  std::string config;
  std::vector<std::string> interfaces;
  std::string instance;
  std::string socket;
  std::string log, log_level;
  double patience_s = 60;  ///< links that a driver resets take ten

  /// Beyond which daemon is meant.
  bool says_how() const {
    return !config.empty() || !interfaces.empty() || !log.empty() || !log_level.empty();
  }
};

/// Starts xebecd in the background (by systemd, where its unit is there and nothing else was asked for) and returns when it
/// serves. One that runs already is left as it is.
VerbResult start_daemon(const CliOptions& options, const DaemonArguments& arguments);
/// Ends the one that holds the socket's lock, and waits for it.
VerbResult stop_daemon(const CliOptions& options, const DaemonArguments& arguments);
/// Stops and starts, with the arguments of the one that runs where none are given; a configuration that does not pass the check
/// stops nothing.
VerbResult restart_daemon(const CliOptions& options, const DaemonArguments& arguments);
/// Becomes xebecd, in the foreground and with its debug log on stderr.
VerbResult debug_daemon(const CliOptions& options, const DaemonArguments& arguments);

}  // namespace xebec
