// SPDX-License-Identifier: BSD-2-Clause
// Who started the daemon and wants to hear of it: systemd's notify socket, sd_notify(3), spoken without its library.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace xebec {

/// What is said to nobody costs nothing. Messages are never waited for: a supervisor that does not read loses them.
class Supervisor {
 public:
  /// Of NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which leave the environment: no child shall speak for us.
  static Supervisor from_environment();
  /// `socket`: a path, or "@NAME" of the abstract namespace; empty: nobody listens.
  explicit Supervisor(std::string socket, std::chrono::microseconds watchdog = {});

  bool listens() const { return !socket_.empty(); }
  /// It ends us when alive() is not said for so long; 0: it does not.
  std::chrono::microseconds watchdog() const { return watchdog_; }

  void ready(std::string_view status) const;
  void reloading() const;  ///< until ready()
  void stopping() const;
  void status(std::string_view text) const;
  void alive() const;

 private:
  void send(const std::string& message) const;

  std::string socket_;
  std::chrono::microseconds watchdog_{};
};

/// Whether threads move, by counters that each turns all the time.
class Heartbeats {
 public:
  /// True: each of `beats` differs from what it was when this was last true. False changes nothing, so that a thread that
  /// is only slow has until the watchdog's end.
  bool all_moved(std::span<const uint64_t> beats);

 private:
  std::vector<uint64_t> last_;
};

}  // namespace xebec
