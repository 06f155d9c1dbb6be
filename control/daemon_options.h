// SPDX-License-Identifier: BSD-2-Clause
// The command line of xebecd.
#pragma once

#include <string>
#include <vector>

#include "control/daemon_paths.h"

namespace CLI {
class App;
}

namespace xebec {

struct DaemonOptions {
  std::string config_file = kDefaultConfigFile;
  bool config_given = false;
  std::vector<std::string> interfaces;
  bool check = false;
  bool foreground = false;
  bool daemonize = false;
  bool grammar = false;
  std::string pidfile;
  std::string log = "stderr";
  std::string log_level = "info";
  std::string socket;
  std::string instance;
  std::string state_dir = kDefaultStateDirectory;
};

/// Both outlive the parsing.
void define_options(CLI::App& app, DaemonOptions& options);

/// After the parsing: what was given, and paths that mean the same in another directory.
void settle_options(const CLI::App& app, DaemonOptions& options);

}  // namespace xebec
