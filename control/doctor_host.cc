// SPDX-License-Identifier: BSD-2-Clause
#include "control/doctor_host.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "control/cpu_plan.h"
#include "control/hardware.h"
#include "control/irq_affinity.h"
#include "control/libbpf_log.h"
#include "control/netdev.h"
#include "control/text_file.h"

namespace xebec {
namespace {

using Level = Finding::Level;
using Ports = std::pair<uint32_t, uint32_t>;

std::optional<Ports> ports_in(std::string_view text) {
  Ports ports{0, 0};
  const auto first = std::from_chars(text.data(), text.data() + text.size(), ports.first);
  if (first.ec != std::errc()) return std::nullopt;
  const char* at = first.ptr;
  while (at != text.data() + text.size() && (*at == '-' || *at == ' ' || *at == '\t')) ++at;
  const auto second = std::from_chars(at, text.data() + text.size(), ports.second);
  if (second.ec != std::errc()) ports.second = ports.first;
  return ports;
}

/// Whether the reserved ranges cover all of `ports`. The kernel lists them in order, joined where they meet.
bool reserved(std::string_view list, Ports ports) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (const auto range = ports_in(list.substr(0, comma));
        range && range->first <= ports.first && range->second >= ports.second)
      return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

/// The address that the kernel would take for a connection there: connecting a UDP socket asks its routes, and sends nothing.
std::optional<IpAddress> source_towards(const IpAddress& destination) {
  const int fd = socket(destination.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  constexpr uint16_t kAnyPort = 9;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v4.sin_port = v6.sin6_port = htons(kAnyPort);
  std::memcpy(&v4.sin_addr, &destination.bytes[12], sizeof v4.sin_addr);
  std::memcpy(&v6.sin6_addr, destination.bytes.data(), sizeof v6.sin6_addr);
  auto* address = destination.is_v4() ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  socklen_t size = destination.is_v4() ? sizeof v4 : sizeof v6;
  const bool known = connect(fd, address, size) == 0 && getsockname(fd, address, &size) == 0;
  close(fd);
  if (!known) return std::nullopt;
  IpAddress source = destination;  // of the same family
  if (destination.is_v4()) {
    std::memcpy(&source.bytes[12], &v4.sin_addr, sizeof v4.sin_addr);
  } else {
    std::memcpy(source.bytes.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
  }
  return source;
}

/// Towards all backends, whatever their mode.
std::set<IpAddress> sources_towards_backends(const Config& config) {
  std::set<IpAddress> sources;
  for (const ServiceConfig& s : config.services) {
    for (const auto* list : {&s.backends, &s.fallback}) {
      for (const BackendConfig& b : *list) {
        if (const auto source = source_towards(b.address)) sources.insert(*source);
      }
    }
  }
  return sources;
}

/// Clients are translated to addresses that the host does not take for connections of its own.
bool has_addresses_apart(const Config& config, const HostFacts& facts) {
  if (!facts.chosen || facts.chosen->empty() || config.nat.addresses.empty()) return false;
  return std::none_of(facts.chosen->begin(), facts.chosen->end(), [&](const IpAddress& chosen) {
    bool listed = false;  // some address of the family is; else that of the route is taken
    for (const IpAddress& ours : config.nat.addresses) {
      if (ours == chosen) return true;
      listed = listed || ours.is_v4() == chosen.is_v4();
    }
    return !listed;
  });
}

bool uses_mode(const Config& config, Mode mode) {
  const auto has = [mode](const BackendConfig& b) { return b.mode == mode; };
  return std::any_of(config.services.begin(), config.services.end(), [&](const ServiceConfig& s) {
    return s.mode == mode || std::any_of(s.backends.begin(), s.backends.end(), has) ||
           std::any_of(s.fallback.begin(), s.fallback.end(), has);
  });
}

std::string program_name(uint32_t id) {
  const int fd = bpf_prog_get_fd_by_id(id);
  if (fd < 0) return {};
  bpf_prog_info info{};
  uint32_t length = sizeof info;
  const bool known = bpf_obj_get_info_by_fd(fd, &info, &length) == 0;
  close(fd);
  return known ? info.name : "";
}

void examine_interface(const InterfaceConfig& interface, std::vector<Finding>& out) {
  const std::string& name = interface.name;
  Preflight preflight([&](const Finding& f) { out.push_back(f); });
  check_interface(interface, preflight);
  if (interface_index(name) == 0) return;
  if (!has_carrier(name))
    out.push_back({Level::warn, fmt::format("{}: the link is down", name),
                   fmt::format("ip link set {} up, or the cable", name)});
  for (Finding& f : examine_xdp(name)) out.push_back(std::move(f));
  // Where each queue's worker is to run, its interrupt should be handled.
  const auto interrupts = read_interrupts(name);
  if (!interface.cpus.empty()) {
    const auto moves = plan_irqs(interrupts, interface.cpus);
    if (const auto advice = advise_irqs(name, moves)) out.push_back(*advice);
  } else if (!interrupts.empty()) {
    out.push_back(
        {Level::ok,
         fmt::format(
             "{}: {} interrupts; \"cpus\" of the interface would place workers and tell where they belong",
             name, interrupts.size()),
         {}});
  }
  const std::string strict = first_line(fmt::format("/proc/sys/net/ipv4/conf/{}/rp_filter", name));
  out.push_back({Level::ok,
                 fmt::format("{}: rp_filter {}: it does not see packets of services, XDP comes before it",
                             name, strict.empty() ? "unknown" : strict),
                 {}});
}

}  // namespace

HostFacts read_host_facts(const std::string& root) {
  const std::string ipv4 = root + "/proc/sys/net/ipv4/";
  return {first_line(ipv4 + "ip_local_port_range"), first_line(ipv4 + "ip_local_reserved_ports")};
}

std::vector<Finding> examine_ports(const Config& config, const HostFacts& facts) {
  if (!uses_mode(config, Mode::nat)) return {};
  const Ports ours{config.nat.table.first_port, config.nat.table.last_port};
  const auto hosts = ports_in(facts.port_range);
  const std::string what = fmt::format("ports of mode nat, {}-{}", ours.first, ours.second);
  if (!hosts) return {{Level::warn, what + ": net.ipv4.ip_local_port_range cannot be read", {}}};
  const Ports both{std::max(ours.first, hosts->first), std::min(ours.second, hosts->second)};
  if (both.first > both.second)
    return {{Level::ok,
             fmt::format("{}: apart from the host's own, {}-{}", what, hosts->first, hosts->second),
             {}}};
  if (reserved(facts.reserved_ports, both))
    return {{Level::ok,
             fmt::format("{}: reserved from the host's own, {}-{}", what, hosts->first, hosts->second),
             {}}};
  if (has_addresses_apart(config, facts))
    return {{Level::ok, what + ": on addresses that the host does not take for connections of its own", {}}};
  // What is reserved already stays so.
  const std::string others = facts.reserved_ports.empty() ? "" : facts.reserved_ports + ",";
  const std::string ports =
      both.first == both.second ? std::to_string(both.first) : fmt::format("{}-{}", both.first, both.second);
  return {{Level::fail,
           fmt::format("{}: the host takes {} of them for connections of its own, but for what it reserves; "
                       "their answers the shim then takes away",
                       what, ports),
           fmt::format("sysctl -w net.ipv4.ip_local_reserved_ports={}{}", others, ports)}};
}

std::vector<Finding> examine_xdp(const std::string& interface) {
  LibbpfLog log;
  bpf_xdp_query_opts query{};
  query.sz = sizeof query;
  if (bpf_xdp_query(interface_index(interface), 0, &query) != 0)
    return {
        {Level::warn, fmt::format("{}: the kernel does not tell what XDP program it has", interface), {}}};
  const uint32_t id = query.prog_id != 0       ? query.prog_id
                      : query.skb_prog_id != 0 ? query.skb_prog_id
                                               : query.drv_prog_id;
  if (id == 0 && query.attach_mode == XDP_ATTACHED_NONE)
    return {{Level::ok, fmt::format("{}: no XDP program, xebecd may attach its own", interface), {}}};
  const std::string name = program_name(id);
  if (name.starts_with("xebec"))
    return {{Level::ok, fmt::format("{}: the shim is attached (id {})", interface, id), {}}};
  return {{Level::fail,
           fmt::format("{}: another XDP program is there: {} (id {})", interface,
                       name.empty() ? "of unknown name" : name, id),
           fmt::format("ip link set dev {} xdp off, or for libxdp's dispatcher: xdp-loader unload {} --all",
                       interface, interface)}};
}

std::vector<Finding> examine_host(const Config& config) {
  std::vector<Finding> findings;
  Preflight preflight([&](const Finding& f) { findings.push_back(f); });
  check_host(preflight);
  for (const InterfaceConfig& interface : config.interfaces) examine_interface(interface, findings);
  HostFacts facts = read_host_facts();
  facts.chosen = sources_towards_backends(config);
  for (Finding& f : examine_ports(config, facts)) findings.push_back(std::move(f));
  return findings;
}

}  // namespace xebec
