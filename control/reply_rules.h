// SPDX-License-Identifier: BSD-2-Clause
// Which packets are replies of translating services: what the shims are told, and explain goes by.
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "control/steered_service.h"
#include "dataplane/nat_table.h"
#include "dataplane/table.h"

namespace xebec {

/// Where replies come from, and what they are sent to.
struct ReplyRules {
  std::map<SteeredService, uint32_t> backends;  ///< endpoint (port 0 = any) -> XEBEC_NAT, XEBEC_DNAT or both
  std::set<IpAddress> sources;                  ///< mode nat
  uint16_t first_port = 0;                      ///< of every source, inclusive
  uint16_t last_port = 0;
  std::set<IpAddress> own;  ///< addresses of this host: never a client of mode dnat
  bool operator==(const ReplyRules&) const = default;
};

/// What the table's translating services need. own: the host's addresses.
ReplyRules reply_rules_of(const Table& table, const NatTableConfig& ports, const std::set<IpAddress>& own);

}  // namespace xebec
