// SPDX-License-Identifier: BSD-2-Clause
// A drain as JSON: what a backend's row in docs/api.md has.
#pragma once

#include <string>

#include "control/report.h"

namespace xebec {

/// null, or where the backend's drain stands.
Json report_drain(const Controller& controller, const std::string& service, const IpAddress& address);

}  // namespace xebec
