// SPDX-License-Identifier: BSD-2-Clause
#include "control/impatient_stop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include <spdlog/spdlog.h>

namespace xebec {

ImpatientStop::ImpatientStop(int signals)
    : signals_(signals), done_(eventfd(0, EFD_CLOEXEC)), thread_([this] { wait(); }) {}

ImpatientStop::~ImpatientStop() {
  const uint64_t one = 1;
  (void)!write(done_, &one, sizeof one);
  thread_.join();
  close(done_);
}

void ImpatientStop::wait() const {
  for (;;) {
    pollfd watched[] = {{signals_, POLLIN, 0}, {done_, POLLIN, 0}};
    if (poll(watched, 2, -1) < 0 && errno != EINTR) return;
    if (watched[1].revents != 0) return;
    signalfd_siginfo info{};
    if (read(signals_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
      continue;  // there is nothing to reload any more
    spdlog::warn("signal {} for the second time: ending at once, before the stop is done", info.ssi_signo);
    spdlog::default_logger()->flush();
    _exit(1);
  }
}

}  // namespace xebec
