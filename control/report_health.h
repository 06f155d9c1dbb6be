// SPDX-License-Identifier: BSD-2-Clause
// What the API tells of health checks (docs/api.md).
#pragma once

#include "control/report.h"

namespace xebec {

/// {"state","type","reason"} of a backend, as its row has it; of one that is not checked: unknown, none, "".
Json report_health_of(const Controller& controller, const ServiceConfig& service,
                      const BackendConfig& backend);
/// One row for each backend of the service that is checked.
Json report_checks(const Controller& controller, const ServiceConfig& service);
/// Transitions, oldest first. Empty `service` or absent `backend`: of all.
Json report_transitions(const Controller& controller, const std::string& service,
                        const std::optional<IpAddress>& backend);
/// A single check: where it stands.
Json report_answer(uint64_t ticket, const HealthMonitor::Answer& answer);

}  // namespace xebec
