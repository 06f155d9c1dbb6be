// SPDX-License-Identifier: BSD-2-Clause
// The shim's maps by which it knows replies of translating services (bpf/abi.h): backends, source addresses, own addresses.
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include <tl/expected.hpp>

#include "control/steering.h"
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

/// Remembers what the maps hold: nobody else writes them. The descriptors are the caller's and outlive this.
class ReplyMaps {
 public:
  ReplyMaps(int backends_fd, int sources_fd, int own_fd)
      : backends_fd_(backends_fd), sources_fd_(sources_fd), own_fd_(own_fd) {}

  /// Makes the maps hold exactly these: own addresses first, so that no moment takes the host's own packets for a
  /// client's. On an error some may be as before; the next call tries again.
  tl::expected<void, SteeringError> set(const ReplyRules& wanted);
  const ReplyRules& rules() const { return rules_; }

 private:
  int backends_fd_;
  int sources_fd_;
  int own_fd_;
  ReplyRules rules_;
};

}  // namespace xebec
