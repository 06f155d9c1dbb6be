// SPDX-License-Identifier: BSD-2-Clause
#include "control/table_builder.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "control/parallel.h"
#include "control/stacked_links.h"
#include "dataplane/turns.h"

namespace xebec {
namespace {

// An array that was in force for less has placed too few connections to be asked.
constexpr uint64_t kStoodNs = 10'000'000'000;

// CLOCK_MONOTONIC_COARSE moves at most so much at once (HZ=100), and as much again.
constexpr uint64_t kClockTickNs = 20'000'000;

bool same_backends(const std::vector<MaglevBackend>& a, const std::vector<MaglevBackend>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const MaglevBackend& x, const MaglevBackend& y) {
                      return x.address == y.address && x.port == y.port && x.weight == y.weight;
                    });
}

/// Share of the lookup array of each of its backends.
std::vector<double> slot_shares(const MaglevTable& lookup, std::size_t backends) {
  std::vector<double> shares(backends);
  for (const uint16_t slot : lookup.slots()) shares[slot] += 1;
  for (double& share : shares) share /= static_cast<double>(lookup.slots().size());
  return shares;
}

bool is_asking(const ResolvedHop* hop) {
  return hop != nullptr && hop->state == ResolvedHop::State::resolving;
}

// IANA: gue 6080, vxlan 4789.
constexpr uint16_t kGuePort = 6080;
constexpr uint16_t kVxlanPort = 4789;

/// All but the source.
void set_tunnel(const TunnelConfig& tunnel, Backend& b) {
  b.tunnel_port = tunnel.port.value_or(b.mode == Mode::vxlan ? kVxlanPort : kGuePort);
  b.gue_header = tunnel.gue_variant.value_or(1) == 0;
  b.udp6_checksum = tunnel.udp6_checksum.value_or(true);
  b.vni = tunnel.vni.value_or(0);
  b.inner_destination = tunnel.inner_mac.value_or(MacAddress{});
  b.inner_source = b.next_hop.source;
}

}  // namespace

TableBuilder::TableBuilder(const std::array<uint8_t, 16>& hash_seed)
    : secret_(hash_seed), maglev_seed_(XXH3_64bits(hash_seed.data(), hash_seed.size())) {}

tl::expected<std::unique_ptr<const Table>, std::string> TableBuilder::build(const Config& config,
                                                                            const NetworkView& network,
                                                                            uint64_t now_ns,
                                                                            const HealthView& health) {
  TableParts parts;
  parts.secret = secret_;
  parts.icmp = config.icmp;
  decltype(status_) status;
  std::set<uint32_t> kept;  // ids of backends that are not configured any more, and still needed

  // Ids first, all of them: running out must leave everything as it was.
  for (const ServiceConfig& service : config.services) {
    for (const auto* list : {&service.backends, &service.fallback}) {
      for (const BackendConfig& backend : *list) {
        if (!ids_.acquire(service.name, backend.address)) {
          return tl::unexpected(fmt::format("more than {} backends in use", kMaxBackends));
        }
      }
    }
  }
  parts.backends.resize(ids_.end());
  std::set<FlowTimeouts> timeouts;
  for (const ServiceConfig& service : config.services) {
    if (service.timeouts) timeouts.insert(*service.timeouts);
  }
  timeout_classes_.assign(config.defaults.timeouts, timeouts);
  parts.timeouts = timeout_classes_.all();

  const Drafting drafting{config, network, health, parts, status};
  std::vector<Draft> drafts;
  for (const ServiceConfig& service : config.services) {
    drafts.push_back(draft(drafting, service, static_cast<uint32_t>(drafts.size())));
  }
  build_lookups(config, drafts);

  for (std::size_t i = 0; i < drafts.size(); ++i) {
    const ServiceConfig& service = config.services[i];
    Service& s = drafts[i].service;
    Cached& cached = lookups_[service.name];
    if (!drafts[i].may_keep() || !keep_replaced_backends(drafting, service, s, kept)) {
      if (drafts[i].may_keep()) build_lookup(service, drafts[i].weighted, cached);
      s.lookup = cached.lookup;
      cached.entries.clear();
      for (const uint32_t id : s.backend_ids) cached.entries.emplace_back(id, parts.backends[id]);
    }
    set_turns(s, cached);
    for (std::size_t n = 0; n < drafts[i].taking.size(); ++n) drafts[i].taking[n]->share = cached.shares[n];
    remember_previous(s, now_ns);
    parts.services.push_back(std::move(s));
  }
  parts.generation = generation_ + 1;
  for (const IpAddress& address : config.nat.addresses)
    (address.is_v4() ? parts.nat_sources_v4 : parts.nat_sources_v6).push_back(address);
  for (std::size_t i = 0; i < network.links.size() && i < parts.mtus.size(); ++i)
    parts.mtus[i] = static_cast<uint16_t>(std::min<uint32_t>(network.links[i].mtu, UINT16_MAX));
  std::unique_ptr<const Table> table;
  try {
    table = Table::make(std::move(parts));
  } catch (const std::invalid_argument& broken) {  // a fault of this builder: refused, rather than published
    return tl::unexpected(std::string(broken.what()));
  }
  ++generation_;
  status_ = std::move(status);
  release_ids_not_in(config, kept);
  return table;
}

