// SPDX-License-Identifier: BSD-2-Clause
// The checks of a configuration's values, alone and against each other.
#include "control/config_validate.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "bpf/abi.h"
#include "control/config_dns.h"
#include "control/config_document.h"
#include "control/config_health.h"
#include "control/config_keys.h"
#include "control/config_quic.h"
#include "control/config_reader.h"
#include "control/endpoint.h"
#include "control/service_checks.h"
#include "control/timeout_classes.h"
#include "dataplane/maglev.h"

namespace xebec {
namespace {

/// Longest name of a service or an instance: it becomes a label in metrics and a segment of a URL.
constexpr std::size_t kMaxNameLength = 63;
/// IFNAMSIZ - 1, linux/if.h.
constexpr std::size_t kMaxInterfaceName = 15;
/// sizeof(sockaddr_un::sun_path) - 1, unix(7).
constexpr std::size_t kMaxSocketPath = 107;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// Empty if the name will do.
std::string name_fault(std::string_view name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > kMaxNameLength) {
    return fmt::format("{} is longer than {} characters", quote(name), kMaxNameLength);
  }
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return is_alphanumeric(c) || c == '.' || c == '_' || c == '-' || c == ':';
  });
  if (!plain || !is_alphanumeric(name[0])) {
    return fmt::format("{} is not a name: a letter or digit, then letters, digits and any of . _ - :",
                       quote(name));
  }
  return {};
}

/// What the kernel accepts (dev_valid_name): no slash, no colon, no blank, not "." or "..".
std::string interface_name_fault(std::string_view name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > kMaxInterfaceName) {
    return fmt::format("{} is longer than {} characters", quote(name), kMaxInterfaceName);
  }
  const bool plain = std::all_of(name.begin(), name.end(),
                                 [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':'; });
  if (!plain || name == "." || name == "..") return fmt::format("{} is not an interface name", quote(name));
  return {};
}

/// Empty if one host can have the address.
std::string unicast_fault(const IpAddress& address) {
  const auto& bytes = address.bytes;
  const char* fault = nullptr;
  if (address.is_v4()) {
    if (bytes[12] == 0) fault = "this network (0.0.0.0/8)";
    if (bytes[12] == 127) fault = "loopback";
    if (bytes[12] >= 224) fault = "multicast, reserved or broadcast";
  } else {
    const bool all_zero = std::all_of(bytes.begin(), bytes.end() - 1, [](uint8_t byte) { return byte == 0; });
    if (all_zero) fault = bytes[15] == 1 ? "loopback" : "unspecified";
    if (bytes[0] == 0xff) fault = "multicast";
    if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
      fault = "link-local, which means nothing without an interface";
  }
  if (fault == nullptr) return {};
  return fmt::format("{} is not an address of one host: {}", address.to_string(), fault);
}

/// Empty if one host can have the link-layer address.
std::string mac_fault(const MacAddress& mac) {
  if ((mac.bytes[0] & 1) != 0) return fmt::format("{} is a multicast address, no host's", to_string(mac));
  if (mac == MacAddress{}) return "00:00:00:00:00:00 is no host's address";
  return {};
}

std::string family(const IpAddress& address) {
  return address.is_v4() ? "IPv4" : "IPv6";
}

void report_at(const ValidationSink& sink, const std::string& pointer, std::string message) {
  if (!message.empty() && sink.usable(pointer)) sink.report(pointer, std::move(message));
}

void check_table_size(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  const std::string pointer = at + "/table_size";
  if (const std::string fault = prime_fault(service.table_size); !fault.empty())
    return report_at(sink, pointer, fault);
  const auto weighted = std::count_if(service.backends.begin(), service.backends.end(),
                                      [](const BackendConfig& backend) { return backend.weight > 0; });
  if (static_cast<uint64_t>(weighted) <= service.table_size) return;
  report_at(
      sink, pointer,
      fmt::format("{} slots are too few for {} backends with weight: each needs one, 100 for a good balance",
                  service.table_size, weighted));
}

