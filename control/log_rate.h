// SPDX-License-Identifier: BSD-2-Clause
// How often lines of one kind may be logged: what a fault says a thousand times a second shall not push out what else
// happened. Pure, time is passed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace xebec {

/// Two lines are of one kind if they differ in numbers and addresses only.
std::string log_kind(std::string_view line);

class LogRate {
 public:
  using Clock = std::chrono::steady_clock;

  /// May `line` be written?
  bool admit(std::string_view line, Clock::time_point now);
  /// "N similar lines suppressed: FIRST OF THEM", of the windows that are over. Ask once a second.
  std::vector<std::string> summaries(Clock::time_point now);

  /// As systemd-journald per service in kind, 10,000 in 30 s, but for each kind by itself, and far below what a reader can
  /// take in: a service with some dozens of backends may say of each that it is down.
  static constexpr uint32_t kBurst = 50;
  static constexpr std::chrono::seconds kWindow{10};
  /// More are not told apart: the lines of a kind that has no place share one.
  static constexpr std::size_t kKinds = 256;

 private:
  struct Kind {
    Clock::time_point began;
    uint32_t written = 0;
    uint64_t suppressed = 0;
    std::string first;  // of those suppressed
  };
  std::map<std::string, Kind, std::less<>> kinds_;
};

}  // namespace xebec
