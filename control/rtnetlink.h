// SPDX-License-Identifier: BSD-2-Clause
// Links, routes and neighbours as rtnetlink messages. Everything a message says is checked for length before
// it is believed.
#pragma once

#include <libmnl/libmnl.h>

#include <compare>
#include <cstdint>
#include <optional>

#include "control/next_hops.h"
#include "dataplane/ip_address.h"

namespace xebec {

struct NeighbourKey {
  int ifindex = 0;
  IpAddress address;
  auto operator<=>(const NeighbourKey&) const = default;
};

/// An entry of the kernel's neighbour table.
struct NeighbourEntry {
  NeighbourKey key;
  uint16_t state = 0;             ///< NUD_*
  uint8_t flags = 0;              ///< NTF_*
  uint32_t extended_flags = 0;    ///< NTF_EXT_*
  uint8_t protocol = 0;           ///< RTPROT_*, who made it
  std::optional<MacAddress> mac;  ///< absent without one, or where it is no Ethernet address
};

/// What a route lookup said.
struct RouteAnswer {
  bool usable = false;  ///< a unicast route out of an interface
  int ifindex = 0;
  std::optional<IpAddress> gateway;
  std::optional<IpAddress> preferred_source;
};

/// The destinations that a route is for.
struct Prefix {
  IpAddress first;
  IpAddress last;
};

/// Merges a RTM_NEWLINK message into `link`: some of these messages tell only what changed. False if it is
/// none about a link as such (a bridge speaks of its ports in messages of the same type).
bool read_link(const nlmsghdr* message, LinkState& link);
/// The interface index of such a message; nullopt as above.
std::optional<int> link_index(const nlmsghdr* message);

std::optional<NeighbourEntry> read_neighbour(const nlmsghdr* message);
std::optional<RouteAnswer> read_route(const nlmsghdr* message);
std::optional<Prefix> read_route_prefix(const nlmsghdr* message);

/// Requests, into what Netlink::exchange() hands out.
void ask_route(nlmsghdr* request, const IpAddress& destination);
void ask_neighbour(nlmsghdr* request, const NeighbourKey& key);

/// How the kernel is to care for a neighbour entry.
struct NeighbourOrder {
  bool create = false;   ///< make it, and only that: EEXIST if it is there. Else change it, and only that
  bool managed = false;  ///< NTF_EXT_MANAGED; without it an entry that has it loses it
  uint8_t protocol = 0;  ///< 0 = leave
};
/// Makes the kernel resolve the neighbour now. Never for a permanent entry: the kernel would make it an
/// ordinary one (net/core/neighbour.c, __neigh_update).
void order_neighbour(nlmsghdr* request, const NeighbourKey& key, const NeighbourOrder& order);

}  // namespace xebec
