// SPDX-License-Identifier: BSD-2-Clause
// The writing of a configuration in its canonical form: every key that has a value, in the order of
// docs/config.md.
#include <fmt/format.h>

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
  return out;
}

Json write_timeouts(const FlowTimeouts& timeouts) {
  return Json{{"tcp_established_s", timeouts.established_s},
              {"tcp_syn_s", timeouts.syn_s},
              {"tcp_fin_s", timeouts.fin_s},
              {"udp_s", timeouts.udp_s}};
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
  return out;
}

Json write_service(const ServiceConfig& service) {
  Json out;
  out["name"] = service.name;
  out["vip"] = service.vip.to_string();
  out["port"] = service.port == 0 ? Json("any") : Json(service.port);
  out["protocol"] = protocol_name(service.protocol);
  out["mode"] = to_string(service.mode);
  out["table_size"] = service.table_size;
  out["stateless"] = service.stateless;
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
  out["defaults"] = Json{{"table_size", config.defaults.table_size},
                         {"mode", to_string(config.defaults.mode)},
                         {"timeouts", write_timeouts(config.flows.timeouts)}};
  out["flow_table"] =
      Json{{"capacity", config.flows.capacity}, {"max_inserts_per_s", config.flows.max_inserts_per_s}};
  Json tunnel = Json::object();
  if (config.tunnel.source_ipv4) tunnel["source_ipv4"] = config.tunnel.source_ipv4->to_string();
  if (config.tunnel.source_ipv6) tunnel["source_ipv6"] = config.tunnel.source_ipv6->to_string();
  if (!tunnel.empty()) out["tunnel"] = std::move(tunnel);
  out["services"] = Json::array();
  for (const ServiceConfig& service : config.services) out["services"].push_back(write_service(service));
  if (!config.control.socket.empty()) out["control"] = Json{{"socket", config.control.socket}};
  return out;
}

}  // namespace xebec
