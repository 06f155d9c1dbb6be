// SPDX-License-Identifier: BSD-2-Clause
// The clocks, in nanoseconds. What is pure (xebec_core, the table builder) is told the time and asks none of them.
#pragma once

#include <time.h>

#include <cstdint>

namespace xebec {

inline uint64_t clock_ns(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
}

/// What flows, tables and timers are compared by.
inline uint64_t monotonic_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}
/// The same clock as of the last tick, 1 to 10 ms late; 6 ns instead of 25.
inline uint64_t coarse_monotonic_ns() {
  return clock_ns(CLOCK_MONOTONIC_COARSE);
}
/// Since 1970: what a file's packets have.
inline uint64_t time_of_day_ns() {
  return clock_ns(CLOCK_REALTIME);
}

}  // namespace xebec
