// SPDX-License-Identifier: BSD-2-Clause
// Which packets are replies of translating services: what the shims are told, and explain goes by.
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "dataplane/nat_config.h"
#include "dataplane/table.h"

namespace xebec {

/// Where a backend answers from.
struct ReplyEndpoint {
  IpAddress address;
  uint16_t port = 0;  ///< host order; 0: any
  uint8_t protocol = 0;
  bool all =
      false;  ///< stands for all endpoints of the address and protocol; port 0. Later fragments have no port
  auto operator<=>(const ReplyEndpoint&) const = default;
};

/// Where replies come from, and what they are sent to.
struct ReplyRules {
  std::map<ReplyEndpoint, uint32_t> backends;  ///< -> XEBEC_NAT, XEBEC_DNAT or both
  std::set<IpAddress> sources;                 ///< mode nat
  uint16_t first_port = 0;                     ///< of every source, inclusive
  uint16_t last_port = 0;
  std::set<IpAddress> own;  ///< addresses of this host: never a client of mode dnat
  bool operator==(const ReplyRules&) const = default;
};

/// What one or the other says; ports and own addresses are `b`'s.
ReplyRules either(const ReplyRules& a, const ReplyRules& b);

/// What the table's translating services need. own: the host's addresses.
ReplyRules reply_rules_of(const Table& table, const NatTableConfig& ports, const std::set<IpAddress>& own);

}  // namespace xebec
