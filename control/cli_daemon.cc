// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_daemon.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "control/cli_file.h"
#include "control/daemon_launch.h"
#include "control/daemon_paths.h"
#include "control/daemon_process.h"
#include "control/netdev.h"

namespace xebec {
namespace {

using Arguments = std::vector<std::string>;
using std::chrono::milliseconds;

milliseconds patience(const DaemonArguments& arguments) {
  return milliseconds(static_cast<int64_t>(arguments.patience_s * 1000));
}

/// Of a program that ended; 128 and more: by a signal.
struct Ended {
  bool in_time = true;
  int code = 0;
};

/// Runs a program with our streams. The error is the errno of what kept it from starting.
tl::expected<Ended, int> run_program(const Arguments& words, const std::string& directory,
                                     milliseconds patience, bool quiet = false) {
  const std::vector<char*> argv = argv_of(words);
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) return tl::unexpected(errno);
  if (child == 0) {
    if (quiet && (!std::freopen("/dev/null", "w", stdout) || !std::freopen("/dev/null", "w", stderr)))
      _exit(127);
    if (!directory.empty() && chdir(directory.c_str()) != 0) _exit(127);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  pollfd end{fd, POLLIN, 0};
  const bool in_time = fd < 0 || poll(&end, 1, static_cast<int>(patience.count())) > 0;
  if (fd >= 0) close(fd);
  if (!in_time) return Ended{false, 0};
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return Ended{true, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)};
}

Arguments with(std::string first, std::initializer_list<const char*> then, const Arguments& last) {
  Arguments words{std::move(first)};
  words.insert(words.end(), then.begin(), then.end());
  words.insert(words.end(), last.begin(), last.end());
  return words;
}

/// sd_booted(3).
bool systemd_runs() {
  std::error_code error;
  return std::filesystem::is_directory("/run/systemd/system", error);
}

VerbResult systemctl(const char* verb, const std::string& unit, const DaemonArguments& arguments) {
  narrate(fmt::format("systemctl {} {}", verb, unit));
  const auto done = run_program({"systemctl", verb, unit}, {}, patience(arguments));
  if (!done)
    return tl::unexpected(CliError{"failed", fmt::format("systemctl: {}", std::strerror(done.error())), ""});
  const std::string what = fmt::format("systemctl {} {}", verb, unit);
  if (!done->in_time)
    return tl::unexpected(CliError{"timeout", what + ": has not ended yet", "systemctl status " + unit});
  if (done->code == 0) return 0;
  return tl::unexpected(CliError{"failed", fmt::format("{}: exit code {}", what, done->code),
                                 fmt::format("systemctl status {0}; journalctl -u {0}", unit)});
}

std::string unit_for(const DaemonArguments& arguments) {
  return arguments.instance.empty() ? "xebecd.service" : fmt::format("xebecd@{}.service", arguments.instance);
}

/// True: systemd is there and has the unit that is meant.
bool unit_is_there(const DaemonArguments& arguments) {
  if (!systemd_runs()) return false;
  const auto cat =
      run_program({"systemctl", "cat", unit_for(arguments)}, {}, patience(arguments), /*quiet=*/true);
  return cat && cat->in_time && cat->code == 0;
}

tl::expected<std::unique_ptr<DaemonProcess>, CliError> find(const std::string& socket) {
  auto found = DaemonProcess::find(socket);
  if (found) return std::move(*found);
  const bool denied =
      access(lock_path(socket).c_str(), F_OK) != 0 || access(lock_path(socket).c_str(), R_OK) != 0;
  return tl::unexpected(
      CliError{denied ? "permission" : "failed", found.error(), "run as root, where xebecd runs"});
}

int report(const CliOptions& options, const char* what, pid_t pid, const std::string& socket) {
  if (options.output == Output::json) {
    const CliJson json{{"schema", "xebec.daemon/1"}, {"state", what}, {"pid", pid}, {"socket", socket}};
    fmt::print("{}\n", json.dump(options.pretty ? 2 : -1, ' ', false, CliJson::error_handler_t::replace));
  } else if (options.output == Output::tsv) {
    fmt::print("state\tpid\tsocket\n{}\t{}\t{}\n", what, pid, socket);
  } else {
    fmt::print("{}: xebecd, pid {}, socket {}\n", what, pid, socket);
  }
  return 0;
}

VerbResult launch(const CliOptions& options, const Arguments& daemon_options, const std::string& directory,
                  const std::string& socket, milliseconds patience) {
  const std::string xebecd = find_xebecd();
  if (xebecd.empty()) return tl::unexpected(no_xebecd());
  const auto done = run_program(with(xebecd, {"--daemon"}, daemon_options), directory, patience);
  if (!done)
    return tl::unexpected(CliError{"failed", fmt::format("{}: {}", xebecd, std::strerror(done.error())), ""});
  if (!done->in_time) {
    return tl::unexpected(CliError{"timeout",
                                   fmt::format("xebecd: does not serve after {} s", patience.count() / 1000),
                                   "it is left to go on; xebec stop ends it"});
  }
  if (done->code != 0) return tl::unexpected(daemon_refused(done->code));
  // It says so once all is in place; that it answers is seen with our own eyes.
  if (const auto answer = Client(socket, options.timeout_s).request("GET", "/v1/status"); !answer)
    return tl::unexpected(answer.error());
  const auto process = find(socket);
  if (!process) return tl::unexpected(process.error());
  return report(options, "started", *process ? (*process)->pid() : 0, socket);
}

VerbResult end(const DaemonProcess& process, milliseconds patience) {
  if (const int error = process.signal(SIGTERM); error != 0 && error != ESRCH) {
    return tl::unexpected(CliError{error == EPERM ? "permission" : "failed",
                                   fmt::format("stop pid {}: {}", process.pid(), std::strerror(error)),
                                   "run as root"});
  }
  if (!process.wait(patience)) {
    return tl::unexpected(CliError{"timeout",
                                   fmt::format("stop: pid {} has not ended after {:g} s", process.pid(),
                                               static_cast<double>(patience.count()) / 1000),
                                   "it was told to; a longer wait: --wait SECONDS"});
  }
  return 0;
}

/// What follows an option of a command line, each time: "-c FILE", "--config FILE", "--config=FILE".
std::vector<std::string> values_of(const Arguments& words, const std::string& brief,
                                   const std::string& name) {
  std::vector<std::string> values;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if ((words[i] == brief || words[i] == name) && i + 1 < words.size()) {
      values.push_back(words[++i]);
    } else if (words[i].starts_with(name + "=")) {
      values.push_back(words[i].substr(name.size() + 1));
    }
  }
  return values;
}

