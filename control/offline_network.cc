// SPDX-License-Identifier: BSD-2-Clause
// A network out of a configuration.
#include "control/offline_network.h"

#include <algorithm>

#include <fmt/format.h>

#include "dataplane/flow_key.h"

namespace xebec {
namespace {

// An unnamed list of interfaces is the daemon's -i: one stands for it.
constexpr const char* kUnnamed = "(unnamed)";
constexpr int kFirstIfindex = 1;

// Made-up addresses that a note names; a configuration may have 131,072 backends.
constexpr std::size_t kShown = 5;

MacAddress hashed_mac(uint8_t first, const void* bytes, std::size_t length) {
  const uint64_t hash = XXH3_64bits(bytes, length);
  MacAddress mac{{first}};
  for (int i = 1; i < 6; ++i) mac.bytes[i] = static_cast<uint8_t>(hash >> 8 * i);
  return mac;
}

std::string listed(const std::vector<std::string>& all) {
  const std::vector<std::string> shown(all.begin(), all.begin() + std::min<long>(kShown, std::ssize(all)));
  std::string out = fmt::format("{}", fmt::join(shown, ", "));
  if (all.size() > kShown) out += fmt::format(" and {} more", all.size() - kShown);
  return out;
}

}  // namespace

MacAddress made_up_mac(const IpAddress& address) {
  if (!address.is_v4()) return hashed_mac(0x06, address.bytes.data(), address.bytes.size());
  const Be32 v4 = address.v4();
  return {{0x02, 0x00, v4.bytes[0], v4.bytes[1], v4.bytes[2], v4.bytes[3]}};
}

MacAddress made_up_mac(const std::string& interface) {
  return hashed_mac(0x0a, interface.data(), interface.size());
}

OfflineNetwork::OfflineNetwork(const Config& config, uint32_t mtu)
    : tunnel_sources_{config.tunnel.source_ipv4.has_value(), config.tunnel.source_ipv6.has_value()} {
  bool any_destination = config.interfaces.empty();
  for (const InterfaceConfig& interface : config.interfaces) {
    const MacAddress mac = interface.local_mac.value_or(made_up_mac(interface.name));
    links_.push_back({kFirstIfindex + static_cast<int>(links_.size()), interface.name, mac, mtu});
    if (interface.local_mac) local_macs_.push_back(mac);
    any_destination |= !interface.local_mac;
  }
  if (links_.empty()) {
    notes_.emplace_back("the configuration has no interface: one is assumed");
    links_.push_back({kFirstIfindex, kUnnamed, made_up_mac(std::string(kUnnamed)), mtu});
  }
  if (any_destination) local_macs_.clear();
  if (links_.size() > 1) {
    notes_.push_back(fmt::format("without a kernel's routes every packet leaves by the first interface, {}",
                                 links_.front().name));
  }
  if (config.interfaces.empty() || !config.interfaces.front().local_mac) {
    notes_.push_back(fmt::format("{} has no \"local_mac\": it is taken to be {}", links_.front().name,
                                 to_string(links_.front().mac)));
  }
  if (!config.hash_seed) {
    notes_.emplace_back(
        "no \"hash_seed\" in the configuration, zeros are taken: a daemon has its own, and may choose other "
        "backends");
  }
  for (const ServiceConfig& service : config.services) {
    for (const BackendConfig& backend : service.backends) add_hop(backend);
    for (const BackendConfig& fallback : service.fallback) add_hop(fallback);
  }
  for (auto& [address, hop] : hops_) {
    hop.state = ResolvedHop::State::reachable;
    hop.ifindex = kFirstIfindex;
    hop.preferred_source = IpAddress::parse(address.is_v4() ? kPlaceholderSource4 : kPlaceholderSource6);
  }
}

void OfflineNetwork::add_hop(const BackendConfig& backend) {
  const auto [hop, added] = hops_.try_emplace(backend.address);
  if (backend.mac || hop->second.state == ResolvedHop::State::reachable) return;
  hop->second.mac = made_up_mac(backend.address);
  made_up_.push_back(fmt::format("{} is {}", backend.address.to_string(), to_string(hop->second.mac)));
  hop->second.state = ResolvedHop::State::reachable;
}

NetworkView OfflineNetwork::view() const {
  NetworkView view;
  view.links = links_;
  view.find_hop = [this](const IpAddress& address) -> const ResolvedHop* {
    const auto found = hops_.find(address);
    return found == hops_.end() ? nullptr : &found->second;
  };
  return view;
}

std::vector<std::string> OfflineNetwork::notes(const Table& table) const {
  std::vector<std::string> notes = notes_;
  if (!made_up_.empty()) {
    notes.push_back(fmt::format("{} backend{} without \"mac\", taken to be at made-up addresses: {}",
                                made_up_.size(), made_up_.size() == 1 ? "" : "s", listed(made_up_)));
  }
  bool used[2] = {};
  bool translated[2] = {};
  for (const Backend& backend : table.backends()) {
    if (backend.tunnel_source == IpAddress{}) continue;
    (is_tunnel(backend.mode) ? used : translated)[backend.tunnel_source.is_v4() ? 0 : 1] = true;
  }
  for (const int family : {0, 1}) {
    if (!translated[family]) continue;
    notes.push_back(
        fmt::format("no {} address in \"nat\": \"addresses\": clients are translated to a placeholder, {}",
                    family == 0 ? "IPv4" : "IPv6", family == 0 ? kPlaceholderSource4 : kPlaceholderSource6));
  }
  for (const int family : {0, 1}) {
    if (!used[family] || tunnel_sources_[family]) continue;
    notes.push_back(fmt::format("no \"tunnel\": \"source_{}\": a placeholder, {}, is the outer source",
                                family == 0 ? "ipv4" : "ipv6",
                                family == 0 ? kPlaceholderSource4 : kPlaceholderSource6));
  }
  return notes;
}

std::string OfflineNetwork::interface_name(uint16_t index) const {
  return index < links_.size() ? links_[index].name : std::string();
}

}  // namespace xebec
