// SPDX-License-Identifier: BSD-2-Clause
// xebecd, the daemon: options -> configuration -> lock -> preflight -> controller -> API -> loop, and back.
#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <CLI/CLI.hpp>

#include "control/access.h"
#include "control/author.h"
#include "control/confinement.h"
#include "control/controller.h"
#include "control/daemon_options.h"
#include "control/daemon_paths.h"
#include "control/grammar_json.h"
#include "control/impatient_stop.h"
#include "control/installation.h"
#include "control/log.h"
#include "control/pages.h"
#include "control/supervision.h"
#include "control/tcp_listener.h"
#include "control/unix_listener.h"

namespace {

using namespace xebec;

// Exit codes of daemon(7) and the LSB init-script specification; docs/xebecd.md lists them.
constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr int kExitPermission = 4;
constexpr int kExitConfig = 6;
constexpr int kExitRunning = 7;

int complain(int code, const std::string& message, const std::string& hint = {}) {
  fmt::print(stderr, "xebecd: error: {}\n", message);
  if (!hint.empty()) fmt::print(stderr, "hint: {}\n", hint);
  return code;
}

/// Empty: go on. Otherwise the exit code (0 after --help and --version).
std::optional<int> parse_options(int argc, char** argv, DaemonOptions& o) {
  CLI::App app{"Xebec, a layer-4 load balancer on AF_XDP", "xebecd"};
  define_options(app, o);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return complain(kExitUsage, e.what(), "xebecd --help");
  }
  settle_options(app, o);
  if (!o.grammar) return std::nullopt;
  fmt::print("{}\n", grammar_json(app).dump(2));
  return 0;
}

std::optional<int> load_config(const DaemonOptions& o, ConfigFile& file, Config& config) {
  const auto text = file.read();
  if (!text) {
    if (text.error().code != ENOENT || o.config_given || o.interfaces.empty()) {
      return complain(kExitConfig, text.error().message, "-c FILE names another, -i IF starts without one");
    }
  } else {
    auto read = read_config(*text, o.config_file);
    if (!read) {
      for (const Diagnostic& d : read.error()) fmt::print(stderr, "{}\n", d.to_string());
      return complain(kExitConfig, fmt::format("{}: {} error{}", o.config_file, read.error().size(),
                                               read.error().size() == 1 ? "" : "s"));
    }
    config = std::move(*read);
    file.took(*text);
  }
  if (config.interfaces.empty()) {
    for (const std::string& name : o.interfaces) {
      InterfaceConfig interface;
      interface.name = name;
      config.interfaces.push_back(std::move(interface));
    }
  }
  if (!o.instance.empty()) config.instance = o.instance;
  if (const Diagnostics problems = validate(config); !problems.empty()) {
    for (const Diagnostic& d : problems) fmt::print(stderr, "{}\n", d.to_string());
    return complain(kExitConfig, "configuration rejected");
  }
  if (config.interfaces.empty()) {
    return complain(kExitConfig, "no interface to serve",
                    "\"interfaces\": [{\"name\": \"eth0\"}], or -i eth0");
  }
  return std::nullopt;
}

/// What keeps a --daemon from starting is told where it was started, too.
void log_finding(const DaemonOptions& o, const Finding& finding) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::info, spdlog::level::warn,
                                                   spdlog::level::err};
  spdlog::log(kLevels[static_cast<std::size_t>(finding.level)], "preflight: {}", to_string(finding));
  if (o.daemonize && finding.level == Finding::Level::fail) fmt::print(stderr, "{}\n", to_string(finding));
}

