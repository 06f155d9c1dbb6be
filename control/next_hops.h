// SPDX-License-Identifier: BSD-2-Clause
// Where the kernel would send a packet for an address: its route, its neighbour, its link, followed live over
// netlink.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/event_loop.h"
#include "dataplane/ip_address.h"

namespace xebec {

/// What is known of the way to one destination.
struct ResolvedHop {
  enum class State : uint8_t {
    no_route,   ///< no route, an unreachable one, or the destination is the host itself
    resolving,  ///< the neighbour has been asked
    failed,     ///< the neighbour did not answer; asked again
    reachable,  ///< mac is valid
  };
  State state = State::no_route;
  int ifindex = 0;                   ///< egress interface; 0 without a route
  std::optional<IpAddress> gateway;  ///< absent: on link
  std::optional<IpAddress> preferred_source;
  MacAddress mac{};  ///< of the neighbour
  bool operator==(const ResolvedHop&) const = default;
};

/// A network interface as the kernel has it now.
struct LinkState {
  int ifindex = 0;
  std::string name;
  MacAddress mac{};
  uint32_t mtu = 0;
  bool up = false;       ///< IFF_UP
  bool carrier = false;  ///< IFF_LOWER_UP
  uint16_t vlan = 0;     ///< of an 802.1Q device: the id it tags with; else 0
  int lower = 0;         ///< index of the interface it is on (of a veth its peer, in whatever namespace)
  int master = 0;        ///< index of the bond or bridge that it is a member of; 0: of none
  bool bond = false;     ///< it is a bond
  bool backup = false;   ///< it is a bond's member, and the bond neither sends nor receives by it now
  bool operator==(const LinkState&) const = default;
};

std::string_view to_string(ResolvedHop::State state);

/// Follows routes, neighbours and links. One thread, the loop's. Asking for neighbours needs CAP_NET_ADMIN
/// for as long as it lives. Entries that somebody else configured (permanent, externally learned, managed)
/// are used and never changed.
class NextHops {
 public:
  /// on_change runs on the loop after any watched destination's answer or any link changed; bursts are folded
  /// into one call (at most one per 10 ms).
  static tl::expected<std::unique_ptr<NextHops>, std::string> create(EventLoop& loop,
                                                                     std::function<void()> on_change);
  virtual ~NextHops() = default;

  /// Replaces the set of destinations followed. New ones are resolved at once: the route is looked up and the
  /// kernel is asked for the neighbour (NTF_USE, and NTF_EXT_MANAGED where the kernel has it, so that it
  /// keeps the entry fresh); failed ones are asked again every second.
  virtual void follow(const std::vector<IpAddress>& destinations) = 0;

  /// nullptr if not followed.
  virtual const ResolvedHop* find(const IpAddress& destination) const = 0;
  virtual const std::map<IpAddress, ResolvedHop>& all() const = 0;

  virtual std::optional<LinkState> link(int ifindex) const = 0;
  virtual std::optional<LinkState> link(const std::string& name) const = 0;
  virtual const std::map<int, LinkState>& links() const = 0;  ///< by index
};

}  // namespace xebec
