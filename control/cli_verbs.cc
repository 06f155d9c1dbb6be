// SPDX-License-Identifier: BSD-2-Clause
// The verbs: request, answer, exit code.
#include "control/cli_verbs.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "control/cli_arguments.h"
#include "control/cli_file.h"
#include "control/cli_render.h"
#include "control/cli_renderer.h"

namespace xebec {
namespace {

constexpr std::string_view kServiceSettings[] = {"mode",
                                                 "algorithm",
                                                 "hash",
                                                 "table_size",
                                                 "stateless",
                                                 "mss_clamp",
                                                 "fragment",
                                                 "allow",
                                                 "deny",
                                                 "fail",
                                                 "backend",
                                                 "client_address",
                                                 "on_down",
                                                 "load_factor_percent",
                                                 "slow_start_ms",
                                                 "drain_ms",
                                                 "weights",
                                                 "weights_floor_percent",
                                                 "weights_move_percent"};
constexpr std::string_view kBackendSettings[] = {"weight", "admin", "mode",     "mac",
                                                 "vlan",   "port",  "server_id"};
constexpr std::string_view kBackendChanges[] = {"weight", "admin", "mode", "mac", "vlan", "server_id"};

bool wants_colour() {
  const char* no_color = std::getenv("NO_COLOR");  // no-color.org
  const char* term = std::getenv("TERM");
  const bool dumb = term != nullptr && std::strcmp(term, "dumb") == 0;
  return isatty(STDOUT_FILENO) == 1 && !dumb && (no_color == nullptr || *no_color == '\0');
}

std::string services_path(const std::string& service) {
  return "/v1/services/" + percent_encode(service);
}

}  // namespace

Verbs::Verbs(CliOptions options)
    : options_(std::move(options)), client_(options_.socket, options_.timeout_s), colour_(wants_colour()) {}

void Verbs::print(const Answer& answer, const std::string& text) const {
  if (options_.output != Output::json) {
    fmt::print("{}", text);
  } else if (options_.pretty) {
    fmt::print("{}\n", answer.json.dump(2, ' ', false, CliJson::error_handler_t::replace));
  } else {
    const bool ended = !answer.body.empty() && answer.body.back() == '\n';
    fmt::print("{}{}", answer.body, ended ? "" : "\n");
  }
}

RenderOptions Verbs::render_options() const {
  return {options_.output == Output::tsv, colour_, options_.statistics};
}

/// JSON goes out as it came, whatever is in it; for everything else it has to be what is rendered.
tl::expected<Answer, CliError> Verbs::fetch(const std::string& path, const std::string& schema) const {
  auto answer = client_.request("GET", path);
  if (!answer || options_.output == Output::json) return answer;
  const CliJson& got = value_at(answer->json, "schema");
  if (got == schema) return answer;
  return tl::unexpected(CliError{"failed",
                                 fmt::format("the daemon's answer: is {}, not {}", got.dump(), schema),
                                 "xebec and xebecd are of different versions; -j shows the answer as it is"});
}

VerbResult Verbs::print_rendered(const Answer& answer, const Renderer& render) const {
  if (options_.output == Output::json) {
    print(answer, "");
    return 0;
  }
  const auto text = render(answer.json, render_options());
  if (!text) return tl::unexpected(text.error());
  print(answer, *text);
  return 0;
}

VerbResult Verbs::show(const std::string& path, const std::string& schema, const Renderer& render) const {
  const auto answer = fetch(path, schema);
  if (!answer) return tl::unexpected(answer.error());
  return print_rendered(*answer, render);
}

VerbResult Verbs::status() const {
  const auto answer = client_.request("GET", "/v1/status");
  if (!answer) return tl::unexpected(answer.error());
  const CliJson& healthy = value_at(answer->json, "healthy");
  if (!healthy.is_boolean()) {
    return tl::unexpected(CliError{"failed", "the daemon's answer: does not say whether it is healthy",
                                   "xebec and xebecd are of different versions?"});
  }
  print(*answer, render_status(answer->json, render_options()));
  return healthy.get<bool>() ? 0 : 1;
}

VerbResult Verbs::list_services() const {
  return show("/v1/services", "xebec.service-list/1", rows_of("services", render_services));
}

VerbResult Verbs::show_service(const std::string& name) const {
  return show(services_path(name), "xebec.service/1", whole(render_service));
}

VerbResult Verbs::list_backends(const std::string& service) const {
  const std::string query = service.empty() ? "" : "?service=" + percent_encode(service);
  return show("/v1/backends" + query, "xebec.backend-list/1", rows_of("backends", render_backends));
}

VerbResult Verbs::list_health(const std::string& service) const {
  const std::string query = service.empty() ? "" : "?service=" + percent_encode(service);
  return show("/v1/health" + query, "xebec.health-list/1", rows_of("checks", render_checks));
}

VerbResult Verbs::list_interfaces() const {
  return show("/v1/interfaces", "xebec.interface-list/1", rows_of("interfaces", render_interfaces));
}

VerbResult Verbs::list_workers() const {
  return show("/v1/workers", "xebec.worker-list/1", rows_of("workers", render_workers));
}

VerbResult Verbs::which(const std::string& service, const std::string& source, const WhichFlow& flow) const {
  const auto src = parse_source(source);
  if (!src) return tl::unexpected(src.error());
  std::string path = services_path(service) + "/which?src=" + percent_encode(*src);
  if (!flow.port.empty()) path += "&dport=" + percent_encode(flow.port);
  if (!flow.destination.empty()) path += "&dst=" + percent_encode(flow.destination);
  if (!flow.protocol.empty()) path += "&protocol=" + percent_encode(flow.protocol);
  return show(path, "xebec.which/1", whole(render_which));
}

// ---- Changes ----
VerbResult Verbs::change(const std::string& method, const std::string& path, const std::string& body,
                         const std::string& tag) const {
  const auto answer = client_.request(method, path, body, tag);
  if (!answer) return tl::unexpected(answer.error());
  return report_change(*answer);
}

VerbResult Verbs::add_service(const std::string& name, const std::string& endpoint,
                              const std::vector<std::string>& settings) const {
  const auto where = parse_service_endpoint(endpoint);
  if (!where) return tl::unexpected(where.error());
  const auto more = parse_settings(settings, kServiceSettings);
  if (!more) return tl::unexpected(more.error());
  CliJson body{{"name", name}};
  body.update(*where);
  body.update(*more);
  return change("POST", "/v1/services", body.dump(-1, ' ', false, CliJson::error_handler_t::replace));
}

VerbResult Verbs::set_service(const std::string& name, const std::vector<std::string>& settings) const {
  const auto body = parse_settings(settings, kServiceSettings);
  if (!body) return tl::unexpected(body.error());
  return change("PATCH", services_path(name), body->dump(-1, ' ', false, CliJson::error_handler_t::replace));
}

VerbResult Verbs::delete_service(const std::string& name) const {
  return change("DELETE", services_path(name), "");
}

VerbResult Verbs::add_backend(const std::string& service, const std::string& address,
                              const std::vector<std::string>& settings) const {
  auto body = parse_backend_address(address);
  if (!body) return tl::unexpected(body.error());
  const auto more = parse_settings(settings, kBackendSettings);
  if (!more) return tl::unexpected(more.error());
  body->update(*more);
  return change("POST", services_path(service) + "/backends",
                body->dump(-1, ' ', false, CliJson::error_handler_t::replace));
}

namespace {

/// A backend is found by its address alone; a port would be ignored, and that is no way to treat a port.
tl::expected<CliJson, CliError> parse_backend_name(const std::string& address) {
  auto where = parse_backend_address(address);
  if (where && where->contains("port")) {
    return tl::unexpected(
        CliError{"usage", address + ": a backend is named by its address alone", "leave the port away"});
  }
  return where;
}

}  // namespace

VerbResult Verbs::set_backend(const std::string& service, const std::string& address,
                              const std::vector<std::string>& settings) const {
  const auto where = parse_backend_name(address);
  if (!where) return tl::unexpected(where.error());
  const auto body = parse_settings(settings, kBackendChanges);
  if (!body) return tl::unexpected(body.error());
  return change(
      "PATCH", services_path(service) + "/backends/" + percent_encode((*where)["address"].get<std::string>()),
      body->dump(-1, ' ', false, CliJson::error_handler_t::replace));
}

// ---- Health ----
VerbResult Verbs::health_history(const std::string& service, const std::string& address) const {
  std::string query = service.empty() ? "" : "?service=" + percent_encode(service);
  if (!address.empty()) {
    const auto where = parse_backend_name(address);
    if (!where) return tl::unexpected(where.error());
    query += "&backend=" + percent_encode((*where)["address"].get<std::string>());
  }
  return show("/v1/health/history" + query, "xebec.health-history/1",
              rows_of("transitions", render_transitions));
}

VerbResult Verbs::check_backend(const std::string& service, const std::string& address) const {
  using namespace std::chrono_literals;
  const auto where = parse_backend_name(address);
  if (!where) return tl::unexpected(where.error());
  const std::string backend = percent_encode((*where)["address"].get<std::string>());
  auto answer = client_.request("POST", services_path(service) + "/backends/" + backend + "/check", "");
  if (!answer) return tl::unexpected(answer.error());
  const std::string path = "/v1/health/checks/" + value_at(answer->json, "check").dump();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.timeout_s);
  while (value_at(answer->json, "done") != true) {
    if (std::chrono::steady_clock::now() > deadline) {
      return tl::unexpected(CliError{"timeout", fmt::format("check of {}: has no result yet", address),
                                     "--timeout SECONDS waits longer"});
    }
    std::this_thread::sleep_for(20ms);  // the daemon's answers do not wait for results
    answer = client_.request("GET", path);
    if (!answer) return tl::unexpected(answer.error());
  }
  print(*answer, render_check(answer->json, render_options()));
  return value_at(answer->json, "result") == "good" ? 0 : 1;
}

VerbResult Verbs::reload() const {
  return change("POST", "/v1/reload", "");
}

// ---- Configuration ----
VerbResult Verbs::check_config(const std::string& file) const {
  const auto config = read_config_file(file);
  if (!config) return tl::unexpected(config.error());
  const Answer answer{R"({"schema":"xebec.check/1","ok":true})", {{"schema", "xebec.check/1"}, {"ok", true}}};
  print(answer, "");
  std::size_t backends = 0;
  for (const ServiceConfig& service : config->services) backends += service.backends.size();
  if (options_.output != Output::json) {
    narrate(fmt::format("{}: good: {}, {}, {}", shown_name(file),
                        counted(config->interfaces.size(), "interface"),
                        counted(config->services.size(), "service"), counted(backends, "backend")));
  }
  return 0;
}

}  // namespace xebec
