// SPDX-License-Identifier: BSD-2-Clause
// The checks of what a service matches and whom it lets in.
#include "control/service_checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "bpf/abi.h"
#include "control/config_document.h"

namespace xebec {
namespace {

/// Shorter ones hold more than any operator owns: IANA has never allocated more than a /8 (IPv4) or /16 (IPv6) at once.
constexpr uint8_t kShortestVip4 = 8;
constexpr uint8_t kShortestVip6 = 16;

std::string endpoint(const ServiceConfig& service) {
  const ServiceMatch match = service.match();
  const std::string vip = match.vip.to_string();
  return fmt::format("{}:{}/{}", service.vip.is_v4() ? vip : "[" + vip + "]", port_text(match),
                     protocol_name(service.protocol));
}

void check_prefixes(const ServiceConfig& service, const std::vector<IpPrefix>& prefixes,
                    const std::string& pointer, const ValidationSink& sink) {
  std::set<IpPrefix> seen;
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    const IpPrefix& prefix = prefixes[i];
    if (prefix.has_stray_bits()) {
      sink.report_at(pointer_to(pointer, i),
                     fmt::format("{} has bits behind its prefix", prefix.to_string()));
    } else if (prefix.network.is_v4() != service.vip.is_v4()) {
      sink.report_at(pointer_to(pointer, i),
                     fmt::format("{} is not of the family of the service's address, {}", prefix.to_string(),
                                 service.match().vip.to_string()));
    } else if (!seen.insert(prefix).second) {
      sink.report_at(pointer_to(pointer, i), fmt::format("{} is in the list twice", prefix.to_string()));
    }
  }
}

/// Services that could have the same packets but for the port: of one VIP and protocol.
using Claims = std::vector<std::size_t>;

std::string already_served(const Config& config, std::size_t service, std::size_t by,
                           const ValidationSink& sink) {
  return fmt::format("{} is already served by {}, {}", endpoint(config.services[service]),
                     quote(config.services[by].name), sink.shown(pointer_to("/services", by)));
}

/// Ranges may lie in one another or apart. Of two that cross, neither is the narrower one everywhere.
void check_ranges(const Config& config, Claims ranges, const ValidationSink& sink) {
  const auto& services = config.services;
  std::sort(ranges.begin(), ranges.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(services[a].port, -int{services[a].last_port}, a) <
           std::tuple(services[b].port, -int{services[b].last_port}, b);
  });
  Claims open;
  for (const std::size_t i : ranges) {
    while (!open.empty() && services[open.back()].last_port < services[i].port) open.pop_back();
    if (!open.empty()) {
      const ServiceConfig& outer = services[open.back()];
      const std::size_t later = std::max(i, open.back()), first = std::min(i, open.back());
      if (outer.port == services[i].port && outer.last_port == services[i].last_port) {
        sink.report_at(pointer_to("/services", later) + "/vip", already_served(config, later, first, sink));
      } else if (outer.last_port < services[i].last_port) {
        sink.report_at(
            pointer_to("/services", later) + "/port",
            fmt::format("{} crosses {} of {}, {}: ranges of one address and protocol lie in one another or "
                        "apart",
                        endpoint(services[later]), endpoint(services[first]), quote(services[first].name),
                        sink.shown(pointer_to("/services", first))));
      }
    }
    open.push_back(i);
  }
}

void check_nesting(const Config& config, const ValidationSink& sink) {
  std::map<IpPrefix, std::size_t> prefixes;  // in this order outer ones come before those inside them
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const ServiceMatch match = config.services[i].match();
    if (!match.vip.is_single() && sink.usable(pointer_to("/services", i) + "/vip"))
      prefixes.emplace(match.vip, i);
  }
  std::vector<IpPrefix> open;
  for (const auto& [prefix, service] : prefixes) {
    while (!open.empty() && !open.back().contains(prefix)) open.pop_back();
    open.push_back(prefix);
    if (open.size() <= XEBEC_MAX_NESTED_VIPS) continue;
    sink.report_at(pointer_to("/services", service) + "/vip",
                   fmt::format("{} lies in {} other prefixes that are VIPs, more than {} are not searched",
                               prefix.to_string(), open.size() - 1, XEBEC_MAX_NESTED_VIPS - 1));
  }
}

}  // namespace

std::string vip_prefix_fault(const IpPrefix& vip) {
  if (vip.is_single()) return {};
  if (vip.has_stray_bits()) return fmt::format("{} has bits behind its prefix", vip.to_string());
  const bool v4 = vip.network.is_v4();
  const uint8_t shortest = v4 ? kShortestVip4 : kShortestVip6;
  if (vip.length_in_family() < shortest)
    return fmt::format("{} is too much for a VIP: /{} at least", vip.to_string(), shortest);
  // RFC 4291 section 2.4: unspecified, loopback, mapped IPv4; nothing for a wire.
  if (!v4 && vip.network.bytes[0] == 0)
    return fmt::format("{} is in 0000::/8, which is reserved", vip.to_string());
  return {};
}

