// SPDX-License-Identifier: BSD-2-Clause
#include "control/worker_balance.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

namespace xebec {

bool BalanceWatch::observe(uint64_t now_ms, std::span<const uint64_t> received) {
  if (before_.size() != received.size()) {  // the first time
    before_.assign(received.begin(), received.end());
    began_ms_ = now_ms;
    return false;
  }
  const uint64_t passed_ms = now_ms - began_ms_;
  if (passed_ms < kWindowMs) return false;
  uint64_t total = 0, most = 0;
  std::size_t busiest = 0;
  for (std::size_t i = 0; i < received.size(); ++i) {
    const uint64_t own = received[i] - before_[i];
    total += own;
    if (own > most) {
      most = own;
      busiest = i;
    }
  }
  before_.assign(received.begin(), received.end());
  began_ms_ = now_ms;

  const bool busy = total * 1000 >= kMinPacketsPerSecond * passed_ms;
  const double ratio = total == 0 ? 0
                                  : static_cast<double>(most) * static_cast<double>(received.size()) /
                                        static_cast<double>(total);
  // Between the two bounds nothing changes.
  uneven_ = busy && ratio >= kUneven && received.size() > 1 ? uneven_ + 1 : 0;
  even_ = !busy || ratio <= kEven ? even_ + 1 : 0;
  if (warning_.empty() && uneven_ >= kWindows) {
    warning_ = fmt::format(
        "worker {} receives {:.0f} % of the packets of {} workers: a few large flows, or receive hashing "
        "that does not "
        "spread them",
        busiest, 100.0 * static_cast<double>(most) / static_cast<double>(total), received.size());
    return true;
  }
  if (!warning_.empty() && even_ >= kWindows) {
    warning_.clear();
    return true;
  }
  return false;
}

std::string hashing_warning(const std::string& interface, std::span<const double> shares) {
  if (shares.size() < 2) return "";
  const auto most = std::max_element(shares.begin(), shares.end());
  const double even = 1.0 / static_cast<double>(shares.size());
  if (*most < BalanceWatch::kEven * even) return "";
  return fmt::format("interface {}: receive hashing gives queue {} {:.0f} % of the flows, of {} queues",
                     interface, most - shares.begin(), 100.0 * *most, shares.size());
}

}  // namespace xebec