TableBuilder::Tally TableBuilder::tally() const {
  Tally tally;
  for (const auto& [key, status] : status_) {
    if (status.removed) continue;
    ++tally.backends;
    tally.usable += status.usable ? 1 : 0;
    tally.down += status.down ? 1 : 0;
  }
  return tally;
}

/// Resolves one backend into the table's parts and its status.
BackendStatus& TableBuilder::place(const Drafting& all, const ServiceConfig& service,
                                   const BackendConfig& backend, uint32_t index) {
  BackendStatus& st = all.status[{service.name, backend.address}];
  st.id = *ids_.find(service.name, backend.address);
  Backend b = resolve(all.config, service, backend, all.network, st.id, st.why);
  b.service = index;
  st.asking = !b.usable && backend.admin == Admin::ready && is_asking(all.network.find_hop(backend.address));
  st.removed = all.health.removed && all.health.removed(service, backend);
  st.by_intent = !b.usable && backend.admin != Admin::ready;
  if (b.usable && backend.admin == Admin::drain && all.health.drained &&
      all.health.drained(service, backend)) {
    st.why = "drained";
    st.by_intent = true;
    b.usable = false;
  }
  if (b.usable && all.health.why_down) {
    st.why = all.health.why_down(service, backend);
    st.down = !st.why.empty();
    st.by_intent = st.down && st.removed;
    b.usable = !st.down;
    b.keeps_connections = st.down && service.on_down == OnDown::keep;
  }
  st.usable = b.usable;
  all.parts.backends[st.id] = b;
  return st;
}

/// Null if connection ids mean nothing to the service. Ids of backends that take no packets are in it, too: that is asked
/// packet by packet.
std::shared_ptr<const QuicRoutes> TableBuilder::quic_routes(const ServiceConfig& service) const {
  if (!service.quic) return nullptr;
  std::vector<QuicRoutes::Server> servers;
  for (const auto* list : {&service.backends, &service.fallback}) {
    for (const BackendConfig& backend : *list) {
      for (const ServerId& id : backend.server_ids)
        servers.push_back({canonical(service.quic->format, id), *ids_.find(service.name, backend.address)});
    }
  }
  return std::make_shared<const QuicRoutes>(service.quic->format, codes_of(*service.quic),
                                            std::move(servers));
}

/// New flows go to it.
void TableBuilder::use(Draft& draft, const ServiceConfig& service, const BackendConfig& backend,
                       BackendStatus& status) {
  // A fallback stands alone, whatever its weight.
  const uint16_t port = backend.port != 0 ? backend.port : service.port;
  draft.weighted.push_back({backend.address, port, std::max(backend.weight, 1u)});
  draft.service.backend_ids.push_back(status.id);
  draft.taking.push_back(&status);
  status.taking = true;
}

/// Those that start slowly get part of their weight. Weights are whole numbers and only their ratios matter: all of the
/// service's are raised so that even a part of the least can be told from the whole.
void TableBuilder::reweigh(Draft& draft) {
  const auto starts = [](const BackendStatus* status) { return status->weight_permille != 1000; };
  if (std::none_of(draft.taking.begin(), draft.taking.end(), starts)) return;
  uint32_t heaviest = 1;
  for (const MaglevBackend& backend : draft.weighted) heaviest = std::max(heaviest, backend.weight);
  const uint32_t raise = kMaxWeight / heaviest;
  for (std::size_t i = 0; i < draft.weighted.size(); ++i) {
    uint32_t& weight = draft.weighted[i].weight;
    weight = std::max(weight * raise * draft.taking[i]->weight_permille / 1000, 1u);
  }
}

