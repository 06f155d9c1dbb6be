// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_debug.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "control/cli_client.h"
#include "control/cli_stop.h"
#include "control/cli_top.h"

namespace xebec {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr off_t kTailBytes = 256 * 1024;  // of the log, on the screen
constexpr std::size_t kLastWords = 20;    // lines, of a daemon that ended by itself

CliError cannot(const std::string& what, int error) {
  return {"failed", fmt::format("debug: {}: {}", what, std::strerror(error)), ""};
}

/// A file that only we can have made: the log shows addresses, and /tmp is everybody's.
class LogFile {
 public:
  static tl::expected<LogFile, CliError> create() {
    std::error_code error;
    const std::filesystem::path directory = std::filesystem::temp_directory_path(error);
    if (error) return tl::unexpected(cannot("no directory for its log (TMPDIR)", error.value()));
    std::string path = directory / "xebec-debug-XXXXXX";
    const int fd = mkostemp(path.data(), O_APPEND | O_CLOEXEC);
    if (fd < 0) return tl::unexpected(cannot(path, errno));
    return LogFile(path, fd);
  }
  LogFile(LogFile&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  LogFile& operator=(LogFile&&) = delete;
  ~LogFile() {
    if (fd_ >= 0) close(fd_);
  }

  const std::string& path() const { return path_; }
  int fd() const { return fd_; }

  /// The last lines, the latest first.
  std::vector<std::string> latest() const {
    const off_t size = lseek(fd_, 0, SEEK_END);
    const off_t from = std::max<off_t>(size - kTailBytes, 0);
    std::string text(static_cast<std::size_t>(std::max<off_t>(size - from, 0)), '\0');
    const ssize_t got = pread(fd_, text.data(), text.size(), from);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    std::vector<std::string> lines;
    std::size_t at = from == 0 ? 0 : std::min(text.find('\n'), text.size() - 1) + 1;  // not the half of one
    while (at < text.size()) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    std::reverse(lines.begin(), lines.end());
    return lines;
  }

 private:
  LogFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
};

/// xebecd as our child. It does not outlive us.
class Child {
 public:
  static tl::expected<std::unique_ptr<Child>, CliError> start(const std::vector<std::string>& words,
                                                              int log) {
    const std::vector<char*> argv = argv_of(words);
    const pid_t parent = getpid();
    std::fflush(nullptr);
    const pid_t pid = fork();
    if (pid < 0) return tl::unexpected(cannot(words[0], errno));
    if (pid != 0) return std::unique_ptr<Child>(new Child(pid));
    // Its own group: the terminal's Ctrl-C is ours, and the daemon is told once.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int nothing = open("/dev/null", O_RDONLY);
    if (getppid() != parent || dup2(nothing, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
      _exit(127);
    sigset_t all;
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~Child() {
    if (!ended()) kill(pid_, SIGKILL);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Its exit code, 128 and more by a signal; nothing: it lives.
  std::optional<int> ended() {
    int status = 0;
    if (!code_ && waitpid(pid_, &status, WNOHANG) == pid_)
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return code_;
  }

  std::optional<int> stop(milliseconds patience) {
    if (!ended()) kill(pid_, SIGTERM);
    for (const auto end = Clock::now() + patience; !ended() && Clock::now() < end;) usleep(20'000);
    return code_;
  }

 private:
  explicit Child(pid_t pid) : pid_(pid) {}

  pid_t pid_;
  std::optional<int> code_;
};

VerbResult ended_by_itself(int code, const LogFile& log) {
  if (code == 0) {  // by `xebec stop`, or a signal from elsewhere
    narrate("xebecd was stopped; its log: " + log.path());
    return 0;
  }
  std::vector<std::string> lines = log.latest();
  lines.resize(std::min(lines.size(), kLastWords));
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) narrate(*line);
  CliError error = daemon_refused(code);
  error.hint = "all it had to say: " + log.path();
  return tl::unexpected(std::move(error));
}

/// Until it answers. Nothing: it ended, or a signal came.
bool wait_until_it_serves(Child& child, const std::string& socket) {
  const StopSignals stop;
  while (!child.ended() && !stop.seen()) {
    if (Client(socket, 1).request("GET", "/v1/status")) return true;
    stop.sleep(milliseconds(100));
  }
  return false;
}

VerbResult on_screen(const CliOptions& options, const DaemonArguments& arguments,
                     const std::vector<std::string>& words) {
  const auto log = LogFile::create();
  if (!log) return tl::unexpected(log.error());
  const auto child = Child::start(words, log->fd());
  if (!child) return tl::unexpected(child.error());
  CliOptions watching = options;
  watching.socket = daemon_socket(arguments);
  VerbResult result = 0;
  if (wait_until_it_serves(**child, watching.socket))
    result = top_beside(watching,
                        {.lives = [&] { return !(*child)->ended(); }, .log = [&] { return log->latest(); }});
  if (const auto code = (*child)->ended()) return ended_by_itself(*code, *log);
  const auto code = (*child)->stop(milliseconds(static_cast<int64_t>(arguments.patience_s * 1000)));
  if (!code)
    return tl::unexpected(CliError{"timeout", "debug: xebecd has not ended", "its log: " + log->path()});
  if (*code != 0) return ended_by_itself(*code, *log);
  narrate("its log: " + log->path());
  return result;
}

}  // namespace

VerbResult debug_daemon(const CliOptions& options, const DaemonArguments& arguments) {
  const std::string xebecd = find_xebecd();
  if (xebecd.empty()) return tl::unexpected(no_xebecd());
  const bool with_screen =
      !arguments.plain && arguments.log.empty() && options.output == Output::table && can_draw_on_terminal();
  DaemonArguments debug = arguments;
  if (debug.log.empty()) debug.log = "stderr";
  if (debug.log_level.empty()) debug.log_level = "debug";
  std::vector<std::string> words = daemon_options(debug);
  words.insert(words.begin(), {xebecd, "--foreground"});
  if (with_screen) return on_screen(options, arguments, words);
  execv(words[0].c_str(), argv_of(words).data());
  return tl::unexpected(cannot(xebecd, errno));
}

}  // namespace xebec
