// SPDX-License-Identifier: BSD-2-Clause
// How many translated connections a worker holds, by which ports, and for how long.
#pragma once

#include <cstdint>

namespace xebec {

/// Seconds a mapping may be silent before it is forgotten.
struct NatTimeouts {
  uint32_t tcp_established_s = 7440;  ///< RFC 5382 REQ-5: not less than 2 h 4 min
  uint32_t tcp_transitory_s = 240;    ///< opening or closed; REQ-5: not less than 4 min
  uint32_t udp_s = 300;               ///< RFC 4787 REQ-5: 5 min recommended
  bool operator==(const NatTimeouts&) const = default;
};

/// Of NatTableConfig::capacity: 1 GB a worker, if all of it is used.
inline constexpr uint32_t kMaxNatCapacity = 1u << 22;

struct NatTableConfig {
  uint32_t capacity = 1u << 17;  ///< mappings a worker holds at most
  uint16_t first_port = 10000;   ///< of the sources of mode nat, shared out among the workers
  uint16_t last_port = 32767;    ///< below Linux's own ephemeral ports (net.ipv4.ip_local_port_range)
  NatTimeouts timeouts;
  bool operator==(const NatTableConfig&) const = default;
};

}  // namespace xebec