/// Resolves the service's backends into `all.parts` and `all.status`.
TableBuilder::Draft TableBuilder::draft(const Drafting& all, const ServiceConfig& service, uint32_t index) {
  Draft draft;
  Service& s = draft.service;
  s.name = service.name;
  s.vip = service.vip;
  s.port = service.port;
  s.protocol = service.protocol;
  s.stateless = service.stateless;
  s.on_down = service.on_down;
  s.mss_clamp = service.mss_clamp;
  s.fragment = service.fragment;
  if (service.timeouts) s.timeout_class = timeout_classes_.of(*service.timeouts);
  s.vip_length = service.vip_length;
  s.last_port = service.last_port;
  s.hash_input = service.hash;
  s.algorithm = service.algorithm;
  s.load_factor_percent = service.load_factor_percent;
  s.limit = service.rate_limit;
  if (!service.allow.empty() || !service.deny.empty())
    s.sources = std::make_shared<const SourceRules>(service.allow, service.deny);
  s.quic = quic_routes(service);
  for (const BackendConfig& backend : service.backends) {
    BackendStatus& st = place(all, service, backend, index);
    draft.asking |= st.asking;
    if (!st.usable || backend.weight == 0 || backend.admin != Admin::ready) continue;
    use(draft, service, backend, st);
    if (all.health.weight_permille) st.weight_permille = all.health.weight_permille(service, backend);
  }
  reweigh(draft);
  // Flows that the fallback got stay with it when the backends are back: it is usable all the time.
  for (const BackendConfig& fallback : service.fallback) place(all, service, fallback, index).fallback = true;
  if (draft.weighted.empty() && !draft.asking) use_without_backend_up(draft, all, service);
  if (draft.weighted.empty() && !draft.asking) s.no_backend = without_backend(all, service);
  return draft;
}

/// Not while neighbours are being asked: TCP tries again, and that is over in milliseconds. The shim passes a service's packets or
/// none of them, so those wait that some backend still has connections of.
NoBackend TableBuilder::without_backend(const Drafting& all, const ServiceConfig& service) const {
  if (service.fail == FailPolicy::reset) return NoBackend::refuse;
  if (service.fail != FailPolicy::pass) return NoBackend::drop;
  for (const auto* list : {&service.backends, &service.fallback}) {
    for (const BackendConfig& backend : *list) {
      if (all.parts.backends[*ids_.find(service.name, backend.address)].is_used()) return NoBackend::drop;
    }
  }
  return NoBackend::pass;
}

/// The fallback, or with `fail: open` those that are down, as if they were not.
void TableBuilder::use_without_backend_up(Draft& draft, const Drafting& all, const ServiceConfig& service) {
  for (const BackendConfig& fallback : service.fallback) {
    BackendStatus& st = all.status.at({service.name, fallback.address});
    if (!st.usable || fallback.admin != Admin::ready) continue;
    st.stands_in = true;
    return use(draft, service, fallback, st);
  }
  if (service.fail != FailPolicy::open) return;
  for (const BackendConfig& backend : service.backends) {
    BackendStatus& st = all.status.at({service.name, backend.address});
    if (!st.down) continue;
    st.open = st.usable = true;
    st.why.clear();
    all.parts.backends[st.id].usable = true;
    if (backend.weight != 0 && backend.admin == Admin::ready) use(draft, service, backend, st);
  }
}

Backend TableBuilder::resolve(const Config& config, const ServiceConfig& service,
                              const BackendConfig& backend, const NetworkView& network, uint32_t id,
                              std::string& why) {
  Backend b;
  b.address = backend.address;
  b.mode = backend.mode.value_or(service.mode);
  b.port = backend.port;
  if (backend.admin == Admin::maint) {
    why = "in maintenance";
    return b;
  }
  const ResolvedHop* hop = nullptr;
  if (!find_next_hop(backend, network, id, b.next_hop, hop, why)) {
    last_hops_.erase(id);
    return b;
  }
  last_hops_[id] = b.next_hop;
  if (backend.vlan) b.next_hop.vlan = *backend.vlan;
  if (is_tunnel(b.mode)) {
    const TunnelConfig tunnel = backend.tunnel.over(service.tunnel).over(config.tunnel);
    set_tunnel(tunnel, b);
    const auto& configured = backend.address.is_v4() ? tunnel.source_ipv4 : tunnel.source_ipv6;
    if (configured) {
      b.tunnel_source = configured->address;
      b.source_spread = configured->spread_bits;
    } else if (hop != nullptr && hop->preferred_source) {
      b.tunnel_source = *hop->preferred_source;
    } else {
      why = fmt::format(
          "no source address for the tunnel: set /tunnel/source_{} or give the egress interface one",
          backend.address.is_v4() ? "ipv4" : "ipv6");
      return b;
    }
  }
  if (b.mode == Mode::nat) b.client_note = service.client_address;
  if (b.mode == Mode::nat && !find_nat_source(config, backend, hop, b, why)) return b;
  b.usable = true;
  return b;
}

