// SPDX-License-Identifier: BSD-2-Clause
// `xebec top`: services, backends, workers and drops with their rates, on a terminal.
#pragma once

#include <CLI/App.hpp>

#include "control/cli_verbs.h"

namespace xebec {

struct TopArguments {
  bool once = false;  ///< one frame as plain text
  double interval_s = 1;
  std::string view;  ///< empty: services
};

CLI::App* add_top_verb(CLI::App& app, TopArguments& arguments);

/// Until q, SIGINT, SIGTERM or SIGHUP. The terminal is then as it was.
VerbResult top(const CliOptions& options, const TopArguments& arguments);

}  // namespace xebec
