// SPDX-License-Identifier: BSD-2-Clause
#include "control/pages.h"

#include <exception>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/api.h"
#include "control/metrics_source.h"
#include "control/public_pages.h"
#include "control/status_page.h"

namespace xebec {

HttpResponse handle_request(Controller& controller, const HttpRequest& request) try {
  if (request.path == "/metrics" && request.method == "GET")
    return {200, metrics_text(gather_metrics(controller)), kMetricsContentType};
  if (request.path == "/" && request.method == "GET") return status_page();
  return handle_api_request(controller, request);
} catch (const std::exception& e) {
  spdlog::error("{}: {}", request.path, e.what());
  return page_error(500, "failed", fmt::format("{}: {}", request.path, e.what()), "");
}

HttpResponse handle_public_request(Controller& controller, const HttpRequest& request, bool loopback) {
  if (auto refusal = refuse_public_request(request, loopback)) return *refusal;
  return handle_request(controller, request);
}

}  // namespace xebec
