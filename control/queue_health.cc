// SPDX-License-Identifier: BSD-2-Clause
// What is known of the queues of an interface while they are served.
#include "control/queue_health.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include <fmt/format.h>

namespace xebec {

QueueTotals& QueueTotals::operator+=(const XskPort& port) {
  const PortStatistics l = port.statistics();
  lost.rx_dropped += l.rx_dropped;
  lost.rx_invalid += l.rx_invalid;
  lost.tx_invalid += l.tx_invalid;
  lost.rx_ring_full += l.rx_ring_full;
  lost.fill_ring_empty += l.fill_ring_empty;
  const TransmitTotals s = port.transmit().totals();
  sent.frames += s.frames;
  sent.injected += s.injected;
  sent.kicks += s.kicks;
  sent.errors += s.errors;
  return *this;
}

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
      "verdict, on veth they may reach the host (ethtool -L brings back {}, or restart xebecd)",
      interface, counts.now, counts.served, counts.at_start);
}

std::string renamed_problem(const std::string& configured, const std::string& now, int ifindex) {
  return fmt::format(
      "interface {}: named {} now (index {}); it is served on, but a restart would look for {} "
      "(ip link set {} name {})",
      configured, now, ifindex, configured, now, configured);
}

std::string why_sockets_stay(std::span<const HeldSocket> sockets) {
  const auto stays = [](const HeldSocket& s) { return s.keep && s.zerocopy && s.bound; };
  const auto one = std::find_if(sockets.begin(), sockets.end(), stays);
  if (one == sockets.end()) return {};
  return fmt::format(
      "that would close its zero-copy socket on {}, and driver {} can reset the NIC for good if that is done "
      "while packets come (restart xebecd when none do)",
      one->interface, one->driver);
}

bool is_bound(int xsk_fd) {
  // Takes nothing: packets are in the ring. ENXIO comes before any other answer (kernel, xsk_check_common); a socket whose
  // interface has gone is unbound by the kernel (xsk_notifier).
  return recv(xsk_fd, nullptr, 0, MSG_DONTWAIT) == 0 || errno != ENXIO;
}

std::string transmit_reasons(const std::map<uint32_t, std::string>& why) {
  std::vector<std::pair<std::string, std::vector<uint32_t>>> reasons;
  for (const auto& [queue, reason] : why) {
    const auto known = std::find_if(reasons.begin(), reasons.end(),
                                    [&said = reason](const auto& r) { return r.first == said; });
    if (known != reasons.end()) {
      known->second.push_back(queue);
    } else {
      reasons.push_back({reason, {queue}});
    }
  }
  if (reasons.size() == 1) return reasons.front().first;
  std::string text;
  for (const auto& [reason, queues] : reasons) {
    text += fmt::format("{}{} (queue{} {})", text.empty() ? "" : "; ", reason, queues.size() == 1 ? "" : "s",
                        fmt::join(queues, ", "));
  }
  return text;
}

}  // namespace xebec
