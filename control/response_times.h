// SPDX-License-Identifier: BSD-2-Clause
// Weights by how long health checks take: who answers slowly gets less of what is new. Policy only: the caller has the results of
// checks and the clock, and builds the tables.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "control/config.h"

namespace xebec {

class ResponseTimes {
 public:
  using Key = std::pair<std::string, IpAddress>;  ///< service, backend

  static constexpr uint32_t kWhole = 1000;
  /// Of a new result in the average: four results ago counts a third. One slow answer is no slow backend.
  static constexpr double kNew = 0.25;
  /// Added to all times before they are compared: what a scheduler or a link does to the fastest of answers is no difference between backends.
  static constexpr double kNoiseMs = 1;
  /// Less is not worth a table: share of the lookup array that would change hands.
  static constexpr double kWorth = 0.01;
  /// Of what may move, what is planned for: when weights change a little, Maglev moves somewhat more than the difference.
  static constexpr double kPlanned = 0.7;
  /// From one step to the next; what may move in a second moves in one.
  static constexpr std::chrono::milliseconds kStep{1000};

  /// A good check took so long.
  void observe(const Key& key, std::chrono::nanoseconds took);

  /// Moves the weights of all services that want it towards what the averages say, each as far as it may in one step. `takes`: does a
  /// backend take new flows? True if a table is due. Of backends that are not configured any more nothing is kept.
  bool step(const Config& config, const std::function<bool(const Key&)>& takes);

  /// Permille of its weight that a backend has now.
  uint32_t permille(const ServiceConfig& service, const IpAddress& backend) const;
  /// nullopt: no good check yet.
  std::optional<double> average_ms(const Key& key) const;

  static bool is_wanted(const Config& config);

 private:
  struct Known {
    std::optional<double> average_ms;
    double permille = kWhole;
  };
  bool step(const ServiceConfig& service, const std::function<bool(const Key&)>& takes);

  std::map<Key, Known> known_;
};

}  // namespace xebec
