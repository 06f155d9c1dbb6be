// SPDX-License-Identifier: BSD-2-Clause
#include "control/report_latency.h"

namespace xebec {

nlohmann::ordered_json report_latency(const LatencyHistogram& histogram) {
  // The sum first: it shall not have samples that the buckets lack.
  const uint64_t sum = histogram.sum_ns();
  auto buckets = nlohmann::ordered_json::array();
  uint64_t samples = 0;
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    const uint64_t count = histogram.count(i);
    samples += count;
    const bool bounded = i + 1 < LatencyHistogram::kBuckets;
    nlohmann::ordered_json bound = nullptr;
    if (bounded) bound = static_cast<double>(LatencyHistogram::bound_ns(i)) / 1e9;
    buckets.push_back({{"le_seconds", std::move(bound)}, {"count", count}});
  }
  return {{"samples", samples}, {"sum_seconds", static_cast<double>(sum) / 1e9}, {"buckets", buckets}};
}

}  // namespace xebec
