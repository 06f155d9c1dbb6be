// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_stop.h"

#include <ctime>

namespace xebec {
namespace {

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, s);
  return set;
}

}  // namespace

// Blocked, so that they wait to be asked for: no handler, no race between the question and the sleep.
StopSignals::StopSignals() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, &before_);
}

StopSignals::~StopSignals() {
  const sigset_t set = stop_signals();
  constexpr timespec kNone{};
  while (sigtimedwait(&set, nullptr, &kNone) > 0) {  // they have been obeyed
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool StopSignals::seen() const {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
         sigismember(&pending, SIGHUP) == 1;
}

void StopSignals::sleep(std::chrono::milliseconds time) const {
  if (seen()) return;
  const sigset_t set = stop_signals();
  const timespec t{time.count() / 1000, time.count() % 1000 * 1'000'000};
  // Taken by the wait, it has to stay to be seen.
  if (const int signal = sigtimedwait(&set, nullptr, &t); signal > 0) raise(signal);
}

}  // namespace xebec
