// SPDX-License-Identifier: BSD-2-Clause
// Random services that overlap in every way they may, and packets near their edges.
#pragma once

#include <random>
#include <vector>

#include "dataplane/service_match.h"

namespace xebec::test {

struct RandomPacket {
  IpAddress destination;
  uint8_t protocol = 0;
  uint16_t port = 0;  ///< 0 unless the protocol has ports
};

/// Up to 24, no two alike, ranges of one VIP and protocol nested or apart.
std::vector<ServiceMatch> random_services(std::mt19937& random);

/// Mostly at or beside what some service matches.
RandomPacket random_packet(std::mt19937& random, const std::vector<ServiceMatch>& services);

}  // namespace xebec::test
