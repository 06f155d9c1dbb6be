// SPDX-License-Identifier: BSD-2-Clause
// The self-test of a port that was just opened: does its queue send?
//
// Whether a zero-copy driver takes its empty frames cannot be seen from here: the kernel tells how far it has read the fill ring
// only once it has read all it knew of (xskq_cons_get_entries, net/xdp/xsk_queue.h), and a driver's ring may be shorter than ours.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "dataplane/ip_address.h"
#include "dataplane/umem.h"
#include "dataplane/xsk_port.h"

namespace xebec {

struct SelfTest {
  enum class Result : uint8_t { skipped, ok, failed };
  Result result = Result::skipped;
  std::string why;  ///< not ok because
};

/// Sends one frame from `own` to `own`, of the EtherType for local experiments, and waits until it is completed. No
/// switch sends it back, and no host takes it. Before the port's worker runs, on the thread that opened it.
SelfTest test_port(XskPort& port, Umem& umem, const MacAddress& own, std::chrono::milliseconds patience);

/// "skipped", "ok", "failed".
const char* to_string(SelfTest::Result result);

}  // namespace xebec
