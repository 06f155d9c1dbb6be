// SPDX-License-Identifier: BSD-2-Clause
// How long flows are remembered. A service may have timeouts of its own: a table has up to kTimeoutClasses sets, and a flow
// carries the number of its service's beside its state, in one byte, so that asking whether it has expired costs what it did with one set.
#pragma once

#include <compare>
#include <cstdint>

namespace xebec {

/// Seconds a flow may be silent in each state before its place may be reused.
struct FlowTimeouts {
  uint32_t established_s = 3600;
  uint32_t syn_s = 10;
  uint32_t fin_s = 10;
  uint32_t udp_s = 30;
  auto operator<=>(const FlowTimeouts&) const = default;
};

/// What is left of a flow's state byte above its state: 0 are the defaults', the others those of services.
inline constexpr uint32_t kTimeoutClasses = 32;

}  // namespace xebec
