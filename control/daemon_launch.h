// SPDX-License-Identifier: BSD-2-Clause
// What the verbs that start a daemon have in common: which program, with which words, on which socket, and what its exit code says.
#pragma once

#include <string>
#include <vector>

#include "control/cli_error.h"

namespace xebec {

/// What the daemon is to be started with; empty: left to it.
struct DaemonArguments {
  std::string config;
  std::vector<std::string> interfaces;
  std::string instance;
  std::string socket;
  std::string log, log_level;
  double patience_s = 60;  ///< links that a driver resets take ten
  bool plain = false;      ///< debug: its log on stderr even where a screen could be

  /// Beyond which daemon is meant.
  bool says_how() const {
    return !config.empty() || !interfaces.empty() || !log.empty() || !log_level.empty();
  }
};

/// xebecd beside this program, or where a package puts it, else on the PATH; empty: nowhere.
std::string find_xebecd();
CliError no_xebecd();

/// The words of xebecd's command line.
std::vector<std::string> daemon_options(const DaemonArguments& arguments);

/// For exec(3), which changes none of it; `words` has to outlive it.
std::vector<char*> argv_of(const std::vector<std::string>& words);

/// Its socket: as its command line says, else as its configuration does. A file that cannot be read says nothing: xebecd will
/// tell why.
std::string daemon_socket(const DaemonArguments& arguments);

/// The exit codes of docs/xebecd.md as the tool's; xebecd has said why.
CliError daemon_refused(int code);

}  // namespace xebec
