// SPDX-License-Identifier: BSD-2-Clause
// SIGINT, SIGTERM and SIGHUP as a question that a loop asks: verbs that go on until told end by their own code.
#pragma once

#include <chrono>
#include <csignal>

namespace xebec {

/// While one lives. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();  ///< as it was before
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool seen() const;
  /// A signal ends it early.
  void sleep(std::chrono::milliseconds time) const;

 private:
  sigset_t before_{};
};

}  // namespace xebec
