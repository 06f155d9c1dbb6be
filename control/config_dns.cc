// SPDX-License-Identifier: BSD-2-Clause
#include "control/config_dns.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/config_document.h"
#include "control/config_keys.h"
#include "control/endpoint.h"

namespace xebec {
namespace {

constexpr std::size_t kMaxDnsServers = 8;

void read_dns_servers(ObjectReader& fields, std::vector<std::string>& servers) {
  const JsonNode* node = fields.expect("servers", JsonNode::Kind::array);
  if (node == nullptr) return;
  for (const JsonNode& element : node->children) {
    const bool text = element.kind == JsonNode::Kind::string;
    if (!text || (!IpAddress::parse(element.text) && !parse_endpoint(element.text))) {
      return fields.report(
          "servers",
          "its elements must be addresses, with or without a port: \"10.0.0.53\", \"10.0.0.53:5353\" "
          "or \"[2001:db8::53]:53\"");
    }
    servers.push_back(element.text);
  }
  if (servers.size() > kMaxDnsServers)
    fields.report("servers",
                  fmt::format("{} are more than there may be, {}", servers.size(), kMaxDnsServers));
}

bool takes(const ServiceConfig& service, DnsRecords records) {
  return (records == DnsRecords::a) == service.vip.is_v4();
}

}  // namespace

std::string dns_name_fault(std::string_view name) {
  if (name == ".") return {};
  if (name.ends_with('.')) name.remove_suffix(1);
  const std::string fault = fmt::format("{} is not a domain name", quote(std::string(name)));
  if (name.empty() || name.size() > 253) return fault;
  while (true) {
    const std::string_view label = name.substr(0, name.find('.'));
    const bool plain = std::all_of(label.begin(), label.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
             c == '_';
    });
    if (label.empty() || label.size() > 63 || !plain) return fault;
    if (label.size() == name.size()) return {};
    name.remove_prefix(label.size() + 1);
  }
}

std::optional<DnsSource> read_dns_source(ObjectReader& service, Findings& findings) {
  const JsonNode* node = service.expect("backends_from", JsonNode::Kind::object);
  if (node == nullptr) return std::nullopt;
  DnsSource source;
  ObjectReader fields(*node, service.pointer("backends_from"), kBackendsFromRule, findings);
  fields.text("dns", source.name);
  if (fields.find("type") != nullptr) {
    DnsRecords type = DnsRecords::a;
    fields.word("type", type);
    source.type = type;
  }
  fields.number("port", source.port);
  fields.number("weight", source.weight);
  fields.number("min_ttl_s", source.min_ttl_s);
  fields.number("max_ttl_s", source.max_ttl_s);
  read_dns_servers(fields, source.servers);
  return source;
}

void write_dns_source(const std::optional<DnsSource>& source, nlohmann::ordered_json& service) {
  if (!source) return;
  nlohmann::ordered_json out{{"dns", source->name}};
  if (source->type) out["type"] = to_string(*source->type);
  if (source->port != 0) out["port"] = source->port;
  out["weight"] = source->weight;
  out["min_ttl_s"] = source->min_ttl_s;
  out["max_ttl_s"] = source->max_ttl_s;
  if (!source->servers.empty()) out["servers"] = source->servers;
  service["backends_from"] = std::move(out);
}

void check_dns_source(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  if (!service.backends_from) return;
  const DnsSource& source = *service.backends_from;
  const std::string where = at + "/backends_from";
  sink.report_at(where + "/dns", dns_name_fault(source.name));
  if (source.min_ttl_s > source.max_ttl_s)
    sink.report_at(where + "/min_ttl_s",
                   fmt::format("{} is more than max_ttl_s, {}", source.min_ttl_s, source.max_ttl_s));
  const bool srv = source.type == DnsRecords::srv;
  if (srv && source.port != 0) sink.report_at(where + "/port", "SRV records say the port themselves");
  if (!sink.usable(at + "/mode") || !sink.usable(at + "/vip") || !sink.usable(at + "/port")) return;
  if (!is_nat(service.mode) && source.port != 0 && (source.port != service.port || service.last_port != 0)) {
    sink.report_at(where + "/port",
                   fmt::format("{} differs from the service's port, and mode {} leaves ports as they are",
                               source.port, to_string(service.mode)));
  }
  if (source.type && !srv && !is_tunnel(service.mode) && !takes(service, *source.type)) {
    sink.report_at(where + "/type",
                   fmt::format("{} records are not of the VIP's family, and mode {} needs it",
                               to_string(*source.type), to_string(service.mode)));
  }
}

void carry_discovered(const Config& before, Config& wanted, bool whole) {
  for (ServiceConfig& service : wanted.services) {
    if (!service.backends_from) {
      std::erase_if(service.backends, [](const BackendConfig& b) { return b.discovered; });
      continue;
    }
    if (!whole) continue;
    const auto old = std::find_if(before.services.begin(), before.services.end(),
                                  [&](const ServiceConfig& s) { return s.name == service.name; });
    if (old == before.services.end() || !old->backends_from ||
        old->backends_from->name != service.backends_from->name)
      continue;
    // What the document says of discovered ones was true when it was saved; what is known now is newer.
    std::erase_if(service.backends, [](const BackendConfig& b) { return b.discovered; });
    for (const BackendConfig& known : old->backends) {
      const auto written = [&](const BackendConfig& b) { return b.address == known.address; };
      if (known.discovered && std::none_of(service.backends.begin(), service.backends.end(), written))
        service.backends.push_back(known);
    }
  }
}

void restore_discovered(const Config& then, Config& wanted) {
  for (ServiceConfig& service : wanted.services) {
    const ServiceConfig* was = find_service(then, service.name);
    if (was == nullptr || !service.backends_from) continue;
    for (BackendConfig& backend : service.backends) {
      const auto said = std::find_if(was->backends.begin(), was->backends.end(),
                                     [&](const BackendConfig& b) { return b.address == backend.address; });
      if (!backend.discovered || said == was->backends.end()) continue;
      backend.admin = said->admin;
      if (service.backends_from->type != DnsRecords::srv) backend.weight = said->weight;
    }
  }
}

}  // namespace xebec
