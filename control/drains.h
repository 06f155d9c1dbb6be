// SPDX-License-Identifier: BSD-2-Clause
// Backends in drain: no new flows go to them, and those that are there end by themselves or at a deadline. Pure: time and
// numbers of flows are passed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/config.h"

namespace xebec {

struct Drain {
  using Time = std::chrono::steady_clock::time_point;
  enum class Phase : uint8_t {
    draining,
    drained,  ///< takes no packet any more
  };
  Phase phase = Phase::draining;
  Time since;
  std::optional<Time> deadline;  ///< absent: for as long as there are flows
  uint64_t flows_at_start = 0;
  uint64_t flows = 0;  ///< open ones, when last looked at; once drained, those that the deadline cut off
  std::optional<Time> empty_since;  ///< no flow was open since
  bool then_remove = false;         ///< the backend goes once it is drained
  std::string by;                   ///< who asked
};

class Drains {
 public:
  using Key = std::pair<std::string, IpAddress>;  ///< service, backend
  using Time = Drain::Time;

  /// The last segments of a connection whose end was seen: the longest a FIN is likely to be sent again, 200 + 400 + 800 +
  /// 1,600 ms.
  static constexpr std::chrono::milliseconds kLinger{3000};

  struct Order {
    std::optional<std::chrono::milliseconds> deadline{};
    bool then_remove = false;
    std::string by{};
  };
  /// Begins a drain, or gives one that goes on another order. A drained backend stays drained.
  void order(const Key& key, const Order& order, uint64_t flows, Time now);
  /// Exactly the backends whose `admin` says so are in drain: begins what is new, forgets what is not.
  void follow(const Config& config, Time now);
  /// Nothing is known of it any more: should it be in drain, it begins anew.
  void forget(const Key& key) { drains_.erase(key); }
  /// Looks at the flows. Returns those that are drained from now on.
  std::vector<Key> observe(const std::function<uint64_t(const Key&)>& open_flows, Time now);

  const Drain* find(const Key& key) const;
  bool is_drained(const Key& key) const;
  /// Drained, and to be removed.
  std::vector<Key> to_remove() const;
  /// There is something to look at.
  bool any_active() const;

 private:
  std::map<Key, Drain> drains_;
};

}  // namespace xebec
