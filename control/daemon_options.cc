// SPDX-License-Identifier: BSD-2-Clause
#include "control/daemon_options.h"

#include <filesystem>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace xebec {

void define_options(CLI::App& app, DaemonOptions& o) {
  app.add_option("-c,--config", o.config_file, "configuration FILE")
      ->capture_default_str()
      ->type_name("FILE");
  app.add_option("-i,--interface", o.interfaces, "serve this interface, if the file names none")
      ->type_name("IF");
  app.add_flag("--check", o.check, "check the configuration and exit");
  auto* fore = app.add_flag("--foreground", o.foreground, "stay in the foreground (the default)");
  app.add_flag("--daemon", o.daemonize, "go into the background once everything works")->excludes(fore);
  app.add_option("--pidfile", o.pidfile, "write the process id here")->type_name("FILE");
  app.add_option("--log", o.log, "stderr, journal, syslog or file:PATH")
      ->capture_default_str()
      ->type_name("TARGET");
  app.add_option("--log-level", o.log_level, "trace, debug, info, warning, error, off")
      ->capture_default_str()
      ->type_name("LEVEL");
  app.add_option("--socket", o.socket, fmt::format("control socket [{}]", kDefaultSocket))->type_name("PATH");
  app.add_option("--instance", o.instance, "name of this daemon, if several run")->type_name("NAME");
  app.add_option("--state-dir", o.state_dir, "where the installation's hash seed is kept")
      ->capture_default_str()
      ->type_name("DIR");
  app.add_flag("--grammar", o.grammar, "print these options as JSON")->group("");  // for the manual's making
  app.set_version_flag("--version", std::string("xebecd ") + XEBEC_VERSION);
}

void settle_options(const CLI::App& app, DaemonOptions& o) {
  constexpr std::string_view kFile = "file:";
  o.config_given = app.get_option("--config")->count() > 0;
  // A daemon leaves the directory it was started in.
  for (std::string* path : {&o.config_file, &o.pidfile, &o.socket, &o.state_dir}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path);
  }
  if (std::string_view(o.log).starts_with(kFile))
    o.log = std::string(kFile) + std::filesystem::absolute(o.log.substr(kFile.size())).string();
}

}  // namespace xebec
