// SPDX-License-Identifier: BSD-2-Clause
// Services and backends: JSON nodes -> ServiceConfig, BackendConfig.
#include "control/config_service_reader.h"

#include <algorithm>
#include <type_traits>

#include <fmt/format.h>

#include "control/config_dns.h"
#include "control/config_health.h"
#include "control/config_quic.h"

namespace xebec {
namespace {

using Kind = JsonNode::Kind;

constexpr std::string_view kPortForms = R"(a number from 1 to 65535, a range such as "8000-8099" or "any")";

/// "8000-8099"; a range of one port is that port. False: it is something else.
bool read_port_range(ObjectReader& fields, std::string_view key, std::string_view text,
                     ServiceConfig& service) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  const auto first = decimal(text.substr(0, dash));
  const auto last = decimal(text.substr(dash + 1));
  if (!first || !last) return false;
  if (*first > *last) {
    fields.report(key, fmt::format("{}: the range ends before it begins", quote(text)));
  } else if (*first < kPortRange.low || *last > kPortRange.high) {
    fields.report(key,
                  fmt::format("{} is out of range {}..{}", quote(text), kPortRange.low, kPortRange.high));
  } else {
    service.port = static_cast<uint16_t>(*first);
    service.last_port = *first == *last ? uint16_t{0} : static_cast<uint16_t>(*last);
  }
  return true;
}

/// A number, a range, or "any" for 0. With `loose` also the digits in a string, as the seeds write them.
void read_port(ObjectReader& fields, std::string_view key, bool loose, ServiceConfig& service) {
  const JsonNode* node = fields.find(key);
  if (node == nullptr) return;
  if (node->kind == Kind::number) return fields.number(key, service.port);
  if (node->kind != Kind::string) return fields.report_kind(key, kPortForms);
  if (node->text == "any" || read_port_range(fields, key, node->text, service)) return;
  const std::optional<uint64_t> value = decimal(node->text);
  if (value && !loose) return fields.report(key, fmt::format("must be a number: {} without quotes", *value));
  if (value && *value >= kPortRange.low && *value <= kPortRange.high) {
    service.port = static_cast<uint16_t>(*value);
  } else if (value) {
    fields.report(key, fmt::format("{} is out of range {}..{}", *value, kPortRange.low, kPortRange.high));
  } else {
    fields.report(key, fmt::format("{} is not a port: {}", quote(node->text), kPortForms));
  }
}

void read_mss_clamp(ObjectReader& fields, uint16_t& clamp) {
  const JsonNode* node = fields.find("mss_clamp");
  if (node == nullptr) return;
  if (node->kind == Kind::number) return fields.number("mss_clamp", clamp);
  if (node->kind != Kind::string) return fields.report_kind("mss_clamp", "a number, \"auto\" or \"off\"");
  if (node->text == "auto") {
    clamp = kMssClampAuto;
  } else if (node->text == "off") {
    clamp = kMssClampOff;
  } else {
    fields.report("mss_clamp",
                  fmt::format("{} is neither a number nor \"auto\" nor \"off\"", quote(node->text)));
  }
}

void read_algorithm(ObjectReader& fields, ServiceConfig& service) {
  fields.word("algorithm", service.algorithm);
  fields.number("load_factor_percent", service.load_factor_percent);
  if (fields.find("load_factor_percent") != nullptr && service.algorithm != Algorithm::maglev_bounded &&
      fields.clean("algorithm"))
    fields.report("load_factor_percent", "only algorithm maglev-bounded has one");
  // An algorithm that is named after its hash brings it along.
  if (service.algorithm == Algorithm::source_hash) service.hash = HashInput::source;
  fields.word("hash", service.hash);
}

void read_weights(ObjectReader& fields, ServiceConfig& service) {
  fields.word("weights", service.weights);
  fields.number("weights_floor_percent", service.weights_floor_percent);
  fields.number("weights_move_percent", service.weights_move_percent);
  if (service.weights != WeightSource::fixed || !fields.clean("weights")) return;
  for (const char* key : {"weights_floor_percent", "weights_move_percent"}) {
    if (fields.find(key) != nullptr) fields.report(key, "only weights \"response-time\" have one");
  }
}

void read_vip(ObjectReader& fields, ServiceConfig& service) {
  IpPrefix vip{service.vip, service.vip_length};
  fields.prefix("vip", vip);
  service.vip = vip.network;
  service.vip_length = vip.length;
}

void read_rate_limit(const JsonNode& node, const std::string& pointer, NewFlowLimit& limit,
                     Findings& findings) {
  ObjectReader fields(node, pointer, kRateLimitRule, findings);
  fields.number("new_flows_per_s", limit.per_second);
  fields.word("per", limit.per);
}

/// The seeds write the protocol in any case, or as its number.
void read_seed_protocol(ObjectReader& fields, uint8_t& protocol) {
  const JsonNode* node = fields.find("protocol");
  if (node == nullptr) return;
  const std::optional<uint64_t> number = node->kind == Kind::number ? node->whole : decimal(node->text);
  if (number) {
    if (*number > UINT8_MAX || !has_ports(static_cast<uint8_t>(*number))) {
      return fields.report("protocol",
                           fmt::format("protocol {} is neither 6 (tcp), 17 (udp) nor 132 (sctp)", *number));
    }
    protocol = static_cast<uint8_t>(*number);
    return;
  }
  if (node->kind != Kind::string)
    return fields.report_kind("protocol", R"("tcp", "udp", "sctp", "any", 6, 17 or 132)");
  if (const auto value = fields.lookup("protocol", kProtocolWords, lower(node->text))) protocol = *value;
}

/// One address, or a prefix "198.51.100.0/24" whose host bits are spread over flows.
void read_tunnel_source(ObjectReader& fields, std::string_view key, std::optional<TunnelSource>& target) {
  const JsonNode* node = fields.expect(key, Kind::string);
  if (node == nullptr) return;
  const std::size_t slash = node->text.find('/');
  const auto address = IpAddress::parse(node->text.substr(0, slash));
  if (!address)
    return fields.report(key, fmt::format("{} is not an IPv4 or IPv6 address", quote(node->text)));
  target = TunnelSource{*address, 0};
  if (slash == std::string::npos) return;
  const uint64_t width = address->is_v4() ? 32 : 128;
  const auto length = decimal(std::string_view(node->text).substr(slash + 1));
  if (!length || *length > width || *length < 8)
    return fields.report(key, fmt::format("{} is not a prefix of 8 to {} bits", quote(node->text), width));
  target->spread_bits = static_cast<uint8_t>(std::min<uint64_t>(width - *length, 32));
}

/// A VLAN id, "keep" or "none".
void read_vlan(ObjectReader& fields, std::optional<uint16_t>& target) {
  const JsonNode* node = fields.find("vlan");
  if (node == nullptr) return;
  uint16_t vlan = kVlanKeep;
  if (node->kind == Kind::number) {
    fields.number("vlan", vlan);
  } else if (node->kind == Kind::string && (node->text == "keep" || node->text == "none")) {
    vlan = node->text == "keep" ? kVlanKeep : kVlanNone;
  } else {
    return fields.report_kind("vlan", "a number from 1 to 4094, \"keep\" or \"none\"");
  }
  target = vlan;
}

}  // namespace

