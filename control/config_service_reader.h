// SPDX-License-Identifier: BSD-2-Clause
// The reading of services and backends, in the long form and in the short one of "vips".
#pragma once

#include <optional>
#include <string>

#include "control/config_document.h"
#include "control/config_fields.h"

namespace xebec {

// What could not be read has its default, and is spoiled in `findings`. Only single values are judged here:
// what they mean together is config_validate.h's.

/// Of the configuration, a service or a backend alike.
TunnelConfig read_tunnel_node(const JsonNode& node, const std::string& pointer, Findings& findings);

/// The key "timeouts" of `parent`, if it is there; what it does not say is as in `otherwise`.
std::optional<FlowTimeouts> read_timeouts(ObjectReader& parent, const FlowTimeouts& otherwise,
                                          Findings& findings);

ServiceConfig read_service_node(const JsonNode& node, const std::string& pointer,
                                const ServiceDefaults& defaults, Findings& findings);
BackendConfig read_backend_node(const JsonNode& node, const std::string& pointer,
                                const ServiceConfig& service, Findings& findings);
/// An element of "vips": what "services" would have said.
ServiceConfig read_vip_node(const JsonNode& node, const std::string& pointer, const ServiceDefaults& defaults,
                            Findings& findings);

}  // namespace xebec