void check_backend_list(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  if (service.backends.size() > kMaxBackendsPerService) {
    report_at(sink, at + "/backends",
              fmt::format("{} backends are more than a service may have, {}", service.backends.size(),
                          kMaxBackendsPerService));
  }
  std::map<IpAddress, std::size_t> seen;
  for (std::size_t i = 0; i < service.backends.size(); ++i) {
    const std::string pointer = pointer_to(at + "/backends", i);
    if (!sink.usable(pointer + "/address")) continue;
    const auto [first, inserted] = seen.emplace(service.backends[i].address, i);
    if (inserted) continue;
    report_at(
        sink, pointer + "/address",
        fmt::format("{} is already a backend of this service: {}", service.backends[i].address.to_string(),
                    sink.shown(pointer_to(at + "/backends", first->second))));
  }
}

void check_interfaces(const Config& config, const ValidationSink& sink) {
  if (config.interfaces.size() > kMaxInterfaces) {
    report_at(sink, "/interfaces",
              fmt::format("{} interfaces are more than a daemon serves, {}", config.interfaces.size(),
                          kMaxInterfaces));
  }
  std::map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    const InterfaceConfig& interface = config.interfaces[i];
    const std::string at = pointer_to("/interfaces", i);
    report_at(sink, at + "/name", interface_name_fault(interface.name));
    if (interface.local_mac) report_at(sink, at + "/local_mac", mac_fault(*interface.local_mac));
    if (!sink.usable(at + "/name")) continue;
    const auto [first, inserted] = names.emplace(interface.name, i);
    if (inserted) continue;
    report_at(sink, at + "/name",
              fmt::format("{} is already in the list: {}", quote(interface.name),
                          sink.shown(pointer_to("/interfaces", first->second))));
  }
}

void check_service_names(const Config& config, const ValidationSink& sink) {
  std::map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const std::string at = pointer_to("/services", i);
    if (!sink.usable(at + "/name")) continue;
    const auto [first, inserted] = names.emplace(config.services[i].name, i);
    if (inserted) continue;
    report_at(sink, at + "/name",
              fmt::format("the name {} is already taken by {}", quote(config.services[i].name),
                          sink.shown(pointer_to("/services", first->second))));
  }
}

void check_totals(const Config& config, const ValidationSink& sink) {
  static_assert(kMaxServices <= XEBEC_MAX_SERVICES && kMaxServices <= XEBEC_MAX_VIPS,
                "the shim's maps hold them all");
  if (config.services.size() > kMaxServices) {
    report_at(
        sink, "/services",
        fmt::format("{} services are more than a daemon serves, {}", config.services.size(), kMaxServices));
  }
  std::size_t backends = 0;
  for (const ServiceConfig& service : config.services) backends += service.backends.size();
  if (backends > kMaxBackends) {
    report_at(sink, "/services",
              fmt::format("{} backends over all services are more than a daemon serves, {}", backends,
                          kMaxBackends));
  }
}

void check_timeouts(const Config& config, const ValidationSink& sink) {
  std::set<FlowTimeouts> sets;
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const ServiceConfig& service = config.services[i];
    if (!service.timeouts) continue;
    const std::string at = pointer_to("/services", i) + "/timeouts";
    if (service.stateless) report_at(sink, at, "the service is stateless, no flow of it is remembered");
    const bool is_new =
        *service.timeouts != config.defaults.timeouts && sets.insert(*service.timeouts).second;
    if (is_new && sets.size() > kMaxTimeoutSets)
      report_at(sink, at,
                fmt::format("more than {} different sets of timeouts beside the defaults", kMaxTimeoutSets));
  }
}