void check_algorithm(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  const std::string_view name = to_string(service.algorithm);
  if (service.stateless && !is_by_hash(service.algorithm)) {
    // A default that it cannot have is a complaint about the service, too: it has to say another.
    sink.report_at(
        at + "/algorithm",
        fmt::format(
            "{} has to remember which backend it gave a flow, and the service is stateless; it may have "
            "maglev or source-hash",
            name));
  }
  if (service.algorithm == Algorithm::source_hash && service.hash != HashInput::source) {
    sink.report_at(
        at + "/hash",
        fmt::format("algorithm source-hash goes by the source alone: leave out \"hash\", or take maglev with "
                    "hash {}",
                    to_string(service.hash)));
  }
  const bool by_source = service.hash == HashInput::source || service.hash == HashInput::source_destination;
  if (by_source && !goes_by_array(service.algorithm)) {
    sink.report_at(
        at + "/hash",
        fmt::format("{} means nothing to algorithm {}, which goes by no hash: leave it out, or take "
                    "source-hash or maglev",
                    to_string(service.hash), name));
  }
  if (service.weights == WeightSource::response_time && is_unweighted(service.algorithm)) {
    sink.report_at(at + "/weights",
                   fmt::format("to algorithm {} all weights are equal: take w{}", name, name));
  }
  if (!is_unweighted(service.algorithm)) return;
  uint32_t first = 0;
  for (std::size_t i = 0; i < service.backends.size(); ++i) {
    const uint32_t weight = service.backends[i].weight;
    if (first == 0) first = weight;
    if (weight == 0 || weight == first) continue;
    sink.report_at(
        pointer_to(at + "/backends", i) + "/weight",
        fmt::format("{} differs from the {} of another backend, and to algorithm {} all are equal: take w{}",
                    weight, first, name, name));
  }
}

void check_source_rules(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  if (service.rate_limit.per_second != 0 && service.stateless) {
    sink.report_at(
        at + "/rate_limit",
        "a service that is stateless cannot tell new flows from others: leave out \"stateless\" or the "
        "limit");
  }
  if (service.allow.size() + service.deny.size() > XEBEC_MAX_SOURCE_PREFIXES) {
    return sink.report_at(
        at + (service.deny.empty() ? "/allow" : "/deny"),
        fmt::format("{} prefixes in \"allow\" and \"deny\" are more than all services may have, {}",
                    service.allow.size() + service.deny.size(), XEBEC_MAX_SOURCE_PREFIXES));
  }
  if (!sink.usable(at + "/vip")) return;
  check_prefixes(service, service.allow, at + "/allow", sink);
  check_prefixes(service, service.deny, at + "/deny", sink);
  const std::set<IpPrefix> allowed(service.allow.begin(), service.allow.end());
  for (std::size_t i = 0; i < service.deny.size(); ++i) {
    if (!allowed.contains(service.deny[i])) continue;
    sink.report_at(pointer_to(at + "/deny", i),
                   fmt::format("{} is in \"allow\", too", service.deny[i].to_string()));
  }
}

void check_on_down(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  if (service.on_down == OnDown::rehash || !service.stateless || !sink.usable(at + "/stateless")) return;
  sink.report_at(at + "/on_down",
                 fmt::format("{} is about connections that are remembered, and the service is stateless: its "
                             "packets go where the lookup array says (rehash)",
                             to_string(service.on_down)));
}

void check_client_address(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  if (service.client_address == ClientNote::none) return;
  const std::string pointer = at + "/client_address";
  const std::string_view word = to_string(service.client_address);
  const bool tcp = service.protocol == kProtoTcp;
  const bool udp = service.protocol == kProtoUdp;
  if (service.client_address == ClientNote::toa && !tcp && sink.usable(at + "/protocol"))
    sink.report_at(pointer, fmt::format("{} is an option of TCP, and the service's protocol is {}", word,
                                        protocol_name(service.protocol)));
  if (service.client_address == ClientNote::proxy && !tcp && !udp && sink.usable(at + "/protocol"))
    sink.report_at(pointer, fmt::format("{} goes with tcp and udp, and the service's protocol is {}", word,
                                        protocol_name(service.protocol)));
  const auto translates = [&](const BackendConfig& b) { return b.mode.value_or(service.mode) == Mode::nat; };
  const bool used = service.mode == Mode::nat ||
                    std::any_of(service.backends.begin(), service.backends.end(), translates) ||
                    std::any_of(service.fallback.begin(), service.fallback.end(), translates);
  if (!used && sink.usable(at + "/mode"))
    sink.report_at(
        pointer, fmt::format("{} is for mode nat: with mode {} a backend sees the client's own address", word,
                             to_string(service.mode)));
}

void check_service_matches(const Config& config, const ValidationSink& sink) {
  std::map<std::tuple<IpPrefix, uint8_t>, Claims> ranges;
  std::map<ServiceMatch, std::size_t> ports;
  std::size_t sources = 0;
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const ServiceConfig& service = config.services[i];
    sources += service.allow.size() + service.deny.size();
    const std::string at = pointer_to("/services", i);
    if (!sink.usable(at + "/vip") || !sink.usable(at + "/port") || !sink.usable(at + "/protocol")) continue;
    const ServiceMatch match = service.match();
    if (match.is_range()) {
      ranges[{match.vip, match.protocol}].push_back(i);
      continue;
    }
    const auto [first, inserted] = ports.emplace(match, i);
    if (!inserted) sink.report_at(at + "/vip", already_served(config, i, first->second, sink));
  }
  for (auto& [where, claims] : ranges) check_ranges(config, std::move(claims), sink);
  check_nesting(config, sink);
  if (sources > XEBEC_MAX_SOURCE_PREFIXES) {
    sink.report_at(
        "/services",
        fmt::format("{} prefixes in \"allow\" and \"deny\" of all services are more than a daemon holds, {}",
                    sources, XEBEC_MAX_SOURCE_PREFIXES));
  }
}

}  // namespace xebec