/// TERM, INT, HUP and USR1 as a descriptor; blocked for every thread that is started from here on.
int signal_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, s);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void on_signal(int fd, EventLoop& loop, Controller& controller, Supervision& supervision) {
  signalfd_siginfo info{};
  while (read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    switch (info.ssi_signo) {
      case SIGHUP:
        supervision.before_reload();
        if (const auto r = controller.reload(
                {.by = author("SIGHUP of", info.ssi_uid, static_cast<pid_t>(info.ssi_pid))});
            r) {
          spdlog::info("reload: {} change{}, generation {}", r->diff.size(), r->diff.size() == 1 ? "" : "s",
                       r->generation);
          for (const std::string& w : r->warnings) spdlog::warn("reload: {}", w);
        } else {
          for (const Diagnostic& d : r.error().diagnostics) spdlog::error("reload: {}", d.to_string());
          spdlog::error("reload: nothing changed: {}", r.error().message);
        }
        supervision.after_reload();
        break;
      case SIGUSR1:
        reopen_log();
        break;
      default:
        spdlog::info("signal {}: stopping", info.ssi_signo);
        loop.stop();
        return;  // what comes behind it is for ImpatientStop
    }
  }
}

/// The parent of a --daemon start: waits for the child's word that all is well.
int wait_for_child(int read_end) {
  char code = kExitFailure;
  if (read(read_end, &code, 1) != 1) code = kExitFailure;
  return code;
}

/// Once nothing is left to complain about on the terminal that started us.
void let_go_of_terminal() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
  close(null);
}

/// Forks into the background. In the child: the descriptor to report 0 or an exit code on. In the parent:
/// does not return.
int go_into_background() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  const pid_t child = fork();
  if (child < 0) return -1;
  if (child > 0) {
    close(ends[1]);
    _exit(wait_for_child(ends[0]));
  }
  close(ends[0]);
  setsid();
  if (chdir("/") != 0) return -1;  // keep no mount busy
  return ends[1];
}

/// Listens on `http`, if it is not empty. Empty: done. Otherwise the exit code.
std::optional<int> open_pages(const std::string& http, EventLoop& loop, Controller* const& serving,
                              Preflight& preflight, std::unique_ptr<HttpServer>& pages) {
  if (http.empty()) return std::nullopt;
  const auto at = parse_endpoint(http);
  if (!at) return complain(kExitConfig, fmt::format("/control/http: {} is not ADDRESS:PORT", http));
  const bool loopback = is_loopback(at->address);
  auto server = HttpServer::listen(loop, *at, [&serving, loopback](const HttpRequest& request) {
    return handle_public_request(*serving, request, loopback);
  });
  if (!server) return complain(kExitFailure, "/control/http: " + server.error());
  pages = std::move(*server);
  if (loopback) {
    preflight.ok(fmt::format("metrics and status page on http://{}", http));
  } else {
    preflight.warn(
        fmt::format("metrics and status page on http://{}: without password or TLS, for all who reach it",
                    http),
        "\"http\": \"127.0.0.1:9190\" keeps them to this host");
  }
  return std::nullopt;
}

/// A process that is killed closes its files one after the other, the lock before the socket. Whoever still listens while we hold the
/// lock is on its way out, or no daemon at all; the second kind is refused when we listen ourselves.
void wait_for_predecessor(const std::string& socket) {
  using namespace std::chrono_literals;
  constexpr auto kPatience = 3s;
  for (const auto end = std::chrono::steady_clock::now() + kPatience;
       listening_process(socket) && std::chrono::steady_clock::now() < end;)
    std::this_thread::sleep_for(5ms);
}

