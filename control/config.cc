// SPDX-License-Identifier: BSD-2-Clause
// The names of a configuration's words, its equality, and how its services are found.
#include "control/config.h"

#include <algorithm>
#include <string>
#include <utility>

#include "control/config_keys.h"

namespace xebec {
namespace {

/// Empty for a value that is no enumerator.
template <typename Enum>
std::string_view name_in(const Words& words, Enum value) {
  for (const Word& word : words.available) {
    if (word.value == static_cast<uint8_t>(value)) return word.text;
  }
  return {};
}

// Structured bindings: a field added to these structs stops the build here until it is compared as well.
bool equal(const FlowTableConfig& a, const FlowTableConfig& b) {
  const auto& [a_capacity, a_timeouts, a_rate] = a;
  const auto& [b_capacity, b_timeouts, b_rate] = b;
  return a_capacity == b_capacity && a_timeouts == b_timeouts && a_rate == b_rate;
}

}  // namespace

bool operator==(const Config& a, const Config& b) {
  const auto& [a_instance, a_seed, a_fallback, a_hugepages, a_interfaces, a_defaults, a_flows, a_tunnel,
               a_nat, a_services, a_control, a_icmp] = a;
  const auto& [b_instance, b_seed, b_fallback, b_hugepages, b_interfaces, b_defaults, b_flows, b_tunnel,
               b_nat, b_services, b_control, b_icmp] = b;
  return a_instance == b_instance && a_seed == b_seed && a_fallback == b_fallback &&
         a_hugepages == b_hugepages && a_interfaces == b_interfaces && a_defaults == b_defaults &&
         equal(a_flows, b_flows) && a_tunnel == b_tunnel && a_nat == b_nat && a_services == b_services &&
         a_control == b_control && a_icmp == b_icmp;
}

TunnelConfig TunnelConfig::over(const TunnelConfig& outer) const {
  // Structured bindings: a field added stops the build here until it is inherited as well.
  TunnelConfig merged = *this;
  auto& [source4, source6, port_, variant, vni_, mac, checksum] = merged;
  if (!source4) source4 = outer.source_ipv4;
  if (!source6) source6 = outer.source_ipv6;
  if (!port_) port_ = outer.port;
  if (!variant) variant = outer.gue_variant;
  if (!vni_) vni_ = outer.vni;
  if (!mac) mac = outer.inner_mac;
  if (!checksum) checksum = outer.udp6_checksum;
  return merged;
}

HealthConfig health_of(const HealthConfig& defaults, const ServiceConfig& service,
                       const BackendConfig& backend) {
  // A fallback is another kind of server, often a page that says sorry: it is checked only if it says how.
  const bool is_fallback = !service.fallback.empty() && service.fallback.front().address == backend.address;
  if (is_fallback && backend.health == HealthConfig{}) return {};
  return backend.health.over(service.health).over(defaults);
}

bool is_passively_watchable(const ServiceConfig& service, const BackendConfig& backend) {
  return service.protocol == kProtoTcp && is_nat(backend.mode.value_or(service.mode));
}

std::string_view to_string(Mode mode) {
  return name_in(kModeWords, mode);
}
std::string_view to_string(XdpMode mode) {
  return name_in(kXdpModeWords, mode);
}
std::string_view to_string(BindMode mode) {
  return name_in(kBindModeWords, mode);
}
std::string_view to_string(TransmitMode mode) {
  return name_in(kTransmitWords, mode);
}
std::string_view to_string(PollMode mode) {
  return name_in(kPollModeWords, mode);
}
std::string_view to_string(IrqMode mode) {
  return name_in(kIrqWords, mode);
}
std::string_view to_string(HugepageMode mode) {
  return name_in(kHugepageWords, mode);
}
std::string_view to_string(Admin admin) {
  return name_in(kAdminWords, admin);
}
std::string_view to_string(FallbackVerdict verdict) {
  return name_in(kFallbackWords, verdict);
}

std::string_view to_string(HashInput input) {
  return name_in(kHashWords, input);
}
std::string_view to_string(NewFlowLimit::Per per) {
  return name_in(kPerWords, per);
}
std::string_view to_string(ClientNote note) {
  return name_in(kClientNoteWords, note);
}

std::string_view to_string(FailPolicy policy) {
  return name_in(kFailWords, policy);
}
std::string_view to_string(DnsRecords records) {
  return name_in(kDnsRecordsWords, records);
}
std::string_view to_string(OnDown on_down) {
  return name_in(kOnDownWords, on_down);
}
std::string_view to_string(QuicFormat format) {
  return name_in(kQuicFormatWords, format);
}
std::string_view to_string(Algorithm algorithm) {
  return name_in(kAlgorithmWords, algorithm);
}
std::string_view to_string(WeightSource source) {
  return name_in(kWeightSourceWords, source);
}
std::string_view to_string(HealthType type) {
  return name_in(kHealthTypeWords, type);
}
std::string_view to_string(Health health) {
  return name_in(kHealthWords, health);
}
std::string_view to_string(HealthTo to) {
  return name_in(kHealthToWords, to);
}
std::string_view to_string(HttpMethod method) {
  return name_in(kHttpMethodWords, method);
}

const ServiceConfig* find_service(const Config& config, const std::string& name) {
  const auto it = std::find_if(config.services.begin(), config.services.end(),
                               [&](const ServiceConfig& s) { return s.name == name; });
  return it == config.services.end() ? nullptr : &*it;
}
ServiceConfig* find_service(Config& config, const std::string& name) {
  return const_cast<ServiceConfig*>(find_service(std::as_const(config), name));
}

std::string port_text(const ServiceMatch& match) {
  if (match.port == 0) return "any";
  const std::string first = std::to_string(match.port);
  return match.is_range() ? first + "-" + std::to_string(match.last_port) : first;
}

std::string protocol_name(uint8_t protocol) {
  const std::string_view name = name_in(kProtocolWords, protocol);
  return name.empty() ? std::to_string(protocol) : std::string(name);
}

}  // namespace xebec
