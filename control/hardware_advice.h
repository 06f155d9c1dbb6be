// SPDX-License-Identifier: BSD-2-Clause
// What a preflight says to an interface's hardware: what keeps it from being served, or served well, with the command
// that mends it.
#pragma once

#include <string>
#include <vector>

#include "control/config.h"
#include "control/hardware.h"
#include "control/preflight.h"

namespace xebec {

std::vector<Finding> advise(const InterfaceConfig& interface, const Hardware& hardware);

}  // namespace xebec
