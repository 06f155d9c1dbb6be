// SPDX-License-Identifier: BSD-2-Clause
// Workers and interrupts on CPUs: what the configuration wants and the machine has, put together at start.
#pragma once

#include <cstdint>
#include <vector>

#include "control/config.h"
#include "control/hardware.h"
#include "control/irq_affinity.h"
#include "control/preflight.h"

namespace xebec {

/// The CPU of each worker, by worker id; says what is not as it should be.
std::vector<uint32_t> place_workers(uint32_t workers, const std::vector<InterfaceConfig>& interfaces,
                                    const std::vector<Hardware>& hardware, Preflight& preflight);

/// Moves the interrupts of `interface` to its workers' CPUs if it is configured so, else says what would be better.
/// What it returns keeps them there.
std::vector<IrqAffinity> place_interrupts(const InterfaceConfig& interface, const std::vector<uint32_t>& cpus,
                                          Preflight& preflight);

}  // namespace xebec
