// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/busy_poll.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "dataplane/limits.h"

namespace xebec {
namespace {

// asm-generic/socket.h; SO_PREFER_BUSY_POLL and its budget are of Linux 5.11.
constexpr int kSoBusyPoll = 46;
constexpr int kSoPreferBusyPoll = 69;
constexpr int kSoBusyPollBudget = 70;

// One call polls at most this long; with a worker that calls all the time it only has to be non-zero.
constexpr int kBusyPollUs = 20;

// Interrupts stay off for this many empty polls, and for this long between two polls. 200 us: with shorter
// ones some drivers were seen to leave a queue asleep for good; longer ones are what a stalled worker's
// packets wait.
constexpr const char* kDeferHardIrqs = "2";
constexpr const char* kGroFlushTimeoutNs = "200000";

bool read_line(const std::string& path, std::string& out) {
  std::ifstream file(path);
  return static_cast<bool>(std::getline(file, out));
}

bool write_line(const std::string& path, const std::string& value) {
  std::ofstream file(path);
  file << value << std::flush;
  return file.good();
}

}  // namespace

bool sends_when_polled(std::string_view driver) {
  return driver != "virtio_net";
}

bool permit_busy_poll(int xsk_fd) {
  return setsockopt(xsk_fd, SOL_SOCKET, kSoBusyPoll, &kBusyPollUs, sizeof kBusyPollUs) == 0;
}

tl::expected<void, IoError> enable_busy_poll(int xsk_fd, bool prefer) {
  const int on = prefer ? 1 : 0;
  const int budget = kBatchSize;
  if (setsockopt(xsk_fd, SOL_SOCKET, kSoPreferBusyPoll, &on, sizeof on) != 0 ||
      setsockopt(xsk_fd, SOL_SOCKET, kSoBusyPoll, &kBusyPollUs, sizeof kBusyPollUs) != 0 ||
      setsockopt(xsk_fd, SOL_SOCKET, kSoBusyPollBudget, &budget, sizeof budget) != 0) {
    const int code = errno;
    return tl::unexpected(
        IoError{code, fmt::format("cannot set busy polling on the socket: {}",
                                  code == EPERM ? "needs CAP_NET_ADMIN" : std::strerror(code))});
  }
  return {};
}

tl::expected<NapiTuning, IoError> NapiTuning::apply(const std::string& interface) {
  NapiTuning tuning;
  const std::pair<const char*, const char*> wanted[] = {{"napi_defer_hard_irqs", kDeferHardIrqs},
                                                        {"gro_flush_timeout", kGroFlushTimeoutNs}};
  for (const auto& [name, value] : wanted) {
    const std::string path = fmt::format("/sys/class/net/{}/{}", interface, name);
    std::string before;
    errno = 0;
    if (!read_line(path, before) || !write_line(path, value)) {
      return tl::unexpected(IoError{errno, fmt::format("cannot set {} of {}: {}", name, interface,
                                                       errno != 0 ? std::strerror(errno) : "not writable")});
    }
    tuning.saved_.push_back({path, before});
  }
  return tuning;
}

NapiTuning::~NapiTuning() {
  for (const Saved& s : saved_) (void)write_line(s.path, s.value);
}

}  // namespace xebec
