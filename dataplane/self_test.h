// SPDX-License-Identifier: BSD-2-Clause
// The self-test of a port that was just opened: does its queue send, and a zero-copy driver take its empty frames?
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
