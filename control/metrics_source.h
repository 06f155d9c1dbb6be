// SPDX-License-Identifier: BSD-2-Clause
// The rows of /metrics, of the daemon.
#pragma once

#include "control/controller.h"
#include "control/metrics.h"

namespace xebec {

MetricsSource gather_metrics(const Controller& controller);

}  // namespace xebec
