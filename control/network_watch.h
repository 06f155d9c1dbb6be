// SPDX-License-Identifier: BSD-2-Clause
// What changed of links and neighbours between two looks, as events. Pure.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "control/event_log.h"
#include "control/next_hops.h"

namespace xebec {

/// A served interface; `link` is empty while it is gone.
struct WatchedLink {
  std::string name;
  std::optional<LinkState> link;
  uint64_t attached_again = 0;  ///< how often that was done, after it was made anew
};

class NetworkWatch {
 public:
  /// The first look tells nothing: it is how things are.
  void look(const std::map<IpAddress, ResolvedHop>& hops, const std::vector<WatchedLink>& links,
            EventLog& event_log,
            std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

 private:
  void compare_hops(const std::map<IpAddress, ResolvedHop>& hops, EventLog& event_log,
                    std::chrono::system_clock::time_point now) const;
  void compare_links(const std::vector<WatchedLink>& links, EventLog& event_log,
                     std::chrono::system_clock::time_point now) const;

  bool looked_ = false;
  std::map<IpAddress, ResolvedHop> hops_;
  std::vector<WatchedLink> links_;
};

}  // namespace xebec
