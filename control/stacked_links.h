// SPDX-License-Identifier: BSD-2-Clause
// Interfaces that stand on served ones: VLAN devices and bonds, which have no queues of their own. A route may leave by them;
// the packets leave by what they stand on. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "control/next_hops.h"
#include "control/table_builder.h"
#include "dataplane/ip_address.h"

namespace xebec {

struct StackedLinks {
  std::vector<VlanLink> vlans;
  std::vector<BondMember> bonds;
};

/// Pure. `links`: all that the kernel has, by index. Of a bond those members count that it uses and that have a carrier: with
/// active-backup one, else what its mode and LACP let take part.
StackedLinks stacked_links(const std::map<int, LinkState>& links, const std::vector<ServedLink>& served);

/// Where packets for a destination leave.
struct Egress {
  uint16_t interface = 0;          ///< position in NetworkView::links
  uint32_t mtu = 0;                ///< the smallest on the way down
  const VlanLink* vlan = nullptr;  ///< that tags them; null: none. The view's
};

/// Pure. By which served interface the packets leave that the kernel would send by interface `ifindex`: by itself, by what a VLAN
/// device stands on, or by a member of a bond. Which of several follows from the destination, so that a destination's packets stay in
/// order; when one goes, only those of it move. nullopt: by none that is served.
std::optional<Egress> find_egress(const NetworkView& network, int ifindex, const IpAddress& destination);

}  // namespace xebec
