// SPDX-License-Identifier: BSD-2-Clause
// The daemon's state as JSON objects, the rows of docs/api.md.
#pragma once

#include <nlohmann/json.hpp>

#include "control/controller.h"

namespace xebec {

using Json = nlohmann::ordered_json;

Json report_status(const Controller& controller);
Json report_services(const Controller& controller);                                ///< list
Json report_service(const Controller& controller, const ServiceConfig& service);   ///< a row of it
Json report_backends(const Controller& controller, const ServiceConfig& service);  ///< list
Json report_interfaces(const Controller& controller);
Json report_workers(const Controller& controller);
Json report_packets(const Controller& controller);
/// Where the lookup array sends a flow of `service`.
Json report_which(const Controller& controller, const Service& service, const FlowKey& key);

}  // namespace xebec