/// Of mode nat, where the configuration has no address of the family.
bool TableBuilder::find_nat_source(const Config& config, const BackendConfig& backend, const ResolvedHop* hop,
                                   Backend& b, std::string& why) {
  const bool v4 = backend.address.is_v4();
  const bool listed = std::any_of(config.nat.addresses.begin(), config.nat.addresses.end(),
                                  [&](const IpAddress& address) { return address.is_v4() == v4; });
  if (listed) return true;
  if (hop != nullptr && hop->preferred_source) {
    b.tunnel_source = *hop->preferred_source;
    return true;
  }
  why = fmt::format(
      "no {} address to translate clients to: set /nat/addresses or give the egress interface one",
      v4 ? "IPv4" : "IPv6");
  return false;
}

bool TableBuilder::find_next_hop(const BackendConfig& backend, const NetworkView& network, uint32_t id,
                                 NextHop& out, const ResolvedHop*& hop, std::string& why) const {
  hop = network.find_hop(backend.address);
  const bool routed = hop != nullptr && hop->state != ResolvedHop::State::no_route;
  auto egress = routed ? find_egress(network, hop->ifindex, backend.address) : std::nullopt;
  // A static link-layer address needs no route as long as there is only one way out.
  if (!routed && backend.mac && network.links.size() == 1) egress = Egress{0, network.links[0].mtu, nullptr};
  if (!egress) {
    why = routed ? fmt::format("its route leads out of an interface (ifindex {}) that xebec does not serve",
                               hop->ifindex)
                 : "no route to it";
    return false;
  }
  const ServedLink& link = network.links[egress->interface];
  out.interface = egress->interface;
  out.source = egress->vlan != nullptr ? egress->vlan->mac : link.mac;
  out.mtu = static_cast<uint16_t>(std::min(egress->mtu, uint32_t{UINT16_MAX}));
  out.vlan = egress->vlan != nullptr ? egress->vlan->vlan : kVlanKeep;
  out.resolved = true;
  if (backend.mac) {
    out.destination = *backend.mac;
    return true;
  }
  if (hop->state == ResolvedHop::State::reachable) {
    out.destination = hop->mac;
    return true;
  }
  const std::string who =
      hop->gateway ? "its gateway " + hop->gateway->to_string() : backend.address.to_string();
  const auto last = last_hops_.find(id);
  if (hop->state == ResolvedHop::State::resolving && last != last_hops_.end() &&
      last->second.interface == egress->interface && last->second.vlan == out.vlan) {
    out.destination = last->second.destination;
    return true;
  }
  out = {};
  why = hop->state == ResolvedHop::State::failed
            ? fmt::format("{} does not answer {} on {}", who,
                          backend.address.is_v4() ? "ARP" : "neighbour discovery", link.name)
            : fmt::format("{}link-layer address not known yet, the kernel is asking",
                          hop->gateway ? who + ": " : "");
  return false;
}

void TableBuilder::build_lookup(const ServiceConfig& service, const std::vector<MaglevBackend>& backends,
                                Cached& cached) const {
  cached.lookup = std::make_shared<const MaglevTable>(
      MaglevTable::build(service.name, backends, maglev_seed_, service.table_size));
  cached.size = service.table_size;
  cached.backends = backends;
  cached.shares = slot_shares(*cached.lookup, backends.size());
  cached.turns.reset();
}

/// What an algorithm needs that does not go by hash alone. `cached` is of the backends that the service has got.
void TableBuilder::set_turns(Service& service, Cached& cached) {
  if (is_by_hash(service.algorithm)) return;
  for (const MaglevBackend& backend : cached.backends) service.weights.push_back(backend.weight);
  if (!cached.turns)
    cached.turns = std::make_shared<const std::vector<uint16_t>>(make_turns(service.weights));
  service.turns = cached.turns;
}

/// What has changed since the last table, all at once: 1,000 arrays are some seconds of one CPU.
void TableBuilder::build_lookups(const Config& config, const std::vector<Draft>& drafts) {
  struct Job {
    const ServiceConfig* service;
    const std::vector<MaglevBackend>* backends;
    Cached* cached;
  };
  std::vector<Job> jobs;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    const ServiceConfig& service = config.services[i];
    if (drafts[i].may_keep()) continue;
    Cached& cached = lookups_[service.name];
    const bool same = cached.lookup != nullptr && cached.size == service.table_size &&
                      same_backends(cached.backends, drafts[i].weighted);
    if (!same) jobs.push_back({&service, &drafts[i].weighted, &cached});
  }
  for_all(jobs.size(),
          [&](std::size_t i) { build_lookup(*jobs[i].service, *jobs[i].backends, *jobs[i].cached); });
}

