// SPDX-License-Identifier: BSD-2-Clause
// The neighbours we need resolved: what the kernel knows of each, and when to ask it again.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "control/netlink.h"
#include "control/rtnetlink.h"

namespace xebec {

/// Marks the entries that we made the kernel manage (NDA_PROTOCOL; `ip neigh` shows it as "proto 120"), so
/// that we give back no others, and after a crash find our own again. Not in iproute2's rt_protos.
inline constexpr uint8_t kNeighbourProtocol = 120;

/// Asks, and never forces: an entry that somebody else configured (permanent, externally learned, managed) is
/// read and left as it is. Time is passed in.
class Neighbours {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct View {
    ResolvedHop::State state = ResolvedHop::State::resolving;
    MacAddress mac{};
    bool operator==(const View&) const = default;
  };

  explicit Neighbours(Netlink& requests) : requests_(requests) {}

  void want(const NeighbourKey& key, Time now);
  /// Stops caring. The entries stay in the kernel, as ordinary ones which it may forget; nothing is deleted,
  /// for others may be using them.
  void release(const std::vector<NeighbourKey>& keys);

  /// From notifications. True if the view changed.
  bool update(const NeighbourEntry& entry, Time now);
  bool removed(const NeighbourKey& key, Time now);
  /// After notifications were lost: everything is looked at again.
  void look_again(Time now);

  /// Asks for those that are due, some hundreds at most, and appends those whose view changed.
  void ask(Time now, std::vector<NeighbourKey>& changed);
  /// When ask() has something to do.
  std::optional<Time> next() const;

  View view(const NeighbourKey& key) const;

 private:
  struct Tracked {
    View view;
    bool present = false;  // in the kernel's table
    bool foreign = false;  // somebody else's: not to be touched
    bool managed = false;  // by the kernel, for us
    Time asked{};
    std::optional<Time> due;  // its entry in agenda_
  };
  using Map = std::map<NeighbourKey, Tracked>;

  void schedule(Map::value_type& neighbour, std::optional<Time> when);
  void schedule_by_state(Map::value_type& neighbour, Time now);
  std::vector<Map::value_type*> take_due(Time now);
  void look(const std::vector<Map::value_type*>& neighbours, Time now,
            std::vector<Map::value_type*>& askable);
  void order(const std::vector<Map::value_type*>& neighbours, Time now);

  Netlink& requests_;
  Map neighbours_;
  std::set<std::pair<Time, NeighbourKey>> agenda_;
  bool managed_supported_ = true;  // until the kernel refuses (before 5.16)
};

}  // namespace xebec
