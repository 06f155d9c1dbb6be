// SPDX-License-Identifier: BSD-2-Clause
// Is the load spread over the workers, and the hash over the queues? Pure, time is passed in.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace xebec {

class BalanceWatch {
 public:
  /// Often enough that a window of kWindowMs is not much longer than that. `received`: packets of each worker since ever.
  /// True: warning() has come or gone.
  bool observe(uint64_t now_ms, std::span<const uint64_t> received);
  /// A sentence; empty: nothing to tell.
  const std::string& warning() const { return warning_; }

  /// Long enough that a burst of one flow is no window, short enough that three are told of within half a minute.
  static constexpr uint64_t kWindowMs = 5000;
  static constexpr int kWindows = 3;
  /// Below this nobody is hurt by one worker having it all.
  static constexpr uint64_t kMinPacketsPerSecond = 10'000;
  /// The busiest worker's share against an even one: raises, and so much lower lets go. Twice is where a second core's
  /// worth of capacity is lost.
  static constexpr double kUneven = 2.0;
  static constexpr double kEven = 1.5;

 private:
  uint64_t began_ms_ = 0;
  std::vector<uint64_t> before_;
  int uneven_ = 0;  // windows in a row
  int even_ = 0;
  std::string warning_;
};

/// Receive hashing that gives one queue far more than its part of the hash values: a warning, or nothing. `shares` by queue,
/// of `interface`.
std::string hashing_warning(const std::string& interface, std::span<const double> shares);

}  // namespace xebec