TunnelConfig read_tunnel_node(const JsonNode& node, const std::string& pointer, Findings& findings) {
  TunnelConfig tunnel;
  ObjectReader fields(node, pointer, kTunnelRule, findings);
  const auto number = [&](std::string_view key, auto& target) {
    std::remove_reference_t<decltype(*target)> value{};
    fields.number(key, value);
    if (fields.find(key) != nullptr) target = value;
  };
  read_tunnel_source(fields, "source_ipv4", tunnel.source_ipv4);
  read_tunnel_source(fields, "source_ipv6", tunnel.source_ipv6);
  number("port", tunnel.port);
  number("gue_variant", tunnel.gue_variant);
  number("vni", tunnel.vni);
  fields.mac("inner_mac", tunnel.inner_mac);
  bool checksum = true;
  fields.flag("udp6_checksum", checksum);
  if (fields.find("udp6_checksum") != nullptr) tunnel.udp6_checksum = checksum;
  return tunnel;
}

std::optional<FlowTimeouts> read_timeouts(ObjectReader& parent, const FlowTimeouts& otherwise,
                                          Findings& findings) {
  const JsonNode* node = parent.expect("timeouts", Kind::object);
  if (node == nullptr) return std::nullopt;
  FlowTimeouts timeouts = otherwise;
  ObjectReader times(*node, parent.pointer("timeouts"), kTimeoutRule, findings);
  times.number("tcp_established_s", timeouts.established_s);
  times.number("tcp_syn_s", timeouts.syn_s);
  times.number("tcp_fin_s", timeouts.fin_s);
  times.number("udp_s", timeouts.udp_s);
  return timeouts;
}

nlohmann::json merged_service(const ServiceConfig& service, const nlohmann::json& fields) {
  nlohmann::json merged = nlohmann::json::parse(write_service(service, /*with_secrets=*/true).dump());
  if (fields.contains("algorithm")) {
    merged.erase("load_factor_percent");
    // source-hash alone says which hash it wants.
    constexpr std::string_view kSourceHash = "source-hash";
    if (merged["algorithm"] == kSourceHash || fields["algorithm"] == kSourceHash) merged.erase("hash");
  }
  if (fields.contains("weights")) {
    merged.erase("weights_floor_percent");
    merged.erase("weights_move_percent");
  }
  merged.update(fields);
  return merged;
}

