// SPDX-License-Identifier: BSD-2-Clause
// An interface's hardware as a JSON object, `hardware` of docs/api.md.
#pragma once

#include <nlohmann/json.hpp>

#include "control/hardware.h"

namespace xebec {

/// What is not known is null.
nlohmann::ordered_json report_hardware(const Hardware& hardware);

}  // namespace xebec
