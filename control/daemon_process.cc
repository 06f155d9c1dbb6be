// SPDX-License-Identifier: BSD-2-Clause
#include "control/daemon_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "control/daemon_paths.h"

namespace xebec {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The pid that the lock file names, if its lock is held.
std::optional<pid_t> named_holder(int lock) {
  // A shared lock of a moment: a daemon that starts just now tries for longer than that.
  if (flock(lock, LOCK_SH | LOCK_NB) == 0) {
    flock(lock, LOCK_UN);
    return std::nullopt;
  }
  char text[32] = {};
  const ssize_t n = pread(lock, text, sizeof text - 1, 0);
  return n > 0 ? static_cast<pid_t>(std::strtol(text, nullptr, 10)) : 0;
}

}  // namespace

bool holds_flock(std::string_view locks, pid_t pid, uint64_t inode) {
  // "1: FLOCK  ADVISORY  WRITE 4242 00:1a:1337 0 EOF". The device is left out of it: with overlayfs and btrfs it is not
  // stat()'s. One process has few locks; the same inode number twice among them is one lock all the same.
  std::istringstream lines{std::string(locks)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, kind, manner, access, place;
    pid_t holder = 0;
    if (!(words >> number >> kind >> manner >> access >> holder >> place)) continue;
    const std::size_t colon = place.rfind(':');
    if (kind != "FLOCK" || access != "WRITE" || holder != pid || colon == std::string::npos) continue;
    if (std::strtoull(place.c_str() + colon + 1, nullptr, 10) == inode) return true;
  }
  return false;
}

std::string unit_in(std::string_view cgroups) {
  std::istringstream lines{std::string(cgroups)};
  for (std::string line; std::getline(lines, line);) {
    // "0::/system.slice/xebecd.service", "0::/system.slice/system-xebecd.slice/xebecd@lb2.service"
    std::istringstream parts(line);
    for (std::string part; std::getline(parts, part, '/');) {
      const std::string_view unit(part);
      if (unit.ends_with(".service") && (unit == "xebecd.service" || unit.starts_with("xebecd@")))
        return part;
    }
  }
  return {};
}

tl::expected<std::unique_ptr<DaemonProcess>, std::string> DaemonProcess::find(const std::string& socket) {
  const std::string path = lock_path(socket);
  const int lock = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) {
    if (errno == ENOENT) return nullptr;
    return tl::unexpected(fmt::format("cannot open the lock {}: {}", path, std::strerror(errno)));
  }
  const std::unique_ptr<const int, void (*)(const int*)> closer(&lock, [](const int* fd) { close(*fd); });
  struct stat status {};
  const std::optional<pid_t> pid = named_holder(lock);
  if (!pid || fstat(lock, &status) != 0) return nullptr;
  // Held first, looked at then: what is true of the process after it is true of the one that the descriptor means.
  const int fd = *pid > 0 ? static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)) : -1;
  if (fd < 0 || !holds_flock(text_of("/proc/locks"), *pid, status.st_ino)) {
    if (fd >= 0) close(fd);
    if (!named_holder(lock)) return nullptr;  // ended meanwhile
    return tl::unexpected(fmt::format("{} is held by a process that cannot be seen from here", path));
  }
  return std::unique_ptr<DaemonProcess>(new DaemonProcess(*pid, fd));
}

DaemonProcess::~DaemonProcess() {
  close(fd_);
}

std::string DaemonProcess::proc(const char* name) const {
  return fmt::format("/proc/{}/{}", pid_, name);
}

std::string DaemonProcess::unit() const {
  return unit_in(text_of(proc("cgroup")));
}

std::vector<std::string> DaemonProcess::arguments() const {
  std::vector<std::string> arguments;
  std::istringstream text(text_of(proc("cmdline")));
  for (std::string argument; std::getline(text, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

std::string DaemonProcess::directory() const {
  std::error_code error;
  return std::filesystem::read_symlink(proc("cwd"), error).string();
}

bool DaemonProcess::shares_our_network() const {
  struct stat ours {
  }, its{};
  return stat("/proc/self/ns/net", &ours) != 0 || stat(proc("ns/net").c_str(), &its) != 0 ||
         (ours.st_ino == its.st_ino && ours.st_dev == its.st_dev);
}

int DaemonProcess::signal(int number) const {
  return syscall(SYS_pidfd_send_signal, fd_, number, nullptr, 0) == 0 ? 0 : errno;
}

bool DaemonProcess::wait(std::chrono::milliseconds patience) const {
  pollfd end{fd_, POLLIN, 0};
  const auto until = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    const int ready = poll(&end, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace xebec
