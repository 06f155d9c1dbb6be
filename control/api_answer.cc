// SPDX-License-Identifier: BSD-2-Clause
#include "control/api_answer.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "control/author.h"
#include "control/config_document.h"
#include "control/config_fields.h"

namespace xebec {
namespace {

bool is_quoted(std::string_view tag) {
  return tag.size() > 2 && tag.front() == '"' && tag.back() == '"' && tag.find('"', 1) == tag.size() - 1;
}

/// The first key that stands twice in an object of the tree; at most kMaxDocumentDepth deep.
const JsonNode* repeated_key(const JsonNode& node) {
  std::set<std::string_view> keys;
  for (const JsonNode& child : node.children) {
    if (node.kind == JsonNode::Kind::object && !keys.insert(child.key).second) return &child;
    if (const JsonNode* found = repeated_key(child)) return found;
  }
  return nullptr;
}

}  // namespace

const ServiceConfig* Call::service(const std::string& name) const {
  return find_service(controller.config(), name);
}

const std::string* Call::asked(const std::string& name) const {
  const auto it = request.query.find(name);
  return it == request.query.end() ? nullptr : &it->second;
}

bool Call::flag(const std::string& name) const {
  const std::string* value = asked(name);
  return value != nullptr && *value != "0";
}

bool Call::has_known_tag() const {
  return request.if_match.empty() || request.if_match == "*" || is_quoted(request.if_match);
}

ChangeTerms Call::terms() const {
  ChangeTerms terms;
  terms.by = author("API of", request.uid, request.pid);
  if (is_quoted(request.if_match)) terms.match = request.if_match.substr(1, request.if_match.size() - 2);
  return terms;
}

HttpResponse answer(int status, const Json& body) {
  // Strings in it come from configuration and kernel; a byte that is no UTF-8 must not cost the answer.
  return {status, body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", "application/json"};
}

HttpResponse failure(int status, std::string_view code, std::string_view message, std::string_view hint,
                     const Diagnostics& diagnostics) {
  Json rows = Json::array();
  for (const Diagnostic& d : diagnostics) {
    rows.push_back({{"file", d.file},
                    {"line", d.line},
                    {"column", d.column},
                    {"pointer", d.pointer},
                    {"message", d.message}});
  }
  return answer(status,
                {{"schema", "xebec.error/1"},
                 {"error", {{"code", code}, {"message", message}, {"hint", hint}, {"diagnostics", rows}}}});
}

HttpResponse failure(const ChangeError& e) {
  switch (e.kind) {
    case ChangeError::Kind::invalid:
      return failure(422, "invalid_config", e.message, e.hint, e.diagnostics);
    case ChangeError::Kind::not_found:
      return failure(404, "not_found", e.message, e.hint);
    case ChangeError::Kind::conflict:
      return failure(409, "conflict", e.message, e.hint);
    case ChangeError::Kind::stale:
      return failure(412, "conflict", e.message, e.hint);
    case ChangeError::Kind::failed:
      break;
  }
  return failure(500, "failed", e.message, e.hint);
}

HttpResponse no_service(const std::string& name) {
  return failure(404, "not_found", fmt::format("service {}: there is none of this name", name),
                 "xebec service list");
}

HttpResponse not_an_address(const std::string& text) {
  return failure(400, "usage", fmt::format("backend: {} is not an IP address", text));
}

Json rows_of(const std::vector<ConfigChange>& diff) {
  Json rows = Json::array();
  for (const ConfigChange& c : diff)
    rows.push_back({{"op", to_string(c.op)}, {"path", c.path}, {"from", c.from}, {"to", c.to}});
  return rows;
}

HttpResponse answer(const ChangeResult& result, int status) {
  if (!result) return failure(result.error());
  Json body = {{"schema", "xebec.change/1"},       {"changed", result->changed},
               {"generation", result->generation}, {"config_generation", result->config_generation},
               {"dry_run", result->dry_run},       {"diff", rows_of(result->diff)},
               {"warnings", result->warnings}};
  if (result->dry_run) {
    Json rows = Json::array();
    for (const ServiceImpact& impact : result->impact) {
      rows.push_back({{"service", impact.service},
                      {"array_moved", impact.array_moved},
                      {"live_flows", impact.live_flows},
                      {"flows_moved", impact.flows_moved},
                      {"flows_draining", impact.flows_draining}});
    }
    body["impact"] = rows;
  }
  if (result->confirm_within.count() != 0) body["confirm_within_ms"] = result->confirm_within.count();
  return answer(status, body);
}

std::optional<HttpResponse> missing_body(const std::string& body) {
  if (body.find_first_not_of(" \t\r\n") != std::string::npos) return std::nullopt;
  return failure(400, "usage", "body: is empty, and a JSON object is wanted", "docs/api.md has its keys");
}

tl::expected<nlohmann::json, HttpResponse> parse_body(const std::string& body) {
  const auto refuse = [](const TextPosition& at, const std::string& message) {
    return tl::unexpected(failure(422, "invalid_config", "body: " + message, {},
                                  {Diagnostic{"(request)", at.line, at.column, "", message}}));
  };
  if (auto missing = missing_body(body)) return tl::unexpected(std::move(*missing));
  const auto document = parse_document(body);
  if (!document) return refuse(document.error().at, document.error().message);
  if (const JsonNode* twice = repeated_key(*document)) {
    return refuse(twice->key_at, "the key " + quote(twice->key) + " is there twice");
  }
  return nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/true, /*ignore_comments=*/true);
}

tl::expected<uint64_t, HttpResponse> number_in_query(const Call& call, const std::string& name,
                                                     uint64_t otherwise, uint64_t largest) {
  const std::string* text = call.asked(name);
  if (text == nullptr) return otherwise;
  const auto number = decimal(*text);
  if (number && *number <= largest) return *number;
  return tl::unexpected(
      failure(400, "usage", fmt::format("{}: {} is not a number up to {}", name, *text, largest)));
}

}  // namespace xebec