int serve(const DaemonOptions& o, ConfigFile file, Config config, const Supervisor& supervisor,
          int ready_fd) {
  const std::string socket = socket_path(o.socket, config.control.socket, o.instance);
  if (auto made = make_socket_directory(socket, kReadGroup); !made)
    return complain(kExitFailure, made.error());
  auto lock = InstanceLock::take(lock_path(socket));
  if (!lock) return complain(lock.error().taken ? kExitRunning : kExitFailure, lock.error().message);
  wait_for_predecessor(socket);

  Preflight preflight([&o](const Finding& finding) { log_finding(o, finding); });
  check_host(preflight);
  for (const InterfaceConfig& i : config.interfaces) check_interface(i, preflight);
  if (preflight.failed()) {
    return complain(missing_capabilities().empty() ? kExitConfig : kExitPermission, "the preflight failed");
  }

  const int signals = signal_descriptor();
  auto loop = EventLoop::create();
  if (!loop) return complain(kExitFailure, loop.error());
  if ((*loop)->backend() == "io_uring") {
    preflight.ok("control loop on io_uring");
  } else {
    preflight.warn(fmt::format("control loop on {}: {}", (*loop)->backend(), (*loop)->why()));
  }

  // The socket before the shim: a bad path is found while the interface is still untouched. Requests wait for the loop to run.
  Controller* serving = nullptr;
  auto api = HttpServer::listen(**loop, socket, kReadGroup, [&serving](const HttpRequest& request) {
    return handle_request(*serving, request);
  });
  if (!api) return complain(kExitFailure, api.error());
  std::unique_ptr<HttpServer> pages;
  if (const auto failed = open_pages(config.control.http, **loop, serving, preflight, pages)) return *failed;

  Controller::Options options;
  std::string warning;
  options.hash_seed = config.hash_seed ? *config.hash_seed : installation_seed(o.state_dir, warning);
  if (!warning.empty()) preflight.warn(warning);
  options.config = std::move(config);
  options.instance_given = !o.instance.empty();
  options.config_file = std::move(file);
  auto controller = Controller::start(**loop, std::move(options), preflight);
  if (!controller)
    return complain(controller.error().exit_code, controller.error().message, controller.error().hint);

  serving = controller->get();
  if (!o.pidfile.empty() && !(std::ofstream(o.pidfile) << getpid() << std::endl)) {
    return complain(kExitFailure,
                    fmt::format("cannot write the pid file {}: {}", o.pidfile, std::strerror(errno)));
  }
  if (const auto confined = confine_control(); !confined) preflight.warn(confined.error());
  if (!filters_system_calls()) preflight.warn("built with sanitizers: workers may make any system call");
  auto supervision = std::make_optional<Supervision>(supervisor, **loop, **controller);
  const auto watch =
      (*loop)->watch(signals, POLLIN, [&](short) { on_signal(signals, **loop, **controller, *supervision); });
  spdlog::info("ready: {} services, control socket {}", (*controller)->config().services.size(), socket);
  if (ready_fd >= 0) {
    const char zero = 0;
    (void)!write(ready_fd, &zero, 1);
    close(ready_fd);
    let_go_of_terminal();
  }
  std::function<void()> each_second = [&loop, &each_second] {
    tell_suppressed_lines();
    (*loop)->after(std::chrono::seconds(1), each_second);
  };
  each_second();
  (*loop)->run();

  (*loop)->unwatch(watch);
  auto impatience = std::make_optional<ImpatientStop>(signals);
  supervision.reset();
  pages.reset();
  api->reset();
  controller->reset();
  if (!o.pidfile.empty()) unlink(o.pidfile.c_str());
  impatience.reset();
  spdlog::info("stopped");
  close(signals);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  DaemonOptions options;
  if (const auto done = parse_options(argc, argv, options)) return *done;
  ConfigFile file(options.config_file);
  Config config;
  if (const auto failed = load_config(options, file, config)) return *failed;
  if (options.check) {
    fmt::print("{}: ok\n", options.config_file);
    return 0;
  }
  const Supervisor supervisor = Supervisor::from_environment();
  int ready_fd = -1;
  if (options.daemonize) {
    ready_fd = go_into_background();
    if (ready_fd < 0) return complain(kExitFailure, fmt::format("cannot fork: {}", std::strerror(errno)));
    if (options.log == "stderr") options.log = "syslog";  // nobody reads a daemon's stderr
  }
  const auto log = open_log(options.log, options.log_level, config.instance);
  const int code = log ? serve(options, std::move(file), std::move(config), supervisor, ready_fd)
                       : complain(kExitFailure, log.error());
  if (code != 0 && ready_fd >= 0) {
    const char byte = static_cast<char>(code);
    (void)!write(ready_fd, &byte, 1);
  }
  return code;
}
