// SPDX-License-Identifier: BSD-2-Clause
#include "control/grace_period.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace xebec {
namespace {

// Longer than a poll of a driver takes (net.core.netdev_budget_usecs, 2 to 20 ms).
constexpr auto kInsteadOfAGracePeriod = std::chrono::milliseconds(50);

}  // namespace

void wait_for_running_programs() {
  // synchronize_rcu() of kernel/sched/membarrier.c, which a kernel with nohz_full CPUs refuses.
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return;
  std::this_thread::sleep_for(kInsteadOfAGracePeriod);
}

}  // namespace xebec
