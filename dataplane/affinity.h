// SPDX-License-Identifier: BSD-2-Clause
// Which CPU a thread runs on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace xebec {

/// CPUs this process may run on (sched_getaffinity), ascending.
std::vector<uint32_t> allowed_cpus();

/// Ties the calling thread to one CPU; false if the kernel refuses (no such CPU, or not allowed).
bool pin_this_thread(uint32_t cpu);

/// As shown by ps -L and /proc; cut to 15 characters.
void name_this_thread(const std::string& name);

}  // namespace xebec
