// SPDX-License-Identifier: BSD-2-Clause
#include "control/api.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/access.h"
#include "control/api_answer.h"
#include "control/api_backend.h"
#include "control/api_capture.h"
#include "control/api_config.h"
#include "control/api_doctor.h"
#include "control/api_events.h"
#include "control/api_flow.h"
#include "control/endpoint.h"
#include "control/explain.h"
#include "control/report.h"
#include "control/report_health.h"

namespace xebec {
namespace {

HttpResponse no_service(const std::string& name) {
  return failure(404, "not_found", fmt::format("service {}: there is none of this name", name),
                 "xebec service list");
}

/// A part of the question that the service leaves open must be in the query, and one that it does not must fit.
tl::expected<void, std::string> read_which_flow(const Call& call, const Service& service, FlowKey& key) {
  const ServiceMatch match = service.match();
  const auto asked = [&](const char* name) -> const std::string* {
    const auto it = call.request.query.find(name);
    return it == call.request.query.end() ? nullptr : &it->second;
  };
  uint16_t port = match.port;
  if (const std::string* dport = asked("dport")) {
    const auto parsed = parse_port(*dport);
    if (!parsed) return tl::unexpected(fmt::format("which: dport: {} is not a port", *dport));
    const uint16_t last = match.is_range() ? match.last_port : match.port;
    if (match.port != 0 && (*parsed < match.port || *parsed > last))
      return tl::unexpected(
          fmt::format("which: the service is on port {}, not {}", port_text(match), *parsed));
    port = *parsed;
  } else if (match.port == 0 || match.is_range()) {
    return tl::unexpected(fmt::format("which: the service takes {}: say which with dport=PORT",
                                      match.port == 0 ? "any port" : "ports " + port_text(match)));
  }
  key.destination = match.vip.network;
  if (const std::string* dst = asked("dst")) {
    const auto parsed = IpAddress::parse(*dst);
    if (!parsed || !match.vip.contains(*parsed))
      return tl::unexpected(
          fmt::format("which: dst: {} is not an address in {}", *dst, match.vip.to_string()));
    key.destination = *parsed;
  } else if (!match.vip.is_single()) {
    return tl::unexpected(fmt::format("which: the service is all of {}: say which address with dst=ADDR",
                                      match.vip.to_string()));
  }
  key.protocol = match.protocol;
  if (match.protocol == kProtoAny) {
    const std::string* protocol = asked("protocol");
    if (protocol == nullptr || (*protocol != "tcp" && *protocol != "udp" && *protocol != "sctp"))
      return tl::unexpected(
          std::string("which: the service takes any protocol: say protocol=tcp, udp or sctp"));
    key.protocol = *protocol == "tcp" ? kProtoTcp : *protocol == "udp" ? kProtoUdp : kProtoSctp;
  }
  key.destination_port = Be16::from_host(port);
  return {};
}

HttpResponse which(const Call& call) {
  const auto src = call.request.query.find("src");
  if (src == call.request.query.end()) return failure(400, "usage", "which: needs src=ADDRESS:PORT");
  const auto source = parse_endpoint(src->second);
  if (!source) return failure(400, "usage", fmt::format("which: src: {} is not ADDRESS:PORT", src->second));
  for (const Service& s : call.controller.engine().table().services()) {
    if (s.name != call.path[1]) continue;
    FlowKey key;
    if (const auto r = read_which_flow(call, s, key); !r) return failure(400, "usage", r.error());
    if (source->address.is_v4() != s.vip.is_v4()) {
      return failure(400, "usage", "which: src and the service's address are of different families");
    }
    key.source = source->address;
    key.source_port = Be16::from_host(source->port);
    return answer(200, report_which(call.controller, s, key));
  }
  return no_service(call.path[1]);
}

HttpResponse explain(const Call& call) {
  const auto& query = call.request.query;
  const auto src = query.find("src"), dst = query.find("dst");
  if (src == query.end() || dst == query.end())
    return failure(400, "usage", "explain: needs src=ADDRESS:PORT and dst=VIP:PORT/PROTO");
  const auto tuple = parse_tuple(src->second, dst->second);
  if (!tuple) return failure(400, "usage", "explain: " + tuple.error());
  const Controller& c = call.controller;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();  // as Controller has the builder
  const ExplainWorld world{
      c.config(),  c.engine().table(),
      c.builder(), [&c](uint16_t index) { return c.engine().interfaces().at(index).config.name; },
      "kernel",    static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count())};
  return answer(200, explain_tuple(world, *tuple));
}

HttpResponse backends(const Call& call) {
  Json rows = Json::array();
  const auto wanted = call.request.query.find("service");
  if (wanted != call.request.query.end() && call.service(wanted->second) == nullptr)
    return no_service(wanted->second);
  for (const ServiceConfig& s : call.controller.config().services) {
    if (wanted != call.request.query.end() && wanted->second != s.name) continue;
    for (auto& row : report_backends(call.controller, s)) rows.push_back(row);
  }
  return answer(200, {{"schema", "xebec.backend-list/1"}, {"backends", rows}});
}

/// The list of checks or the history, of what the query asks for.
HttpResponse health(const Call& call) {
  Controller& c = call.controller;
  const auto& query = call.request.query;
  const auto service = query.find("service");
  const std::string name = service == query.end() ? "" : service->second;
  if (service != query.end() && call.service(name) == nullptr) return no_service(name);
  if (call.path.size() == 1) {
    Json rows = Json::array();
    for (const ServiceConfig& s : c.config().services) {
      if (!name.empty() && name != s.name) continue;
      for (auto& row : report_checks(c, s)) rows.push_back(row);
    }
    return answer(200, {{"schema", "xebec.health-list/1"},
                        {"running", c.health().runner().running()},
                        {"waiting", c.health().runner().waiting()},
                        {"checks", rows}});
  }
  std::optional<IpAddress> backend;
  if (const auto found = query.find("backend"); found != query.end()) {
    backend = IpAddress::parse(found->second);
    if (!backend)
      return failure(400, "usage", fmt::format("backend: {} is not an IP address", found->second));
  }
  return answer(
      200, {{"schema", "xebec.health-history/1"}, {"transitions", report_transitions(c, name, backend)}});
}

HttpResponse single_check(const Call& call) {
  const std::string& text = call.path[2];
  uint64_t ticket = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ticket);
  const bool number = error == std::errc() && end == text.data() + text.size();
  const HealthMonitor::Answer* found = number ? call.controller.health().answer(ticket) : nullptr;
  if (found == nullptr)
    return failure(404, "not_found", fmt::format("health check {}: there is none of this number", text));
  return answer(200, report_answer(ticket, *found));
}

