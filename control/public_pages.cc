// SPDX-License-Identifier: BSD-2-Clause
#include "control/public_pages.h"

#include <algorithm>
#include <string_view>

#include <nlohmann/json.hpp>

namespace xebec {
namespace {

/// Below /v1/: what may be read by whoever reaches the port. A list of what may, so that what is added to the API later is
/// not open to the network by itself: captures, flows and the configuration are for those who reach the unix socket.
constexpr std::string_view kPublicParts[] = {"status",     "services", "backends", "health",
                                             "interfaces", "workers",  "stats"};

bool is_public(std::string_view path) {
  if (path == "/" || path == "/metrics") return true;
  constexpr std::string_view kApi = "/v1/";
  if (!path.starts_with(kApi)) return false;
  path.remove_prefix(kApi.size());
  const std::string_view part = path.substr(0, path.find('/'));
  return std::find(std::begin(kPublicParts), std::end(kPublicParts), part) != std::end(kPublicParts);
}

/// "127.0.0.1:9190", "[::1]", "localhost:9190".
bool names_this_host(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return end != std::string_view::npos && IpAddress::parse(host.substr(1, end - 1)).has_value();
  }
  host = host.substr(0, host.find(':'));
  return host == "localhost" || IpAddress::parse(host).has_value();
}

}  // namespace

HttpResponse page_error(int status, std::string_view code, const std::string& message,
                        std::string_view hint) {
  const nlohmann::ordered_json body = {{"schema", "xebec.error/1"},
                                       {"error",
                                        {{"code", code},
                                         {"message", message},
                                         {"hint", hint},
                                         {"diagnostics", nlohmann::ordered_json::array()}}}};
  return {status, body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n"};
}

std::optional<HttpResponse> refuse_public_request(const HttpRequest& request, bool loopback) {
  if (request.method != "GET") {
    HttpResponse refusal = page_error(405, "permission", request.method + ": nothing can be changed here",
                                      "use the unix socket: xebec, or curl --unix-socket");
    refusal.headers.emplace_back("Allow", "GET, HEAD");
    return refusal;
  }
  if (loopback && !request.host.empty() && !names_this_host(request.host)) {
    return page_error(403, "permission", request.host + ": not a name of this page",
                      "ask for it by address, or as localhost");
  }
  if (!is_public(request.path)) {
    return page_error(404, "not_found", request.path + ": no such page on this port",
                      "/, /metrics, and most GETs below /v1/; the unix socket has everything");
  }
  return std::nullopt;
}

}  // namespace xebec
