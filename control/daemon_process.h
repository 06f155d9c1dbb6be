// SPDX-License-Identifier: BSD-2-Clause
// The process of a daemon, found by the lock it holds and never by its name; what systemd and the kernel know of it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace xebec {

/// True if `locks`, the text of /proc/locks, has `pid` as the holder of an flock() on `inode`.
bool holds_flock(std::string_view locks, pid_t pid, uint64_t inode);

/// The xebecd unit in `cgroups`, the text of /proc/PID/cgroup: "xebecd.service", "xebecd@lb2.service"; empty: none.
std::string unit_in(std::string_view cgroups);

/// A living daemon, held by a descriptor: its number cannot become somebody else's meanwhile.
class DaemonProcess {
 public:
  /// Who holds the lock of `socket`; null: nobody. The error is a sentence, of a lock that somebody holds whom we cannot
  /// see (another pid namespace).
  static tl::expected<std::unique_ptr<DaemonProcess>, std::string> find(const std::string& socket);
  ~DaemonProcess();
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  pid_t pid() const { return pid_; }
  /// The systemd unit that it is the service of; empty: none.
  std::string unit() const;
  /// Its command line, and the directory that relative paths in it start from.
  std::vector<std::string> arguments() const;
  std::string directory() const;
  /// False: it is in another network namespace than we are, so that what we start would serve other interfaces.
  bool shares_our_network() const;

  /// 0, or the errno of kill(2).
  int signal(int number) const;
  /// True: it has ended within `patience`.
  bool wait(std::chrono::milliseconds patience) const;

 private:
  DaemonProcess(pid_t pid, int fd) : pid_(pid), fd_(fd) {}
  std::string proc(const char* name) const;

  pid_t pid_;
  int fd_;
};

}  // namespace xebec
