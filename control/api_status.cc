// SPDX-License-Identifier: BSD-2-Clause
// How the daemon is: its state, interfaces, workers and counters.
#include "control/api_routes.h"

namespace xebec {
namespace {

HttpResponse show_status(const Call& call) {
  return answer(200, report_status(call.controller));
}

HttpResponse list_interfaces(const Call& call) {
  return answer(200,
                {{"schema", "xebec.interface-list/1"}, {"interfaces", report_interfaces(call.controller)}});
}

HttpResponse list_workers(const Call& call) {
  return answer(200, {{"schema", "xebec.worker-list/1"}, {"workers", report_workers(call.controller)}});
}

HttpResponse show_stats(const Call& call) {
  Json backend_rows = Json::array();
  for (const ServiceConfig& s : call.controller.config().services) {
    for (const auto& row : report_backends(call.controller, s)) {
      Json short_row;
      for (const char* key : {"service", "address", "packets", "bytes", "new_flows", "flows", "open_flows"})
        short_row[key] = row[key];
      backend_rows.push_back(short_row);
    }
  }
  return answer(200, {{"schema", "xebec.stats/1"},
                      {"packets", report_packets(call.controller)},
                      {"services", report_services(call.controller)},
                      {"backends", backend_rows}});
}

}  // namespace

std::span<const Route> status_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "status", Access::read, show_status},
      {"GET", "interfaces", Access::read, list_interfaces},
      {"GET", "workers", Access::read, list_workers},
      {"GET", "stats", Access::read, show_stats},
  };
  return kRoutes;
}

}  // namespace xebec
