// SPDX-License-Identifier: BSD-2-Clause
// What has to come out of the balancer for a packet of the bench, whichever the mode.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/traffic.h"
#include "dataplane/packet.h"
#include "dataplane/table.h"

namespace xebec::bench {

inline constexpr uint16_t kBackendPort = 8443;  ///< of modes that translate
inline constexpr uint16_t kTunnelPort = 4789;   ///< of modes with UDP outside

/// `in`: the frame as received; `out`: as forwarded to `backend`, the n-th. Ends the process, naming what is wrong: link
/// addresses, length, an outer header, the packet behind it; of a translated one addresses, ports, TTL and checksums.
void check_forwarded(const Scenario& scenario, const std::vector<uint8_t>& in, const Packet& out,
                     const Backend& backend, uint32_t n);

}  // namespace xebec::bench
