// SPDX-License-Identifier: BSD-2-Clause
// The numbers of captures (dataplane/capture_tap.h), each with its reason. Apart from limits.h because they bind nobody else.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/limits.h"

namespace xebec {

/// At once: two people looking at the same time is usual, more would cost every worker a copy each.
inline constexpr std::size_t kMaxCaptures = 2;

/// Of one packet: what fits one frame.
inline constexpr uint32_t kMaxCapturedBytes = kMaxFrameLength;

/// Of one capture at one worker: 700 full-size packets, which the control thread takes out every 50 ms.
inline constexpr std::size_t kCaptureRingBytes = std::size_t{1} << 20;

/// Of a service's name in a record; what the configuration lets through (control/config_validate.cc).
inline constexpr std::size_t kMaxCapturedName = 63;

static_assert((kCaptureRingBytes & (kCaptureRingBytes - 1)) == 0, "positions are masked");

}  // namespace xebec
