// SPDX-License-Identifier: BSD-2-Clause
#include "control/api.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/access.h"
#include "control/api_answer.h"
#include "control/api_routes.h"
#include "control/config_document.h"
#include "control/config_fields.h"

namespace xebec {
namespace {

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) segments.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return segments;
}

bool matches(const Route& route, const std::vector<std::string_view>& path) {
  const auto pattern = split(route.path);
  return std::equal(pattern.begin(), pattern.end(), path.begin(), path.end(),
                    [](std::string_view p, std::string_view s) { return p == "*" || p == s; });
}

/// The one of this method; if there is none, `allowed` has the methods that the path has, as in "GET, PATCH".
const Route* find_route(std::string_view method, const std::vector<std::string_view>& path,
                        std::string& allowed) {
  for (const auto routes : {status_routes, service_routes, backend_routes, health_routes, flow_routes,
                            config_routes, explain_routes, event_routes, capture_routes, doctor_routes}) {
    for (const Route& route : routes()) {
      if (!matches(route, path)) continue;
      if (route.method == method) return &route;
      allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
      if (route.method == "GET") allowed += ", HEAD";
    }
  }
  return nullptr;
}

HttpResponse not_allowed(const HttpRequest& request, const std::string& allowed) {
  HttpResponse refusal =
      failure(405, "usage",
              fmt::format("{} {}: {} is what can be done with it", request.method, request.path, allowed),
              "docs/api.md");
  refusal.headers.emplace_back("Allow", allowed);
  return refusal;
}

/// A key that nobody reads is a mistake, and often one that matters: ?dry-run=1 would do it.
std::optional<HttpResponse> refuse_unknown_keys(const Route& route, const HttpRequest& request) {
  std::vector<std::string_view> known;
  for (std::string_view rest = route.query; !rest.empty();) {
    const std::size_t blank = std::min(rest.find(' '), rest.size());
    known.push_back(rest.substr(0, blank));
    rest.remove_prefix(std::min(blank + 1, rest.size()));
  }
  for (const auto& [key, value] : request.query) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string_view guess = nearest(key, known);
    const std::string hint = known.empty()   ? "it is asked without any"
                             : guess.empty() ? fmt::format("there is: {}", fmt::join(known, ", "))
                                             : fmt::format("did you mean {}?", guess);
    return failure(
        400, "usage",
        fmt::format("{} {}: the query has an unknown key, {}", request.method, request.path, quote(key)),
        hint);
  }
  return std::nullopt;
}

/// For the log: a percent-encoded line feed must not begin a line of its own there.
std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

bool is_permitted(const HttpRequest& request) {
  // Looked up at each change: changes are rare, and whoever made the group afterwards need not restart.
  return may_write({request.uid, request.groups}, geteuid(), group_id(kWriteGroup));
}

HttpResponse not_permitted(const HttpRequest& request) {
  return failure(403, "permission",
                 fmt::format("{} {}: uid {} may look, but not change anything", request.method, request.path,
                             request.uid),
                 fmt::format("root, the daemon's user and members of the group {} may", kWriteGroup));
}

void log_change(const HttpRequest& request, int status) {
  spdlog::info("api: {} {} by uid {} pid {}: {}", request.method, printable(request.path), request.uid,
               request.pid, status);
}

HttpResponse change(const Route& route, const Call& call) {
  if (!call.has_known_tag())
    return failure(400, "usage",
                   fmt::format("If-Match: {} is not one ETag in quotes, nor *", call.request.if_match));
  const auto respond = [&] {
    if (!is_permitted(call.request)) return not_permitted(call.request);
    if (const auto stale = call.controller.stale(call.terms())) return failure(*stale);
    return route.respond(call);
  };
  HttpResponse response = respond();
  log_change(call.request, response.status);
  response.etag = '"' + call.controller.config_tag() + '"';
  return response;
}

}  // namespace

HttpResponse handle_api_request(Controller& controller, const HttpRequest& request) try {
  auto path = split(request.path);
  if (path.size() < 2 || path.front() != "v1") {
    return failure(404, "not_found", fmt::format("{}: no such resource", request.path),
                   "everything is below /v1");
  }
  path.erase(path.begin());
  std::string allowed;
  const Route* route = find_route(request.method, path, allowed);
  if (route == nullptr && !allowed.empty()) return not_allowed(request, allowed);
  if (route == nullptr)
    return failure(404, "not_found", fmt::format("{} {}: no such resource", request.method, request.path),
                   "docs/api.md lists them");
  if (auto refused = refuse_unknown_keys(*route, request)) return std::move(*refused);
  const Call call{controller, request, {path.begin(), path.end()}};
  if (route->access == Access::change) return change(*route, call);
  const bool permitted = route->access == Access::read || is_permitted(request);
  return permitted ? route->respond(call) : not_permitted(request);
} catch (const std::exception& e) {
  spdlog::error("api: {} {}: {}", request.method, printable(request.path), e.what());
  return failure(500, "failed", fmt::format("{} {}: {}", request.method, request.path, e.what()));
}

}  // namespace xebec
