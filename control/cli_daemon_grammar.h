// SPDX-License-Identifier: BSD-2-Clause
// The part of the grammar that is about the daemon's process: start, stop, restart, debug.
#pragma once

#include <functional>

#include "control/cli_daemon.h"

namespace CLI {
class App;
}

namespace xebec {

/// A chosen verb goes to `chosen`. The arguments live as long as `app` is used.
void add_daemon_verbs(CLI::App& app, const CliOptions& options, DaemonArguments& arguments,
                      std::function<VerbResult(const Verbs&)>& chosen);

}  // namespace xebec
