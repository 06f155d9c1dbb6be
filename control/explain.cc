// SPDX-License-Identifier: BSD-2-Clause
// What becomes of a flow, and why.
#include "control/explain.h"

#include <algorithm>
#include <bit>
#include <vector>

#include <fmt/format.h>

#include "control/config_keys.h"
#include "control/endpoint.h"
#include "control/trial.h"
#include "dataplane/decision_name.h"

namespace xebec {
namespace {

using Json = nlohmann::ordered_json;

/// Services named where none matches.
constexpr std::size_t kNearest = 5;
/// Backends named that take no packets; a service may have 4,096 of them.
constexpr std::size_t kNotUsable = 20;

std::string endpoint(const IpAddress& address, uint16_t port) {
  const std::string text = address.is_v4() ? address.to_string() : "[" + address.to_string() + "]";
  return port == 0 ? text + ":any" : fmt::format("{}:{}", text, port);
}

// ---- Nothing matches ----

/// Leading bits that two addresses share.
int common_bits(const IpAddress& a, const IpAddress& b) {
  int bits = 0;
  for (std::size_t i = 0; i < a.bytes.size(); ++i) {
    const auto differ = static_cast<uint8_t>(a.bytes[i] ^ b.bytes[i]);
    if (differ != 0) return bits + std::countl_zero(differ);
    bits += 8;
  }
  return bits;
}

struct Near {
  const ServiceConfig* service;
  std::vector<std::string> differs;
  int bits;
  int port_distance;
};

/// A number, 0 for any; a range as text.
Json port_of(const ServiceMatch& match) {
  return match.is_range() ? Json(port_text(match)) : Json(match.port);
}

/// The same address first, then the most like it; there, fewer differences, then the nearer port.
bool nearer(const Near& a, const Near& b) {
  if (a.bits != b.bits) return a.bits > b.bits;
  if (a.differs.size() != b.differs.size()) return a.differs.size() < b.differs.size();
  return a.port_distance < b.port_distance;
}

/// At most kNearest: those at the same address, and those that differ in the address alone.
Json nearest_services(const Config& config, const Tuple& tuple) {
  std::vector<Near> found;
  for (const ServiceConfig& service : config.services) {
    Near near{&service,
              {},
              common_bits(service.vip, tuple.destination),
              std::abs(int{service.port} - int{tuple.destination_port})};
    const ServiceMatch match = service.match();
    const bool elsewhere = !match.vip.contains(tuple.destination);
    if (elsewhere) near.differs.emplace_back("address");
    if (service.protocol != kProtoAny && service.protocol != tuple.protocol)
      near.differs.emplace_back("protocol");
    const uint16_t last = match.is_range() ? match.last_port : match.port;
    if (match.port != 0 && (tuple.destination_port < match.port || tuple.destination_port > last))
      near.differs.emplace_back("port");
    if (elsewhere && (near.differs.size() > 1 || service.vip.is_v4() != tuple.destination.is_v4())) continue;
    found.push_back(std::move(near));
  }
  std::stable_sort(found.begin(), found.end(), nearer);
  found.resize(std::min(found.size(), kNearest), Near{});
  Json rows = Json::array();
  for (const Near& near : found) {
    rows.push_back({{"name", near.service->name},
                    {"vip", near.service->match().vip.to_string()},
                    {"port", port_of(near.service->match())},
                    {"protocol", protocol_name(near.service->protocol)},
                    {"differs", near.differs}});
  }
  return rows;
}

// ---- Something matches ----

/// What the configuration says of one of a service's backends.
const BackendConfig* configured(const ServiceConfig* service, const IpAddress& address) {
  for (std::size_t i = 0; service != nullptr && i < service->backends.size(); ++i) {
    if (service->backends[i].address == address) return &service->backends[i];
  }
  for (std::size_t i = 0; service != nullptr && i < service->fallback.size(); ++i) {
    if (service->fallback[i].address == address) return &service->fallback[i];
  }
  return nullptr;
}

Json service_object(const Service& service, const ServiceConfig* config) {
  return {{"name", service.name},
          {"vip", service.match().vip.to_string()},
          {"port", port_of(service.match())},
          {"protocol", protocol_name(service.protocol)},
          {"match", service.port == 0            ? "any"
                    : service.match().is_range() ? "range"
                                                 : "exact"},
          {"mode", config != nullptr ? Json(to_string(config->mode)) : Json(nullptr)},
          {"algorithm", to_string(service.algorithm)},
          {"stateless", service.stateless}};
}

Json slot_object(const Service& service, const TrialResult& trial) {
  if (!goes_by_array(service.algorithm)) return nullptr;
  const uint16_t index = service.lookup->pick(trial.hash);
  if (index == MaglevTable::kNone || service.backend_ids[index] != trial.decision.backend) return nullptr;
  return {{"index", service.lookup->slot_of(trial.hash) - service.lookup->slots().data()},
          {"of", service.lookup->slots().size()},
          {"digest", fmt::format("{:016x}", service.lookup->digest())}};
}

Json backend_object(const ExplainWorld& world, const Service& service, const Backend& backend) {
  const BackendConfig* config = configured(find_service(world.config, service.name), backend.address);
  const auto status = world.builder.status().find({service.name, backend.address});
  const bool known = status != world.builder.status().end();
  Json out{{"address", backend.address.to_string()},
           {"mode", to_string(backend.mode)},
           {"usable", backend.usable},
           {"why", known ? status->second.why : "not configured any more, kept until the new ones answer"},
           {"share", known ? status->second.share : 0}};
  out["weight"] = config != nullptr ? Json(config->weight) : Json(nullptr);
  out["admin"] = config != nullptr ? Json(to_string(config->admin)) : Json(nullptr);
  return out;
}

Json next_hop_object(const ExplainWorld& world, const Service& service, const Backend& backend) {
  const NextHop& hop = backend.next_hop;
  const BackendConfig* config = configured(find_service(world.config, service.name), backend.address);
  const bool is_static = config != nullptr && config->mac;
  return {{"mac", hop.resolved ? Json(to_string(hop.destination)) : Json(nullptr)},
          {"from", is_static ? "configuration" : world.neighbours},
          {"source_mac", to_string(hop.source)},
          {"interface", world.interface_name(hop.interface)},
          {"mtu", hop.mtu}};
}

/// Backends of the service that take no packets.
Json not_usable(const ExplainWorld& world, const Service& service) {
  Json rows = Json::array();
  const auto& all = world.builder.status();
  for (auto it = all.lower_bound({service.name, IpAddress{}});
       it != all.end() && it->first.first == service.name && rows.size() < kNotUsable; ++it) {
    if (it->second.usable) continue;
    rows.push_back({{"address", it->first.second.to_string()}, {"why", it->second.why}});
  }
  return rows;
}

Json leaves_object(Trial& trial, const TrialResult& first, const Backend& backend) {
  const TrialResult longest = trial.send_longest();
  const bool outer = is_tunnel(backend.mode);
  return {{"shortest_in", first.in_length},
          {"shortest_out", first.out_length},
          {"longest_in", longest.in_length},
          {"longest_out", longest.out_length},
          {"overhead", int64_t{longest.out_length} - longest.in_length},
          {"outer_source", outer ? Json(backend.tunnel_source.to_string()) : Json(nullptr)},
          {"outer_destination", outer ? Json(backend.address.to_string()) : Json(nullptr)}};
}

/// Where a packet from the middle of a connection goes that no worker remembers; null where it goes with the new ones.
Json second_chance(const ExplainWorld& world, const Service& service, const Tuple& tuple) {
  if (service.previous == nullptr) return nullptr;
  Trial trial(world.table, tuple, world.now_ns);
  const Decision decision = trial.send(Trial::Kind::middle).decision;
  if (decision.origin != FlowOrigin::second_chance) return nullptr;
  return world.table.backends()[decision.backend].address.to_string();
}

std::optional<uint8_t> protocol_of(std::string_view text) {
  for (const Word& word : kProtocolWords.available) {
    if (word.text == text) return word.value;
  }
  return std::nullopt;
}

}  // namespace

tl::expected<Tuple, std::string> parse_tuple(const std::string& source, const std::string& destination) {
  const auto fault = [](const std::string& text, std::string_view why) {
    return tl::unexpected(fmt::format("{}: {}", text, why));
  };
  const auto from = parse_endpoint(source);
  if (!from) return fault(source, "not of the form ADDR:PORT, such as 10.0.0.1:5555 or [2001:db8::7]:5555");
  const std::size_t slash = destination.rfind('/');
  const auto to = parse_endpoint(std::string_view(destination).substr(0, slash));
  if (slash == std::string::npos || !to) {
    return fault(destination,
                 "not of the form VIP:PORT/PROTO, such as 203.0.113.10:443/tcp or [2001:db8::1]:53/udp");
  }
  const auto protocol = protocol_of(std::string_view(destination).substr(slash + 1));
  if (!protocol) {
    std::vector<std::string_view> known;
    for (const Word& word : kProtocolWords.available) known.push_back(word.text);
    return fault(destination, fmt::format("the protocol is one of: {}", fmt::join(known, ", ")));
  }
  if (from->address.is_v4() != to->address.is_v4())
    return fault(source + " -> " + destination, "the addresses are of different families");
  return Tuple{from->address, to->address, from->port, to->port, *protocol};
}

Json explain_tuple(const ExplainWorld& world, const Tuple& tuple) {
  Trial trial(world.table, tuple, world.now_ns);
  const TrialResult first = trial.send(Trial::Kind::opening);
  const Decision& decision = first.decision;
  const uint32_t index =
      world.table.find_service(tuple.destination, tuple.protocol, Be16::from_host(tuple.destination_port));
  const Service* service = index == Table::kNone ? nullptr : &world.table.services()[index];
  const bool chosen = decision.backend != Table::kNone;
  // A service that leaves its packets to the host has none of them steered, but those of denied sources.
  const bool passed = service != nullptr && service->no_backend == NoBackend::pass &&
                      decision.verdict == Verdict::drop && decision.reason == DropReason::no_backend;
  const bool told = decision.verdict == Verdict::drop || decision.verdict == Verdict::reply;

  Json out{{"schema", "xebec.explain/1"},
           {"source", endpoint(tuple.source, tuple.source_port)},
           {"destination", endpoint(tuple.destination, tuple.destination_port)},
           {"protocol", protocol_name(tuple.protocol)},
           {"generation", world.table.generation()},
           // Without a service no worker sees it: the shim leaves it to the host.
           {"verdict", service == nullptr || passed ? "pass" : name_of(decision.verdict)},
           {"reason", service != nullptr && told ? Json(name_of(decision.reason)) : Json(nullptr)},
           {"service", nullptr},
           {"nearest", Json::array()},
           {"hash", nullptr},
           {"slot", nullptr},
           {"depends_on", nullptr},
           {"backend", nullptr},
           {"not_usable", Json::array()},
           {"next_hop", nullptr},
           {"leaves", nullptr},
           {"second_chance", nullptr}};
  if (service == nullptr) {
    out["nearest"] = nearest_services(world.config, tuple);
    return out;
  }
  out["service"] = service_object(*service, find_service(world.config, service->name));
  out["not_usable"] = not_usable(world, *service);
  if (const std::string_view what = depends_on(service->algorithm); !what.empty()) out["depends_on"] = what;
  if (decision.service == index && goes_by_array(service->algorithm))
    out["hash"] = {{"input", to_string(service->hash_input)}, {"value", fmt::format("{:016x}", first.hash)}};
  if (!chosen) return out;
  const Backend& backend = world.table.backends()[decision.backend];
  out["slot"] = slot_object(*service, first);
  out["backend"] = backend_object(world, *service, backend);
  out["next_hop"] = next_hop_object(world, *service, backend);
  if (decision.verdict == Verdict::forward) out["leaves"] = leaves_object(trial, first, backend);
  out["second_chance"] = second_chance(world, *service, tuple);
  return out;
}

}  // namespace xebec