HttpResponse start_check(const Call& call) {
  const auto address = IpAddress::parse(call.path[3]);
  if (!address) return failure(400, "usage", fmt::format("backend: {} is not an IP address", call.path[3]));
  const auto ticket = call.controller.check_backend(call.path[1], *address);
  if (!ticket) return answer(ChangeResult(tl::unexpected(ticket.error())), 202);
  return answer(202, report_answer(*ticket, *call.controller.health().answer(*ticket)));
}

HttpResponse stats(const Call& call) {
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

/// Names this run of the daemon.
std::string epoch_of(const Controller& controller) {
  return fmt::format("{}-{}", getpid(), controller.started_at().time_since_epoch().count());
}

HttpResponse read(const Call& call) {
  Controller& c = call.controller;
  if (call.is("GET", {"status"})) return answer(200, report_status(c));
  if (call.is("GET", {"services"})) {
    return answer(200, {{"schema", "xebec.service-list/1"}, {"services", report_services(c)}});
  }
  if (call.is("GET", {"services", "*"})) {
    const ServiceConfig* s = call.service(call.path[1]);
    if (s == nullptr) return no_service(call.path[1]);
    return answer(200, {{"schema", "xebec.service/1"},
                        {"service", report_service(c, *s)},
                        {"backend_list", report_backends(c, *s)},
                        {"config", write_service(*s)}});
  }
  if (call.is("GET", {"services", "*", "which"})) return which(call);
  if (call.is("GET", {"explain"})) return explain(call);
  if (call.is("GET", {"backends"})) return backends(call);
  if (call.is("GET", {"interfaces"})) {
    return answer(200, {{"schema", "xebec.interface-list/1"}, {"interfaces", report_interfaces(c)}});
  }
  if (call.is("GET", {"workers"}))
    return answer(200, {{"schema", "xebec.worker-list/1"}, {"workers", report_workers(c)}});
  if (call.is("GET", {"health"}) || call.is("GET", {"health", "history"})) return health(call);
  if (call.is("GET", {"health", "checks", "*"})) return single_check(call);
  if (call.is("GET", {"stats"})) return stats(call);
  if (call.is("GET", {"events"})) return report_events(c.event_log(), epoch_of(c), call.request);
  if (call.path.front() == "config") return read_config_resource(call);
  if (call.path.front() == "flows") return read_flow_resource(call);
  return failure(404, "not_found", fmt::format("{}: no such resource", call.request.path),
                 "docs/api.md lists them");
}

HttpResponse write(const Call& call) {
  Controller& c = call.controller;
  const std::string& body = call.request.body;
  if (call.is("POST", {"reload"})) return answer(c.reload(call.terms()), 200);
  if (call.is("DELETE", {"services", "*"})) return answer(c.remove_service(call.path[1], call.terms()), 200);
  if (call.is("PATCH", {"services", "*", "backends", "*"}) ||
      call.is("DELETE", {"services", "*", "backends", "*"}) ||
      call.is("POST", {"services", "*", "backends", "*", "drain"})) {
    return change_backend(call);
  }
  if (call.is("POST", {"services", "*", "backends", "*", "check"})) return start_check(call);
  if (call.path.front() == "config") return write_config_resource(call);
  if (call.path.front() == "flows") return write_flow_resource(call);
  if (call.is("PATCH", {"services", "*"})) {
    const auto json = parse_body(body);
    return json ? answer(c.set_service(call.path[1], *json, call.terms()), 200) : json.error();
  }
  if (call.is("POST", {"services"}) || call.is("POST", {"services", "*", "backends"})) {
    const auto json = parse_body(body);
    if (!json) return json.error();
    return answer(call.path.size() == 1 ? c.add_service(*json, call.terms())
                                        : c.add_backend(call.path[1], *json, call.terms()),
                  201);
  }
  return failure(404, "not_found",
                 fmt::format("{} {}: no such resource", call.request.method, call.request.path),
                 "docs/api.md lists them");
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

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t slash = path.find('/', at);
    const std::size_t end = slash == std::string::npos ? path.size() : slash;
    if (end > at) parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

}  // namespace

HttpResponse handle_api_request(Controller& controller, const HttpRequest& request) try {
  Call call{controller, request, split(request.path)};
  if (call.path.size() < 2 || call.path.front() != "v1") {
    return failure(404, "not_found", fmt::format("{}: no such resource", request.path),
                   "everything is below /v1");
  }
  call.path.erase(call.path.begin());
  const bool reads = request.method == "GET";
  const bool silent = reads || (!call.path.empty() && call.path.back() == "read");  // nothing is changed by it
  if (reads || is_permitted(request)) {
    for (const auto handle : {handle_capture_request, handle_doctor_request}) {
      if (auto response = handle(controller, request, call.path)) {
        if (!silent) log_change(request, response->status);
        return *response;
      }
    }
  }
  if (request.method == "GET") return read(call);
  if (!request.if_match.empty() && !call.has_known_tag())
    return failure(400, "usage",
                   fmt::format("If-Match: {} is not one ETag in quotes, nor *", request.if_match));
  HttpResponse response = is_permitted(request) ? write(call) : not_permitted(request);
  log_change(request, response.status);
  response.etag = '"' + controller.config_tag() + '"';
  return response;
} catch (const std::exception& e) {
  spdlog::error("api: {} {}: {}", request.method, printable(request.path), e.what());
  return failure(500, "failed", fmt::format("{} {}: {}", request.method, request.path, e.what()));
}

}  // namespace xebec
