// SPDX-License-Identifier: BSD-2-Clause
// Which timeouts have which class (dataplane/flow_timeouts.h). A set keeps its class from table to table, since flows carry the class.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "dataplane/flow_timeouts.h"

namespace xebec {

/// How many sets beside the defaults one configuration may have.
inline constexpr std::size_t kMaxTimeoutSets = kTimeoutClasses - 1;

class TimeoutClasses {
 public:
  /// For the next table: class 0 becomes `defaults`; each of `wanted` (at most kMaxTimeoutSets) keeps its class or gets
  /// the one that has gone unused for longest. Flows that are left of a class follow what it becomes.
  void assign(const FlowTimeouts& defaults, const std::set<FlowTimeouts>& wanted);

  /// The class of one of the last assign()'s sets; 0 for the defaults.
  uint8_t of(const FlowTimeouts& timeouts) const;
  /// By class: TableParts::timeouts.
  std::vector<FlowTimeouts> all() const;

 private:
  struct Class {
    FlowTimeouts timeouts;
    uint64_t last_used = 0;  // number of the assign() that last wanted it; 0: never
  };
  std::vector<Class> classes_{{}};
  uint64_t assigned_ = 0;
};

}  // namespace xebec
