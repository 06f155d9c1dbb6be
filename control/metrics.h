// SPDX-License-Identifier: BSD-2-Clause
// The text of /metrics: Prometheus' exposition format 0.0.4, made of the API's answers by the list of metric_list.h.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace xebec {

/// The rows that samples are made of, as docs/api.md has them.
struct MetricsSource {
  nlohmann::ordered_json status;      ///< one object
  nlohmann::ordered_json workers;     ///< lists
  nlohmann::ordered_json interfaces;  ///< with their queues
  nlohmann::ordered_json services;
  nlohmann::ordered_json backends;
  nlohmann::ordered_json checks;
};

std::string metrics_text(const MetricsSource& source);

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace xebec
