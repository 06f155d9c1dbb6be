// SPDX-License-Identifier: BSD-2-Clause
// What is known of the queues of an interface while they are served.
#include "control/queue_health.h"

#include <fmt/format.h>

namespace xebec {

std::string queue_count_problem(const std::string& interface, const QueueCounts& counts) {
  if (counts.now == 0) return {};  // the whole interface is gone, which is told otherwise
  if (counts.now < counts.served) {
    return fmt::format(
        "interface {}: {} receive queues are left, {} are served: the workers of the others receive nothing",
        interface, counts.now, counts.served);
  }
  // More than are served was known at start and said then, if it was so already.
  if (counts.now <= counts.served || counts.now == counts.at_start) return {};
  if (counts.hashed && *counts.hashed <= counts.served) return {};
  return fmt::format(
      "interface {}: it has {} receive queues now, {} are served: VIP packets on the others get the fallback "
      "verdict "
      "(ethtool -L brings back {}, or restart xebecd)",
      interface, counts.now, counts.served, counts.at_start);
}

}  // namespace xebec
