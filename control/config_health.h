// SPDX-License-Identifier: BSD-2-Clause
// "health" objects: JSON <-> HealthConfig, and what their values mean together.
#pragma once

#include <nlohmann/json.hpp>

#include "control/config_fields.h"
#include "control/config_validate.h"

namespace xebec {

/// Reads the key "health" of an object that may have it: an object, or false for no check.
HealthConfig read_health(ObjectReader& parent, Findings& findings);

/// Writes it into `parent`; nothing if no key has a value.
void write_health(const HealthConfig& health, nlohmann::ordered_json& parent);

/// The checks of what was written at `at` (of the object that has it), given what is in force there. `port_known`: the
/// service has one port, which is the check's.
void check_health(const HealthConfig& written, const HealthConfig& in_force, bool port_known,
                  const std::string& at, const ValidationSink& sink);
/// That passive health was written only where replies come through here. `translates`: by TCP connections.
void check_passive(const HealthConfig& written, bool translates, const std::string& at,
                   const ValidationSink& sink);
/// That the VIP is asked only where backends have it.
void check_to(const HealthConfig& written, bool translates, const std::string& at,
              const ValidationSink& sink);
/// Those of what stands under "defaults", which may be incomplete.
void check_health_defaults(const HealthConfig& defaults, const ValidationSink& sink);

}  // namespace xebec
