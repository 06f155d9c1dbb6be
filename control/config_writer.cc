// SPDX-License-Identifier: BSD-2-Clause
// The writing of a configuration in its canonical form: every key that has a value, in the order of
// docs/config.md.
#include <fmt/format.h>

#include "control/config_dns.h"
#include "control/config_health.h"
#include "control/config_quic.h"
#include "control/config_reader.h"

namespace xebec {
namespace {

using Json = nlohmann::ordered_json;

std::string hex(const std::array<uint8_t, 16>& bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

Json write_interface(const InterfaceConfig& interface) {
  Json out;
  out["name"] = interface.name;
  out["queues"] = interface.queues == 0 ? Json("auto") : Json(interface.queues);
  out["cpus"] = interface.cpus.empty() ? Json("auto") : Json(interface.cpus);
  out["mode"] = to_string(interface.mode);
  out["bind"] = to_string(interface.bind);
  out["transmit"] = to_string(interface.transmit);
  out["poll"] = to_string(interface.poll);
  out["irq_affinity"] = to_string(interface.irq_affinity);
  if (interface.local_mac) out["local_mac"] = to_string(*interface.local_mac);
  return out;
}

Json write_timeouts(const FlowTimeouts& timeouts) {
  return Json{{"tcp_established_s", timeouts.established_s},
              {"tcp_syn_s", timeouts.syn_s},
              {"tcp_fin_s", timeouts.fin_s},
              {"udp_s", timeouts.udp_s}};
}

std::string tunnel_source(const TunnelSource& source) {
  const int width = source.address.is_v4() ? 32 : 128;
  if (source.spread_bits == 0) return source.address.to_string();
  return fmt::format("{}/{}", source.address.to_string(), width - source.spread_bits);
}

void write_tunnel(const TunnelConfig& tunnel, Json& parent) {
  Json out = Json::object();
  if (tunnel.source_ipv4) out["source_ipv4"] = tunnel_source(*tunnel.source_ipv4);
  if (tunnel.source_ipv6) out["source_ipv6"] = tunnel_source(*tunnel.source_ipv6);
  if (tunnel.port) out["port"] = *tunnel.port;
  if (tunnel.gue_variant) out["gue_variant"] = *tunnel.gue_variant;
  if (tunnel.vni) out["vni"] = *tunnel.vni;
  if (tunnel.inner_mac) out["inner_mac"] = to_string(*tunnel.inner_mac);
  if (tunnel.udp6_checksum) out["udp6_checksum"] = *tunnel.udp6_checksum;
  if (!out.empty()) parent["tunnel"] = std::move(out);
}

Json write_nat(const NatConfig& nat) {
  Json out;
  out["addresses"] = Json::array();
  for (const IpAddress& address : nat.addresses) out["addresses"].push_back(address.to_string());
  out["ports"] = fmt::format("{}-{}", nat.table.first_port, nat.table.last_port);
  out["capacity"] = nat.table.capacity;
  out["timeouts"] = Json{{"tcp_established_s", nat.table.timeouts.tcp_established_s},
                         {"tcp_transitory_s", nat.table.timeouts.tcp_transitory_s},
                         {"udp_s", nat.table.timeouts.udp_s}};
  return out;
}

Json write_vlan(uint16_t vlan) {
  if (vlan == kVlanKeep) return "keep";
  return vlan == kVlanNone ? Json("none") : Json(vlan);
}

Json write_mss_clamp(uint16_t clamp) {
  if (clamp == kMssClampAuto) return "auto";
  if (clamp == kMssClampOff) return "off";
  return clamp;
}

Json write_prefixes(const std::vector<IpPrefix>& prefixes) {
  Json out = Json::array();
  for (const IpPrefix& prefix : prefixes) out.push_back(prefix.to_string());
  return out;
}

}  // namespace

Json write_backend(const BackendConfig& backend) {
  Json out;
  out["address"] = backend.address.to_string();
  if (backend.port != 0) out["port"] = backend.port;
  out["weight"] = backend.weight;
  out["admin"] = to_string(backend.admin);
  if (backend.mode) out["mode"] = to_string(*backend.mode);
  if (backend.mac) out["mac"] = to_string(*backend.mac);
  if (backend.vlan) out["vlan"] = write_vlan(*backend.vlan);
  write_tunnel(backend.tunnel, out);
  write_health(backend.health, out);
  write_server_ids(backend.server_ids, out);
  if (backend.discovered) out["discovered"] = true;
  return out;
}

Json write_service(const ServiceConfig& service, bool with_secrets) {
  Json out;
  out["name"] = service.name;
  const ServiceMatch match = service.match();
  out["vip"] = match.vip.to_string();
  out["port"] = match.port == 0 || match.is_range() ? Json(port_text(match)) : Json(match.port);
  out["protocol"] = protocol_name(service.protocol);
  out["mode"] = to_string(service.mode);
  out["algorithm"] = to_string(service.algorithm);
  if (service.algorithm == Algorithm::maglev_bounded)
    out["load_factor_percent"] = service.load_factor_percent;
  out["hash"] = to_string(service.hash);
  out["slow_start_ms"] = service.slow_start_ms;
  out["drain_ms"] = service.drain_ms;
  out["weights"] = to_string(service.weights);
  if (service.weights == WeightSource::response_time) {
    out["weights_floor_percent"] = service.weights_floor_percent;
    out["weights_move_percent"] = service.weights_move_percent;
  }
  write_quic(service.quic, with_secrets, out);
  out["table_size"] = service.table_size;
  out["stateless"] = service.stateless;
  write_tunnel(service.tunnel, out);
  out["mss_clamp"] = write_mss_clamp(service.mss_clamp);
  out["fragment"] = service.fragment;
  if (service.client_address != ClientNote::none) out["client_address"] = to_string(service.client_address);
  if (!service.allow.empty()) out["allow"] = write_prefixes(service.allow);
  if (!service.deny.empty()) out["deny"] = write_prefixes(service.deny);
  if (service.rate_limit.per_second != 0) {
    out["rate_limit"] =
        Json{{"new_flows_per_s", service.rate_limit.per_second}, {"per", to_string(service.rate_limit.per)}};
  }
  write_health(service.health, out);
  out["fail"] = to_string(service.fail);
  if (service.timeouts) out["timeouts"] = write_timeouts(*service.timeouts);
  out["on_down"] = to_string(service.on_down);
  for (const BackendConfig& fallback : service.fallback) out["fallback"] = write_backend(fallback);
  write_dns_source(service.backends_from, out);
  out["backends"] = Json::array();
  for (const BackendConfig& backend : service.backends) out["backends"].push_back(write_backend(backend));
  return out;
}

Json write_config(const Config& config, bool with_secrets) {
  Json out;
  out["version"] = 1;
  out["instance"] = config.instance;
  if (with_secrets && config.hash_seed) out["hash_seed"] = hex(*config.hash_seed);
  out["fallback_verdict"] = to_string(config.fallback_verdict);
  out["hugepages"] = to_string(config.hugepages);
  out["interfaces"] = Json::array();
  for (const InterfaceConfig& interface : config.interfaces)
    out["interfaces"].push_back(write_interface(interface));
  out["defaults"] = Json{{"algorithm", to_string(config.defaults.algorithm)},
                         {"table_size", config.defaults.table_size},
                         {"mode", to_string(config.defaults.mode)},
                         {"fail", to_string(config.defaults.fail)},
                         {"on_down", to_string(config.defaults.on_down)},
                         {"drain_ms", config.defaults.drain_ms},
                         {"timeouts", write_timeouts(config.defaults.timeouts)}};
  write_health(config.defaults.health, out["defaults"]);
  out["flow_table"] =
      Json{{"capacity", config.flows.capacity}, {"max_inserts_per_s", config.flows.max_inserts_per_s}};
  write_tunnel(config.tunnel, out);
  out["nat"] = write_nat(config.nat);
  out["icmp"] = Json{{"errors_per_s", config.icmp.errors_per_s},
                     {"echo_replies_per_s", config.icmp.echo_replies_per_s},
                     {"resets_per_s", config.icmp.resets_per_s}};
  out["services"] = Json::array();
  for (const ServiceConfig& service : config.services)
    out["services"].push_back(write_service(service, with_secrets));
  if (!config.control.socket.empty()) out["control"]["socket"] = config.control.socket;
  if (!config.control.http.empty()) out["control"]["http"] = config.control.http;
  return out;
}

}  // namespace xebec
