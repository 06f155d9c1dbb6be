// SPDX-License-Identifier: BSD-2-Clause
#include "control/supervisor.h"

#include "dataplane/clock.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace xebec {

Supervisor Supervisor::from_environment() {
  const auto take = [](const char* name) {
    const char* value = std::getenv(name);
    std::string text = value != nullptr ? value : "";
    unsetenv(name);
    return text;
  };
  std::string socket = take("NOTIFY_SOCKET");
  const std::string usec = take("WATCHDOG_USEC");
  const std::string pid = take("WATCHDOG_PID");
  const bool ours = pid.empty() || std::strtoll(pid.c_str(), nullptr, 10) == getpid();
  const long long watchdog = ours ? std::strtoll(usec.c_str(), nullptr, 10) : 0;
  return Supervisor(std::move(socket), std::chrono::microseconds(watchdog > 0 ? watchdog : 0));
}

Supervisor::Supervisor(std::string socket, std::chrono::microseconds watchdog)
    : socket_(std::move(socket)), watchdog_(watchdog) {
  const bool speakable = socket_.size() > 1 && socket_.size() < sizeof(sockaddr_un::sun_path) &&
                         (socket_[0] == '/' || socket_[0] == '@');
  if (!speakable) socket_.clear();
}

void Supervisor::send(const std::string& message) const {
  if (socket_.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_.copy(address.sun_path, sizeof address.sun_path - 1);
  if (socket_[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  (void)!sendto(fd, message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                size);
  close(fd);
}

void Supervisor::ready(std::string_view text) const {
  send(fmt::format("READY=1\nSTATUS={}", text));
}

void Supervisor::reloading() const {
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns() / 1000));
}

void Supervisor::stopping() const {
  send("STOPPING=1\nSTATUS=stopping");
}

void Supervisor::status(std::string_view text) const {
  send(fmt::format("STATUS={}", text));
}

void Supervisor::alive() const {
  send("WATCHDOG=1");
}

bool Heartbeats::all_moved(std::span<const uint64_t> beats) {
  if (beats.size() == last_.size()) {
    for (std::size_t i = 0; i < beats.size(); ++i) {
      if (beats[i] == last_[i]) return false;
    }
  }
  last_.assign(beats.begin(), beats.end());
  return true;
}

}  // namespace xebec