/// The interfaces that xebecd would be started on and that are not there; its check is about the file alone.
std::vector<std::string> missing_interfaces(const Arguments& words, const std::string& directory) {
  const auto files = values_of(words, "-c", "--config");
  const std::filesystem::path file = files.empty() ? kDefaultConfigFile : files.back();
  std::vector<std::string> names;
  if (const auto config = read_config_file((directory / file).string())) {
    for (const InterfaceConfig& i : config->interfaces) names.push_back(i.name);
  }
  if (names.empty()) names = values_of(words, "-i", "--interface");
  std::erase_if(names, [](const std::string& name) { return interface_index(name) != 0; });
  return names;
}

CliError runs_elsewhere(const DaemonProcess& process) {
  return {"conflict", fmt::format("restart: pid {} runs in another network namespace", process.pid()),
          "run xebec there, too: ip netns exec NAME xebec restart"};
}

}  // namespace

VerbResult start_daemon(const CliOptions& options, const DaemonArguments& arguments) {
  const std::string socket = daemon_socket(arguments);
  const auto running = find(socket);
  if (!running) return tl::unexpected(running.error());
  if (*running) return report(options, "running already", (*running)->pid(), socket);
  if (!arguments.says_how() && arguments.socket.empty() && unit_is_there(arguments))
    return systemctl("start", unit_for(arguments), arguments);
  return launch(options, daemon_options(arguments), {}, socket, patience(arguments));
}

VerbResult stop_daemon(const CliOptions& options, const DaemonArguments& arguments) {
  const std::string socket = daemon_socket(arguments);
  const auto running = find(socket);
  if (!running) return tl::unexpected(running.error());
  if (!*running) return report(options, "not running", 0, socket);
  if (const std::string unit = (*running)->unit(); !unit.empty() && systemd_runs())
    return systemctl("stop", unit, arguments);
  if (const auto ended = end(**running, patience(arguments)); !ended) return ended;
  return report(options, "stopped", (*running)->pid(), socket);
}

VerbResult restart_daemon(const CliOptions& options, const DaemonArguments& arguments) {
  const std::string socket = daemon_socket(arguments);
  const auto running = find(socket);
  if (!running) return tl::unexpected(running.error());
  if (!*running) return start_daemon(options, arguments);
  const DaemonProcess& process = **running;
  if (const std::string unit = process.unit(); !unit.empty() && systemd_runs())
    return systemctl("restart", unit, arguments);
  if (!process.shares_our_network()) return tl::unexpected(runs_elsewhere(process));
  Arguments words = daemon_options(arguments);
  std::string directory;
  if (!arguments.says_how()) {  // as it was started
    words = process.arguments();
    if (words.empty())
      return tl::unexpected(CliError{"permission", "restart: cannot read its command line", "run as root"});
    words.erase(words.begin());
    std::erase_if(words,
                  [](const std::string& word) { return word == "--foreground" || word == "--daemon"; });
    directory = process.directory();
  }
  const std::string xebecd = find_xebecd();
  if (xebecd.empty()) return tl::unexpected(no_xebecd());
  const auto check = run_program(with(xebecd, {"--check"}, words), directory, patience(arguments),
                                 options.output == Output::json);
  if (!check || !check->in_time || check->code != 0) {
    CliError error = daemon_refused(check && check->in_time ? check->code : 1);
    error.message += "; nothing was stopped";
    return tl::unexpected(std::move(error));
  }
  if (const auto missing = missing_interfaces(words, directory); !missing.empty()) {
    return tl::unexpected(
        CliError{"invalid_config",
                 fmt::format("restart: no such interface: {}; nothing was stopped", fmt::join(missing, ", ")),
                 "ip link show"});
  }
  if (const auto ended = end(process, patience(arguments)); !ended) return ended;
  return launch(options, words, directory, socket, patience(arguments));
}

}  // namespace xebec