/// at: of the object that has the tunnel.
void check_tunnel(const TunnelConfig& tunnel, const std::string& at, const ValidationSink& sink) {
  const auto source = [&](const std::optional<TunnelSource>& value, bool v4, const char* key) {
    if (!value) return;
    report_at(sink, at + "/tunnel/" + key,
              value->address.is_v4() == v4
                  ? unicast_fault(value->address)
                  : fmt::format("{} is not an {} address", value->address.to_string(), v4 ? "IPv4" : "IPv6"));
  };
  source(tunnel.source_ipv4, true, "source_ipv4");
  source(tunnel.source_ipv6, false, "source_ipv6");
  if (tunnel.inner_mac) report_at(sink, at + "/tunnel/inner_mac", mac_fault(*tunnel.inner_mac));
}

/// Addresses that stand for clients must be nobody else's.
void check_nat(const Config& config, const ValidationSink& sink) {
  std::set<IpAddress> seen;
  for (std::size_t i = 0; i < config.nat.addresses.size(); ++i) {
    const IpAddress& address = config.nat.addresses[i];
    std::string fault = unicast_fault(address);
    if (!seen.insert(address).second) fault = fmt::format("{} is in the list twice", address.to_string());
    for (const ServiceConfig& service : config.services) {
      if (service.match().vip.contains(address))
        fault = fmt::format("{} is the VIP of {}", address.to_string(), quote(service.name));
    }
    report_at(sink, "/nat/addresses", std::move(fault));
  }
  if (config.nat.addresses.size() > XEBEC_MAX_NAT_SOURCES)
    report_at(sink, "/nat/addresses",
              fmt::format("{} addresses are more than there may be, {}", config.nat.addresses.size(),
                          XEBEC_MAX_NAT_SOURCES));
}

/// Calls `check(backend, service, pointer)` for every backend there is, the fallbacks too.
template <typename Check>
void for_each_backend(const Config& config, const Check& check) {
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const ServiceConfig& service = config.services[i];
    const std::string at = pointer_to("/services", i);
    for (std::size_t k = 0; k < service.backends.size(); ++k)
      check(service.backends[k], service, pointer_to(at + "/backends", k));
    for (const BackendConfig& fallback : service.fallback) check(fallback, service, at + "/fallback");
  }
}

/// A translated backend's answers have its own address, and nobody may speak from a VIP.
void check_nat_backends(const Config& config, const ValidationSink& sink) {
  for_each_backend(config, [&](const BackendConfig& backend, const ServiceConfig& service,
                               const std::string& at) {
    if (!is_nat(backend.mode.value_or(service.mode))) return;
    for (const ServiceConfig& other : config.services) {
      if (&other == &service || !other.match().vip.contains(backend.address)) continue;
      report_at(sink, at + "/address",
                fmt::format("{} is an address of the VIP of {}: its answers would be taken for forged ones",
                            backend.address.to_string(), quote(other.name)));
      break;
    }
  });
}

/// What mode vxlan cannot guess may stand with the backend, its service or the configuration.
void check_vxlan_backends(const Config& config, const ValidationSink& sink) {
  for_each_backend(
      config, [&](const BackendConfig& backend, const ServiceConfig& service, const std::string& at) {
        if (backend.mode.value_or(service.mode) != Mode::vxlan) return;
        const TunnelConfig tunnel = backend.tunnel.over(service.tunnel).over(config.tunnel);
        const char* const where = "in a \"tunnel\" of the backend, its service or the configuration";
        if (!tunnel.vni) report_at(sink, at, fmt::format("mode vxlan needs \"vni\" {}", where));
        if (!tunnel.inner_mac) {
          report_at(sink, at,
                    fmt::format("mode vxlan needs \"inner_mac\", the MAC address the backend has inside, {}",
                                where));
        }
      });
}

void check_socket(const std::string& socket, const ValidationSink& sink) {
  if (socket.empty()) return;
  std::string fault;
  if (socket[0] != '/') fault = fmt::format("{} is not an absolute path", quote(socket));
  if (socket.size() > kMaxSocketPath) {
    fault = fmt::format("{} is longer than a socket's path may be, {} bytes", quote(socket), kMaxSocketPath);
  }
  if (socket.find('\0') != std::string::npos) fault = "a path has no NUL byte";
  report_at(sink, "/control/socket", std::move(fault));
}

