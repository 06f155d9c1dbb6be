// SPDX-License-Identifier: BSD-2-Clause
#include "control/installation.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include <fmt/format.h>

namespace xebec {

tl::expected<std::unique_ptr<InstanceLock>, InstanceLock::Error> InstanceLock::take(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) {
    return tl::unexpected(
        Error{false, fmt::format("cannot open the lock {}: {}", path, std::strerror(errno))});
  }
  // A killed predecessor holds it until the kernel has taken it apart, sockets and packet memory included.
  constexpr int kTries = 50;
  constexpr std::chrono::milliseconds kBetween{10};
  int held = flock(fd, LOCK_EX | LOCK_NB);
  for (int i = 0; i < kTries && held != 0 && errno == EWOULDBLOCK; ++i) {
    std::this_thread::sleep_for(kBetween);
    held = flock(fd, LOCK_EX | LOCK_NB);
  }
  if (held != 0) {
    const bool taken = errno == EWOULDBLOCK;
    char owner[32] = {};
    const ssize_t n = pread(fd, owner, sizeof owner - 1, 0);
    std::string who = n > 0 ? std::string(owner, static_cast<std::size_t>(n)) : "unknown";
    while (!who.empty() && who.back() == '\n') who.pop_back();
    close(fd);
    return tl::unexpected(Error{taken, taken
                                           ? fmt::format("already running: pid {} holds {}", who, path)
                                           : fmt::format("cannot lock {}: {}", path, std::strerror(errno))});
  }
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    // The pid is for people; the lock holds without it.
  }
  return std::unique_ptr<InstanceLock>(new InstanceLock(fd));
}

InstanceLock::~InstanceLock() {
  close(fd_);
}

std::array<uint8_t, 16> installation_seed(const std::string& state_dir, std::string& warning) {
  std::array<uint8_t, 16> seed{};
  const std::string path = state_dir + "/hash_seed";
  if (const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC); fd >= 0) {
    const ssize_t n = read(fd, seed.data(), seed.size());
    close(fd);
    if (n == static_cast<ssize_t>(seed.size())) return seed;
    warning = fmt::format("{} is damaged ({} bytes); a new seed replaces it", path, n);
  }
  if (getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size())) {
    warning = "no random numbers from the kernel; set hash_seed in the configuration";
    return seed;
  }
  // Written beside and renamed, so that the file is whole or absent.
  (void)mkdir(state_dir.c_str(), 0750);
  const std::string fresh = path + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written =
      fd >= 0 && write(fd, seed.data(), seed.size()) == static_cast<ssize_t>(seed.size()) && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  if (!written || std::rename(fresh.c_str(), path.c_str()) != 0) {
    warning = fmt::format("cannot keep the hash seed in {}: {}; it is good for this run only", path,
                          std::strerror(errno));
  }
  return seed;
}

}  // namespace xebec
