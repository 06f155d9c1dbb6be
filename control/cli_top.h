// SPDX-License-Identifier: BSD-2-Clause
// `xebec top`: services, backends, workers and drops with their rates, on a terminal.
#pragma once

#include <functional>
#include <string>
#include <vector>

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

/// What `debug` puts beside it.
struct TopBeside {
  std::function<bool()> lives;                    ///< false ends it
  std::function<std::vector<std::string>()> log;  ///< the fifth view: lines, the latest first
};

/// The same with the defaults of its arguments, on a terminal that can_draw_on_terminal().
VerbResult top_beside(const CliOptions& options, const TopBeside& beside);

/// Standard input and output are a terminal that moves its cursor.
bool can_draw_on_terminal();

}  // namespace xebec