void check_http(const std::string& http, const ValidationSink& sink) {
  if (http.empty() || parse_endpoint(http)) return;
  report_at(sink, "/control/http",
            fmt::format("{} is not ADDRESS:PORT, as in \"127.0.0.1:9190\" or \"[::1]:9190\"", quote(http)));
}

}  // namespace

std::string prime_fault(uint32_t size) {
  if (is_prime(size)) return {};
  if (size < 2) return fmt::format("{} is not prime; the smallest prime is 2", size);
  uint32_t below = size;
  uint32_t above = size;
  while (below > 2 && !is_prime(below)) --below;
  while (!is_prime(above)) ++above;  // Bertrand: there is one below 2 * size
  return fmt::format("{} is not prime; the nearest primes are {} and {}", size, below, above);
}

void check_backend(const BackendConfig& backend, const ServiceConfig& service, const std::string& service_at,
                   const std::string& at, const ValidationSink& sink) {
  report_at(sink, at + "/address", unicast_fault(backend.address));
  if (backend.weight > kMaxWeight) {
    report_at(sink, at + "/weight", fmt::format("{} is out of range 0..{}", backend.weight, kMaxWeight));
  }
  if (backend.mac) report_at(sink, at + "/mac", mac_fault(*backend.mac));
  check_tunnel(backend.tunnel, at, sink);
  const bool service_known = sink.usable(service_at + "/vip") && sink.usable(service_at + "/port") &&
                             sink.usable(service_at + "/mode");
  if (!service_known || !sink.usable(at + "/mode")) return;

  const Mode mode = backend.mode.value_or(service.mode);
  if (is_nat(mode) && backend.address.is_v4() != service.vip.is_v4()) {
    report_at(sink, at + "/address",
              fmt::format("{} is {} and the service {}: mode {} does not translate between families",
                          backend.address.to_string(), family(backend.address), family(service.vip),
                          to_string(mode)));
  }
  if (is_nat(mode) && service.stateless)
    report_at(sink, at + "/mode",
              fmt::format("mode {} remembers connections, and the service is stateless", to_string(mode)));
  if (is_nat(mode) && service.protocol == kProtoAny)
    report_at(
        sink, at + "/mode",
        fmt::format("mode {} translates ports: give the service a protocol that has some", to_string(mode)));
  const bool another_port = backend.port != service.port || service.last_port != 0;
  if (!is_nat(mode) && backend.port != 0 && another_port) {
    report_at(sink, at + "/port",
              fmt::format("{} differs from the service's port, and mode {} leaves ports as they are",
                          backend.port, to_string(mode)));
  }
  if (service.match().vip.contains(backend.address)) {
    report_at(sink, at + "/address",
              service.match().vip.is_single()
                  ? "is the service's own address: its packets would come back"
                  : "is in the service's own prefix: its packets would come back");
  }
  if (mode == Mode::dsr_l2 && !backend.mac && backend.address.is_v4() != service.vip.is_v4() &&
      sink.usable(at + "/mac")) {
    report_at(
        sink, at + "/address",
        fmt::format(
            "{} is {} and the service {}: with mode dsr-l2 a backend has the family of its service, unless "
            "its \"mac\" is given",
            backend.address.to_string(), family(backend.address), family(service.vip)));
  }
}

namespace {

void check_fallback(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  for (const BackendConfig& fallback : service.fallback) {
    check_backend(fallback, service, at, at + "/fallback", sink);
    for (const BackendConfig& b : service.backends) {
      if (b.address == fallback.address)
        report_at(sink, at + "/fallback/address",
                  "is one of the service's backends: it would not be up either");
    }
  }
}

}  // namespace

