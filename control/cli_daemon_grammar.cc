// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_daemon_grammar.h"

#include <CLI/CLI.hpp>

#include "control/cli_debug.h"

namespace xebec {
namespace {

using Deed = VerbResult (*)(const CliOptions&, const DaemonArguments&);

struct DaemonVerb {
  const char* name;
  const char* what;
  Deed deed;
  bool starts;  ///< takes what a daemon is started with
};

constexpr DaemonVerb kVerbs[] = {
    {"start", "Start xebecd in the background, and wait until it serves", start_daemon, true},
    {"stop", "End the running xebecd, and wait until it has", stop_daemon, false},
    {"restart", "Stop and start, with the arguments of the one that runs unless others are given",
     restart_daemon, true},
    {"debug", "Run xebecd in the foreground, with top and its debug log", debug_daemon, true},
};

void add_arguments(CLI::App* verb, const DaemonVerb& row, DaemonArguments& arguments) {
  verb->add_option("-c,--config", arguments.config, "its configuration FILE")->type_name("FILE");
  verb->add_option("--instance", arguments.instance, "its name, if several run")->type_name("NAME");
  if (row.deed == debug_daemon) {
    verb->add_flag("--no-top", arguments.plain, "only the log, on standard error");
  } else {
    verb->add_option("--wait", arguments.patience_s, "seconds to wait for it")
        ->capture_default_str()
        ->check(CLI::Range(0.001, 3600.0));
  }
  if (!row.starts) return;
  verb->add_option("-i,--interface", arguments.interfaces, "serve this interface, if the file names none")
      ->type_name("IF");
  verb->add_option("--log", arguments.log, "stderr, journal, syslog or file:PATH")->type_name("TARGET");
  verb->add_option("--log-level", arguments.log_level, "how much to log")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}));
}

}  // namespace

void add_daemon_verbs(CLI::App& app, const CliOptions& options, DaemonArguments& arguments,
                      std::function<VerbResult(const Verbs&)>& chosen) {
  for (const DaemonVerb& row : kVerbs) {
    CLI::App* verb = app.add_subcommand(row.name, row.what);
    add_arguments(verb, row, arguments);
    verb->callback([&app, &options, &arguments, &chosen, deed = row.deed] {
      // A socket that was asked for is the daemon's, too; the default is not: the configuration may name another.
      if (app.get_option("--socket")->count() > 0) arguments.socket = options.socket;
      chosen = [&options, &arguments, deed](const Verbs&) { return deed(options, arguments); };
    });
  }
}

}  // namespace xebec
