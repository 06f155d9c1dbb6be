// SPDX-License-Identifier: BSD-2-Clause
// A worker's latency histogram as a JSON object, `latency` of docs/api.md.
#pragma once

#include <nlohmann/json.hpp>

#include "dataplane/latency.h"

namespace xebec {

nlohmann::ordered_json report_latency(const LatencyHistogram& histogram);

}  // namespace xebec
