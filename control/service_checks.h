// SPDX-License-Identifier: BSD-2-Clause
// The checks of services that are more than one key long: what they match and whom they let in, and what their algorithm, on_down and
// client_address go with.
#pragma once

#include <string>

#include "control/config.h"
#include "control/config_validate.h"

namespace xebec {

/// Empty if the prefix may be a VIP.
std::string vip_prefix_fault(const IpPrefix& vip);
/// allow, deny and rate_limit of one service. `at`: its pointer.
void check_source_rules(const ServiceConfig& service, const std::string& at, const ValidationSink& sink);
/// on_down of one service.
void check_on_down(const ServiceConfig& service, const std::string& at, const ValidationSink& sink);
/// client_address of one service.
void check_client_address(const ServiceConfig& service, const std::string& at, const ValidationSink& sink);
/// The algorithm against what else is said: statelessness, hash, weights.
void check_algorithm(const ServiceConfig& service, const std::string& at, const ValidationSink& sink);
/// No two services claim the same, and none cannot be told from another by being narrower.
void check_service_matches(const Config& config, const ValidationSink& sink);

}  // namespace xebec
