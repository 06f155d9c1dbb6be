// SPDX-License-Identifier: BSD-2-Clause
// Services: what there is, and changes of them. Reloading the file is the change of all at once.
#include "control/api_routes.h"

namespace xebec {
namespace {

HttpResponse list_services(const Call& call) {
  return answer(200, {{"schema", "xebec.service-list/1"}, {"services", report_services(call.controller)}});
}

HttpResponse show_service(const Call& call) {
  const ServiceConfig* s = call.service(call.path[1]);
  if (s == nullptr) return no_service(call.path[1]);
  return answer(200, {{"schema", "xebec.service/1"},
                      {"service", report_service(call.controller, *s)},
                      {"backend_list", report_backends(call.controller, *s)},
                      {"config", write_service(*s)}});
}

HttpResponse add_service(const Call& call) {
  const auto body = parse_body(call.request.body);
  return body ? answer(call.controller.add_service(*body, call.terms()), 201) : body.error();
}

HttpResponse set_service(const Call& call) {
  const auto body = parse_body(call.request.body);
  return body ? answer(call.controller.set_service(call.path[1], *body, call.terms()), 200) : body.error();
}

HttpResponse remove_service(const Call& call) {
  return answer(call.controller.remove_service(call.path[1], call.terms()), 200);
}

HttpResponse reload_files(const Call& call) {
  return answer(call.controller.reload(call.terms()), 200);
}

}  // namespace

std::span<const Route> service_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "services", Access::read, list_services},
      {"GET", "services/*", Access::read, show_service},
      {"POST", "services", Access::change, add_service},
      {"PATCH", "services/*", Access::change, set_service},
      {"DELETE", "services/*", Access::change, remove_service},
      {"POST", "reload", Access::change, reload_files},
  };
  return kRoutes;
}

}  // namespace xebec