/// Every backend of a service was replaced by ones whose neighbours are being asked: until the first answers, or all have
/// failed, packets go on to the old ones. Without that, a reload would drop what comes in those milliseconds. False if there
/// are none to keep, or the configuration still has one of them and says something else of it.
bool TableBuilder::keep_replaced_backends(const Drafting& all, const ServiceConfig& config, Service& service,
                                          std::set<uint32_t>& kept) const {
  TableParts& parts = all.parts;
  const auto it = lookups_.find(config.name);
  if (it == lookups_.end() || it->second.entries.empty() || it->second.size != config.table_size)
    return false;
  for (const auto& [id, entry] : it->second.entries) {
    for (const BackendConfig& b : config.backends) {
      if (b.address == entry.address && !all.status.at({config.name, b.address}).removed) return false;
    }
  }
  service.lookup = it->second.lookup;
  for (const auto& [id, entry] : it->second.entries) {
    parts.backends[id] = entry;
    parts.backends[id].service = static_cast<uint32_t>(parts.services.size());
    service.backend_ids.push_back(id);
    kept.insert(id);
  }
  return true;
}

/// Which array an unknown connection may have been placed by, for so long after a change. The one that stood longest is
/// the likeliest: those that came and went since (a backend that flaps, a change in steps) placed few, and those of a
/// start, while neighbours answer one after the other, none. If it is in force again there is nothing to ask. A
/// service without a usable backend places nothing.
void TableBuilder::remember_previous(Service& service, uint64_t now_ns) {
  Cached& cached = lookups_[service.name];
  // What it places meanwhile cannot be told from what was placed before; or no array has placed anything.
  if (service.stateless || !is_by_hash(service.algorithm)) {
    cached.last = {};
    cached.previous.reset();
    return;
  }
  if (cached.previous && now_ns >= cached.previous->until_ns) cached.previous.reset();
  const bool same = cached.last.lookup == service.lookup && cached.last.backend_ids == service.backend_ids;
  if (!service.lookup->empty() && !same) {
    if (cached.last.lookup) {
      PreviousLookup previous = cached.last;
      // The workers' clock may be a tick behind this one.
      previous.replaced_ns = now_ns - std::min(now_ns, kClockTickNs);
      uint64_t stood_ns = now_ns - cached.last_since_ns;
      if (cached.previous && cached.previous_stood_ns > stood_ns) {
        previous = *cached.previous;
        stood_ns = cached.previous_stood_ns;
      }
      previous.until_ns = now_ns + kSecondChanceNs;
      cached.previous.reset();
      if (stood_ns >= kStoodNs && previous.lookup->digest() != service.lookup->digest()) {
        cached.previous = std::make_shared<const PreviousLookup>(std::move(previous));
        cached.previous_stood_ns = stood_ns;
      }
    }
    cached.last = {service.lookup, service.backend_ids, 0, 0};
    cached.last_since_ns = now_ns;
  }
  service.previous = cached.previous;
}

void TableBuilder::release_ids_not_in(const Config& config, const std::set<uint32_t>& kept) {
  std::set<std::string_view> services;
  std::size_t configured = 0;
  for (const ServiceConfig& service : config.services) {
    services.insert(service.name);
    configured += service.backends.size() + service.fallback.size();
  }
  std::erase_if(lookups_, [&](const auto& entry) { return !services.contains(entry.first); });
  if (ids_.size() == configured) return;  // every configured backend has one, so there is no other

  std::set<std::pair<std::string_view, IpAddress>> wanted;
  for (const ServiceConfig& service : config.services) {
    for (const BackendConfig& backend : service.backends) wanted.emplace(service.name, backend.address);
    for (const BackendConfig& fallback : service.fallback) wanted.emplace(service.name, fallback.address);
  }
  std::vector<std::pair<std::string, IpAddress>> gone;
  ids_.for_each([&](const std::string& service, const IpAddress& address, uint32_t id) {
    if (wanted.contains({service, address}) || kept.contains(id)) return;
    gone.emplace_back(service, address);
    last_hops_.erase(id);
  });
  for (const auto& [service, address] : gone) ids_.release(service, address);
}

}  // namespace xebec
