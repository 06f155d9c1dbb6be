// SPDX-License-Identifier: BSD-2-Clause
// `xebec monitor`: what happens, a line each, as it happens.
#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "control/cli_verbs.h"

namespace xebec {

struct MonitorArguments {
  std::string since;               ///< 10m, 90s, 2h, all; empty: from now on
  std::vector<std::string> types;  ///< none: all
  bool once = false;               ///< what there is, and no waiting for more
};

CLI::App* add_monitor_verb(CLI::App& app, MonitorArguments& arguments);

/// Until SIGINT or SIGTERM. A daemon that goes away is waited for, and said to be.
VerbResult monitor(const CliOptions& options, const MonitorArguments& arguments);

}  // namespace xebec
