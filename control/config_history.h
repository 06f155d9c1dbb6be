// SPDX-License-Identifier: BSD-2-Clause
// The configurations that were in force, and who changed them: to look at, and to go back to. Bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/config.h"
#include "control/config_diff.h"

namespace xebec {

class ConfigHistory {
 public:
  struct Entry {
    uint64_t generation = 0;  ///< counts changes of the configuration; 1 is what the daemon started with
    std::chrono::system_clock::time_point time;
    std::string by;
    std::size_t changes = 0;
    std::vector<ConfigChange> diff;        ///< to the one before; the first kMaxDiff
    std::shared_ptr<const Config> config;  ///< null: not kept any more
  };

  /// What is looked at on one screen or two, and after a bad afternoon still has the morning's.
  static constexpr std::size_t kMaxEntries = 50;
  static constexpr std::size_t kMaxDiff = 100;
  /// Of services and backends in all kept configurations, some 600 bytes each: 150 MB. The current and the last one are kept in any case.
  static constexpr std::size_t kMaxKept = 250'000;

  ConfigHistory(const Config& first, std::string by, std::chrono::system_clock::time_point now);

  void add(const Config& config, std::vector<ConfigChange> diff, std::string by,
           std::chrono::system_clock::time_point now);

  uint64_t generation() const { return entries_.back().generation; }
  /// The generation before the last change that somebody made: answers of DNS (`by` begins with kByDns) come by themselves. 0: there
  /// is none. Of the answers of one name since that change only the last is kept, so that they do not push out what people did.
  uint64_t before_last_made() const;
  static constexpr std::string_view kByDns = "dns ";
  const std::deque<Entry>& entries() const { return entries_; }  ///< the oldest first
  /// The configuration of that generation; null if it is not there, or not any more.
  std::shared_ptr<const Config> find(uint64_t generation) const;

 private:
  void trim();

  std::deque<Entry> entries_;
};

}  // namespace xebec