BackendConfig read_backend_node(const JsonNode& node, const std::string& pointer,
                                const ServiceConfig& service, Findings& findings) {
  BackendConfig backend;
  ObjectReader fields(node, pointer, kBackendRule, findings);
  fields.address("address", backend.address);
  fields.number("port", backend.port);
  // Two spellings of the same backend must give the same lookup array, which is made from address and port.
  if (backend.port == service.port && service.last_port == 0) backend.port = 0;
  fields.number("weight", backend.weight);
  fields.word("admin", backend.admin);
  if (fields.find("mode") != nullptr) {
    Mode mode = service.mode;
    fields.word("mode", mode);
    backend.mode = mode;
  }
  fields.mac("mac", backend.mac);
  read_vlan(fields, backend.vlan);
  if (const JsonNode* tunnel = fields.find("tunnel"))
    backend.tunnel = read_tunnel_node(*tunnel, pointer_to(pointer, "tunnel"), findings);
  backend.health = read_health(fields, findings);
  backend.server_ids = read_server_ids(fields);
  fields.flag("discovered", backend.discovered);
  return backend;
}

ServiceConfig read_service_node(const JsonNode& node, const std::string& pointer,
                                const ServiceDefaults& defaults, Findings& findings) {
  ServiceConfig service;
  service.mode = defaults.mode;
  service.table_size = defaults.table_size;
  service.fail = defaults.fail;
  service.on_down = defaults.on_down;
  service.algorithm = defaults.algorithm;
  service.drain_ms = defaults.drain_ms;
  ObjectReader fields(node, pointer, kServiceRule, findings);
  fields.text("name", service.name);
  read_vip(fields, service);
  read_port(fields, "port", /*loose=*/false, service);
  fields.word("protocol", service.protocol);
  fields.word("mode", service.mode);
  read_algorithm(fields, service);
  fields.number("slow_start_ms", service.slow_start_ms);
  fields.number("drain_ms", service.drain_ms);
  read_weights(fields, service);
  service.quic = read_quic(fields, findings);
  fields.number("table_size", service.table_size);
  fields.flag("stateless", service.stateless);
  service.health = read_health(fields, findings);
  service.backends_from = read_dns_source(fields, findings);
  fields.word("fail", service.fail);
  service.timeouts = read_timeouts(fields, defaults.timeouts, findings);
  fields.word("on_down", service.on_down);
  if (const JsonNode* tunnel = fields.find("tunnel"))
    service.tunnel = read_tunnel_node(*tunnel, pointer_to(pointer, "tunnel"), findings);
  read_mss_clamp(fields, service.mss_clamp);
  fields.flag("fragment", service.fragment);
  fields.word("client_address", service.client_address);
  fields.prefixes("allow", service.allow);
  fields.prefixes("deny", service.deny);
  if (const JsonNode* limit = fields.expect("rate_limit", Kind::object))
    read_rate_limit(*limit, pointer_to(pointer, "rate_limit"), service.rate_limit, findings);
  if (const JsonNode* fallback = fields.find("fallback")) {
    service.fallback.push_back(
        read_backend_node(*fallback, pointer_to(pointer, "fallback"), service, findings));
  }
  if (const JsonNode* backends = fields.expect("backends", Kind::array)) {
    const std::string at = pointer_to(pointer, "backends");
    for (std::size_t i = 0; i < backends->children.size(); ++i) {
      service.backends.push_back(
          read_backend_node(backends->children[i], pointer_to(at, i), service, findings));
    }
  }
  return service;
}

ServiceConfig read_vip_node(const JsonNode& node, const std::string& pointer, const ServiceDefaults& defaults,
                            Findings& findings) {
  ServiceConfig service;
  service.mode = defaults.mode;
  service.table_size = defaults.table_size;
  service.fail = defaults.fail;
  service.on_down = defaults.on_down;
  service.algorithm = defaults.algorithm;
  service.drain_ms = defaults.drain_ms;
  if (service.algorithm == Algorithm::source_hash) service.hash = HashInput::source;
  ObjectReader fields(node, pointer, kVipRule, findings);
  read_vip(fields, service);
  read_port(fields, "port", /*loose=*/true, service);
  read_seed_protocol(fields, service.protocol);
  service.name = fmt::format("vip-{}-{}-{}", service.match().vip.to_string(), port_text(service.match()),
                             protocol_name(service.protocol));
  std::replace(service.name.begin(), service.name.end(), '/', '_');  // which a name cannot have
  // A name made from what could not be read would only collide with another such.
  for (const char* part : {"vip", "port", "protocol"}) {
    if (!findings.usable(pointer_to(pointer, part))) findings.spoil(pointer_to(pointer, "name"));
  }
  if (const JsonNode* reals = fields.expect("reals", Kind::array)) {
    const std::string at = pointer_to(pointer, "reals");
    for (std::size_t i = 0; i < reals->children.size(); ++i) {
      BackendConfig backend;
      ObjectReader real(reals->children[i], pointer_to(at, i), kRealRule, findings);
      real.address("ip", backend.address);
      real.mac("mac", backend.mac);
      service.backends.push_back(backend);
    }
  }
  return service;
}

}  // namespace xebec
