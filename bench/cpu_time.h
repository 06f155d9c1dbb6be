// SPDX-License-Identifier: BSD-2-Clause
// CPU time of the whole machine, by CPU: what a packet's way costs in the kernel is nobody's thread.
#pragma once

#include <vector>

namespace xebec::bench {

/// Seconds each CPU was not idle since boot, from /proc/stat: also for others than us, but not what the
/// hypervisor stole.
std::vector<double> busy_seconds();

}  // namespace xebec::bench