void check_service(const ServiceConfig& service, const std::string& at, const ValidationSink& sink) {
  report_at(sink, at + "/name", name_fault(service.name));
  report_at(sink, at + "/vip", unicast_fault(service.vip));
  report_at(sink, at + "/vip", vip_prefix_fault(service.match().vip));
  if (!has_ports(service.protocol) && service.protocol != kProtoAny) {
    report_at(sink, at + "/protocol",
              fmt::format("protocol {} is neither tcp, udp nor sctp", service.protocol));
  }
  check_tunnel(service.tunnel, at, sink);
  check_source_rules(service, at, sink);
  check_client_address(service, at, sink);
  check_on_down(service, at, sink);
  check_dns_source(service, at, sink);
  check_algorithm(service, at, sink);
  check_table_size(service, at, sink);
  check_backend_list(service, at, sink);
  check_fallback(service, at, sink);
  check_quic(service, at, sink);
  for (std::size_t i = 0; i < service.backends.size(); ++i) {
    check_backend(service.backends[i], service, at, pointer_to(at + "/backends", i), sink);
  }
}

namespace {

/// What is in force may stand in the defaults, the service or the backend; each complaint goes to where its key was
/// written.
void check_health_of_services(const Config& config, const ValidationSink& sink) {
  check_health_defaults(config.defaults.health, sink);
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const ServiceConfig& service = config.services[i];
    const std::string at = pointer_to("/services", i);
    const bool port_known = service.port != 0 || !sink.usable(at + "/port");
    check_health(service.health, service.health.over(config.defaults.health), port_known, at, sink);
    const bool modes_known = sink.usable(at + "/mode") && sink.usable(at + "/protocol");
    const auto translates = [&](const BackendConfig& backend) {
      return is_passively_watchable(service, backend);
    };
    const bool some = is_passively_watchable(service, BackendConfig{}) ||
                      std::any_of(service.backends.begin(), service.backends.end(), translates);
    if (modes_known) check_passive(service.health, some, at, sink);
    const bool all_translate =
        is_nat(service.mode) &&
        std::all_of(service.backends.begin(), service.backends.end(),
                    [&](const BackendConfig& b) { return is_nat(b.mode.value_or(service.mode)); });
    if (modes_known) check_to(service.health, all_translate, at, sink);
    const auto checked = [&](const BackendConfig& backend) {
      return settle(health_of(config.defaults.health, service, backend)).type != HealthType::none;
    };
    // Of backends that a name tells the service's word is the only one.
    const bool some_checked =
        checked(BackendConfig{}) || std::any_of(service.backends.begin(), service.backends.end(), checked);
    if (service.weights == WeightSource::response_time && !some_checked)
      report_at(sink, at + "/weights", "response-time goes by health checks, and there is none");
    const auto check_one = [&](const BackendConfig& backend, const std::string& where) {
      check_health(backend.health, health_of(config.defaults.health, service, backend), port_known, where,
                   sink);
      if (modes_known && sink.usable(where + "/mode"))
        check_passive(backend.health, translates(backend), where, sink);
      if (modes_known && sink.usable(where + "/mode"))
        check_to(backend.health, is_nat(backend.mode.value_or(service.mode)), where, sink);
    };
    for (std::size_t k = 0; k < service.backends.size(); ++k)
      check_one(service.backends[k], pointer_to(at + "/backends", k));
    for (const BackendConfig& fallback : service.fallback) check_one(fallback, at + "/fallback");
  }
}

}  // namespace

void check_config(const Config& config, const ValidationSink& sink) {
  report_at(sink, "/instance", name_fault(config.instance));
  report_at(sink, "/defaults/table_size", prime_fault(config.defaults.table_size));
  check_interfaces(config, sink);
  check_tunnel(config.tunnel, "", sink);
  check_socket(config.control.socket, sink);
  check_http(config.control.http, sink);
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    check_service(config.services[i], pointer_to("/services", i), sink);
  }
  check_nat(config, sink);
  check_nat_backends(config, sink);
  check_vxlan_backends(config, sink);
  check_health_of_services(config, sink);
  check_service_names(config, sink);
  check_service_matches(config, sink);
  check_totals(config, sink);
  check_timeouts(config, sink);
}

}  // namespace xebec
