// SPDX-License-Identifier: BSD-2-Clause
// What a metric is: a name, and where in the API's answers its values are. Pure data, in control/metric_list.h.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace xebec {

enum class MetricType : uint8_t { counter, gauge, histogram };

/// Whose values a metric has: one sample, or some, for each row of an answer of docs/api.md.
enum class MetricScope : uint8_t { daemon, worker, interface, queue, service, backend, check };

/// How a sample is made of what `pointer` points at.
enum class MetricReading : uint8_t {
  number,        ///< as it is
  flag,          ///< false, true: 0, 1
  milliseconds,  ///< as seconds
  size,          ///< of a list
  members,       ///< of an object, `words` names them all: a sample each; one that is not there is 0
  state,         ///< a word: a sample for each of `words`, 1 for the one that it is
  info,          ///< 1, with the row's values of `words` as labels
  histogram,     ///< `latency` of a worker
};

struct MetricRule {
  std::string_view name;
  MetricType type = MetricType::counter;
  MetricScope scope = MetricScope::daemon;
  MetricReading reading = MetricReading::number;
  std::string_view pointer;  ///< JSON pointer in the row
  std::string_view help;
  std::string_view label{};  ///< what the words are: of members and state
  std::span<const std::string_view> words{};
};

}  // namespace xebec
