// SPDX-License-Identifier: BSD-2-Clause
#include "control/metrics_source.h"

#include "control/report.h"
#include "control/report_health.h"

namespace xebec {

MetricsSource gather_metrics(const Controller& controller) {
  MetricsSource source{report_status(controller),
                       report_workers(controller),
                       report_interfaces(controller),
                       report_services(controller),
                       Json::array(),
                       Json::array()};
  for (const ServiceConfig& service : controller.config().services) {
    for (Json& row : report_backends(controller, service)) source.backends.push_back(std::move(row));
    for (Json& row : report_checks(controller, service)) source.checks.push_back(std::move(row));
  }
  return source;
}

}  // namespace xebec
