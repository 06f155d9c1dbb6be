// SPDX-License-Identifier: BSD-2-Clause
// What an operator said of single backends (drain, maintenance) while the daemon runs: a reload of a file that says nothing new
// of them does not put them back to work.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "control/config.h"

namespace xebec {

class AdminOrders {
 public:
  using Key = std::pair<std::string, IpAddress>;  ///< service, backend

  /// The backend's `admin` was `before` and is now `now`, by order.
  void set(const Key& key, Admin before, Admin now);

  /// Into a whole configuration that is about to be applied: where it says of a backend what was said before the order, the
  /// order stands. Returns those that do.
  std::set<Key> merge(Config& wanted) const;
  /// A configuration has come into force: forgets the orders that it contradicts. `standing`: of a whole configuration what
  /// merge() gave; the others have its own word now. Null: of a change of single things.
  void settle(const Config& config, const std::set<Key>* standing);

  /// "web: backend 10.0.0.1 stays in drain, .."
  std::string sentence(const Key& key) const;

 private:
  struct Order {
    Admin before = Admin::ready;
    Admin now = Admin::ready;
  };
  std::map<Key, Order> orders_;
};

}  // namespace xebec
