// SPDX-License-Identifier: BSD-2-Clause
// The forwarding table: what must hold before it is published, and the index that finds a service.
#include "dataplane/table.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace xebec {
namespace {

// 32 bits a VIP: one source in 32 is walked for in vain. At 4,096 services the filter is 16 to 32 KiB; at
// least a cache line.
constexpr std::size_t kFilterBitsPerVip = 32;
constexpr std::size_t kMinFilterBits = 512;

std::string describe(const Service& service) {
  return "service '" + service.name + "' (" + service.match().to_string() + ")";
}

[[noreturn]] void broken(const std::string& subject, const char* what) {
  throw std::invalid_argument("forwarding table: " + subject + ": " + what);
}

uint8_t narrower_of(uint8_t length) {
  return static_cast<uint8_t>(IpPrefix::kFullLength - length);
}

bool is_unspecified(const IpAddress& address) {
  return address == IpAddress{};
}

// One pass over the parts of a table to be. Descriptions are built only for what is broken: there may be
// 131,072 backends.
class Checker {
 public:
  explicit Checker(const TableParts& parts) : parts_(parts), listed_(parts.backends.size()) {}

  void check() {
    if (parts_.services.size() > kMaxServices) broken("services", "too many");
    if (parts_.backends.size() > kMaxBackends) broken("backends", "too many");
    if (parts_.timeouts.size() > kTimeoutClasses) broken("timeouts", "too many classes");
    for (uint32_t i = 0; i < parts_.services.size(); ++i) check_service(i);
    for (uint32_t id = 0; id < parts_.backends.size(); ++id) check_backend(id);
  }

 private:
  static void require(bool holds, const Service& service, const char* what) {
    if (!holds) broken(describe(service), what);
  }
  void require(bool holds, uint32_t id, const char* what) const {
    if (holds) return;
    broken("backend " + std::to_string(id) + " (" + parts_.backends[id].address.to_string() + ")", what);
  }

  void check_service(uint32_t index) {
    const Service& service = parts_.services[index];
    require(service.timeout_class == 0 || service.timeout_class < parts_.timeouts.size(), service,
            "its timeout class is not among the timeouts");
    require(has_ports(service.protocol) || service.protocol == kProtoAny, service,
            "neither TCP, UDP, SCTP nor any protocol");
    require(!is_unspecified(service.vip), service, "it has no address");
    const IpPrefix vip = service.match().vip;
    require(vip.length <= IpPrefix::kFullLength && !vip.has_stray_bits(), service,
            "its prefix has bits behind it");
    require(!vip.network.is_v4() || vip.length >= IpPrefix::kV4Offset, service, "its prefix is too short");
    require(service.last_port == 0 || (service.port != 0 && service.last_port > service.port), service,
            "its port range is empty");
    require(service.lookup != nullptr, service, "it has no lookup array");
    require(service.backend_ids.size() <= kMaxBackendsPerService, service, "too many backends");
    for (const uint32_t id : service.backend_ids) {
      require(id < parts_.backends.size(), service, "a backend id is out of range");
      require(!listed_[id], service, "a backend is listed twice");
      listed_[id] = true;
      const Backend& backend = parts_.backends[id];
      require(!backend.usable || backend.service == index, service, "it lists a backend of another service");
    }
    check_lookup(service);
    // Whether they take packets, and this service's, is asked packet by packet: a server may be down.
    for (const QuicRoutes::Server& server :
         service.quic ? service.quic->servers() : std::span<const QuicRoutes::Server>())
      require(server.backend < parts_.backends.size(), service,
              "a server id means a backend that is out of range");
    if (!is_by_hash(service.algorithm)) check_turns(service);
    if (service.previous) check_previous(service);
  }

  // A slot is followed blindly, so none may lead nowhere, and none to a backend that takes no packet.
  void check_lookup(const Service& service) {
    const auto& ids = service.backend_ids;
    std::vector<uint8_t> named(ids.size());
    for (const uint16_t slot : service.lookup->slots()) {
      require(slot < ids.size(), service, "a lookup slot is beyond its backends");
      named[slot] = 1;
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
      require(named[i] == 0 || parts_.backends[ids[i]].usable, service,
              "a lookup slot names a backend that is not usable");
    }
  }

  // Of weight 0 nothing may be divided by, and turns are followed blindly, too.
  void check_turns(const Service& service) const {
    for (const uint32_t id : service.backend_ids)
      require(parts_.backends[id].usable, service,
              "it lists a backend that is not usable, and its algorithm may pick any");
    const std::size_t backends = service.backend_ids.size();
    require(!service.stateless, service, "it is stateless, and its algorithm does not go by hash alone");
    require(service.turns != nullptr, service, "its list of turns is missing");
    require(service.weights.size() == backends, service, "it has not a weight for each backend");
    for (const uint32_t weight : service.weights)
      require(weight > 0 && weight <= kMaxWeight, service, "a weight is out of range");
    require(service.turns->empty() == service.lookup->empty(), service,
            "its turns are not its lookup array's");
    for (const uint16_t turn : *service.turns)
      require(turn < backends, service, "a turn is beyond its backends");
  }

  // Whether its backends still take packets is asked packet by packet.
  void check_previous(const Service& service) const {
    require(!service.stateless, service, "it is stateless and has a previous lookup array");
    require(service.previous->lookup != nullptr, service, "its previous lookup array is missing");
    for (const uint16_t slot : service.previous->lookup->slots()) {
      require(slot < service.previous->backend_ids.size(), service,
              "a slot of its previous lookup array is beyond its backends");
    }
  }

  void check_backend(uint32_t id) const {
    const Backend& backend = parts_.backends[id];
    if (!backend.usable) return;  // a gap, or one that takes no packet: nothing of it is read
    // It need not be listed: one of weight 0 has no slot, but keeps its remembered flows.
    require(backend.service < parts_.services.size(), id, "its service is out of range");
    require(backend.mode <= Mode::nat, id, "unknown mode");
    require(!is_unspecified(backend.address), id, "it has no address");
    require(backend.next_hop.interface < kMaxInterfaces, id, "its interface index is out of range");
    // Without a route the outer source may not be known yet; then no packet is sent either.
    check_nat(backend, id);
    if (!is_tunnel(backend.mode) || !backend.next_hop.resolved) return;
    require(backend.vni < 1u << 24, id, "its VXLAN network identifier has more than 24 bits");
    require(backend.source_spread <= 32, id, "its tunnel source is spread over more than 32 bits");
    require(!is_unspecified(backend.tunnel_source), id, "it has no tunnel source");
    require(backend.tunnel_source.is_v4() == backend.address.is_v4(), id,
            "its tunnel source is of the other address family");
  }

  void check_nat(const Backend& backend, uint32_t id) const {
    if (!is_nat(backend.mode)) return;
    require(backend.address.is_v4() == parts_.services[backend.service].vip.is_v4(), id,
            "it is translated to, and of another address family than its service");
    if (backend.mode != Mode::nat || !backend.next_hop.resolved) return;
    const bool v4 = backend.address.is_v4();
    if (!(v4 ? parts_.nat_sources_v4 : parts_.nat_sources_v6).empty()) return;
    require(!is_unspecified(backend.tunnel_source) && backend.tunnel_source.is_v4() == v4, id,
            "there is no source address to translate to");
  }

  const TableParts& parts_;
  std::vector<bool> listed_;
};

}  // namespace

std::unique_ptr<const Table> Table::make(TableParts parts) {
  Checker(parts).check();
  return std::unique_ptr<const Table>(new Table(std::move(parts)));
}

Table::Table(TableParts parts) : parts_(std::move(parts)) {
  // Every service brings its entries and, at most, its VIP.
  std::size_t keys = parts_.local_vips.size();
  for (const Service& s : parts_.services) keys += s.match().entries().size() + 1;
  index_.resize(std::bit_ceil(std::max<std::size_t>(2 * keys, 2)));
  const std::size_t vips = parts_.services.size() + parts_.local_vips.size();
  vip_filter_.resize(std::bit_ceil(std::max(kMinFilterBits, kFilterBitsPerVip * vips)) / 64);
  filter_shift_ = static_cast<uint32_t>(64 - std::countr_zero(vip_filter_.size() * 64));
  for (const Backend& backend : parts_.backends)
    encapsulates_ = encapsulates_ || (backend.is_used() && is_tunnel(backend.mode));
  for (const Backend& backend : parts_.backends)
    translates_ = translates_ || (is_nat(backend.mode) && !is_unspecified(backend.address));
  for (const IpAddress& vip : parts_.local_vips) index_vip(vip, false);
  for (const auto pass : {ServiceMatch::Pass::own_protocol, ServiceMatch::Pass::any_protocol}) {
    for (uint32_t i = 0; i < parts_.services.size(); ++i) index_service(i, pass);
  }
  index_ranges();
  widen_filter();
  for (Service& s : parts_.services) {
    s.exceptional = s.stateless || s.sources != nullptr || s.quic != nullptr;
    s.weight_sum = std::accumulate(s.weights.begin(), s.weights.end(), uint64_t{0});
    s.limit_key = parts_.secret.hash(s.name.data(), s.name.size());
  }
}

void Table::index_vip(const IpAddress& address, bool served, uint8_t narrower) {
  const Key key = Key::of(address, Be16{}, 0, narrower);
  const uint64_t bit = filter_bit_of(address);
  vip_filter_[bit / 64] |= uint64_t{1} << bit % 64;
  Slot& slot = index_[position_of(key)];
  const bool served_before = slot.value == kVipServed;
  slot = Slot{key, served || served_before ? kVipServed : kVipIdle};
}

void Table::index_service(uint32_t service, ServiceMatch::Pass pass) {
  const Service& s = parts_.services[service];
  const ServiceMatch match = s.match();
  if (match.pass() != pass) return;
  wide_ = wide_ || !match.vip.is_single() || match.is_range() || match.protocol == kProtoAny;
  index_vip(s.vip, !s.lookup->empty(), match.narrower());
  if (!match.vip.is_single()) prefix_lengths_.push_back(match.vip.length);
  if (match.is_range()) return;
  for (const uint8_t protocol : match.entries()) {
    const Key key = Key::of(s.vip, Be16::from_host(s.port), protocol, match.narrower());
    Slot& slot = index_[position_of(key)];
    const bool taken = slot.value != kNone;
    if (taken && parts_.services[slot.value].protocol == s.protocol)
      broken(describe(s), "another service has the same address, port and protocol");
    if (!taken) slot = Slot{key, service};
  }
}

// One list for each VIP and protocol that has ranges.
void Table::index_ranges() {
  std::map<std::tuple<IpAddress, uint8_t, uint8_t>, std::vector<PortRange>> lists;
  for (uint32_t i = 0; i < parts_.services.size(); ++i) {
    const ServiceMatch match = parts_.services[i].match();
    if (!match.is_range()) continue;
    for (const uint8_t protocol : match.entries()) {
      auto& list = lists[{match.vip.network, match.narrower(), protocol}];
      for (const PortRange& other : list) {
        if (other.first == match.port && other.last == match.last_port &&
            parts_.services[other.owner].protocol == match.protocol)
          broken(describe(parts_.services[i]), "another service has the same address, port and protocol");
      }
      list.push_back({match.port, match.last_port, i, static_cast<uint8_t>(match.pass())});
    }
  }
  for (auto& [where, list] : lists) {
    const auto& [network, narrower, protocol] = where;
    const auto begin = static_cast<uint32_t>(segments_.size());
    for (const PortSegment& segment : port_segments(std::move(list))) segments_.push_back(segment);
    const Key key = Key::of(network, Be16{}, protocol, narrower, true);
    index_[position_of(key)] = Slot{key, static_cast<uint32_t>(segment_lists_.size())};
    segment_lists_.push_back({begin, static_cast<uint32_t>(segments_.size())});
  }
}

void Table::widen_filter() {
  std::sort(prefix_lengths_.begin(), prefix_lengths_.end(), std::greater<>());
  prefix_lengths_.erase(std::unique(prefix_lengths_.begin(), prefix_lengths_.end()), prefix_lengths_.end());
  if (!prefix_lengths_.empty()) std::fill(vip_filter_.begin(), vip_filter_.end(), ~uint64_t{0});
}

std::size_t Table::position_of(const Key& key) const {
  // At most half of the slots are taken, so the walk ends at a free one; keyed, so that nobody outside can
  // make it long.
  const std::size_t mask = index_.size() - 1;
  // 16 bytes are XXH3's fast path; ports and protocols of one address must differ, not be mixed well.
  const uint64_t packed[2] = {key.address[0] ^ key.port_protocol * 0x9e3779b97f4a7c15u, key.address[1]};
  std::size_t i = parts_.secret.hash(packed, sizeof packed) & mask;
  while (index_[i].value != kNone && !(index_[i].key == key)) i = (i + 1) & mask;
  return i;
}

bool Table::is_indexed_vip(const IpAddress& address) const {
  if (find(Key::of(address, Be16{}, 0)) != kNone) return true;
  return std::any_of(prefix_lengths_.begin(), prefix_lengths_.end(), [&](uint8_t length) {
    return find(Key::of(masked(address, length), Be16{}, 0, narrower_of(length))) != kNone;
  });
}

uint32_t Table::find_service(const IpAddress& vip, uint8_t protocol, Be16 port) const {
  if (wide_) return find_wide(vip, protocol, port);
  if (protocol == 0) return kNone;  // stands for the VIP itself in the index
  const uint32_t exact = find(Key::of(vip, port, protocol));
  return exact != kNone ? exact : find(Key::of(vip, Be16{}, protocol));
}

uint32_t Table::find_wide(const IpAddress& vip, uint8_t protocol, Be16 port) const {
  uint32_t found = find_at(vip, 0, protocol, port);
  for (auto length = prefix_lengths_.begin(); found == kNone && length != prefix_lengths_.end(); ++length) {
    const IpAddress network = masked(vip, *length);
    const auto narrower = narrower_of(*length);
    if (find(Key::of(network, Be16{}, 0, narrower)) == kNone) continue;
    found = find_at(network, narrower, protocol, port);
  }
  return found;
}

uint32_t Table::find_at(const IpAddress& network, uint8_t narrower, uint8_t protocol, Be16 port) const {
  // No service is entered under a protocol that has no ports, but those of any.
  if (!has_ports(protocol)) return find(Key::of(network, Be16{}, kProtoAny, narrower));
  const uint32_t exact = find(Key::of(network, port, protocol, narrower));
  if (exact != kNone) return exact;
  const uint32_t in_range = find_in_ranges(network, narrower, protocol, port);
  return in_range != kNone ? in_range : find(Key::of(network, Be16{}, protocol, narrower));
}

uint32_t Table::find_in_ranges(const IpAddress& network, uint8_t narrower, uint8_t protocol,
                               Be16 port) const {
  if (segments_.empty()) return kNone;
  const uint32_t list = find(Key::of(network, Be16{}, protocol, narrower, true));
  if (list == kNone) return kNone;
  const auto begin = segments_.begin() + segment_lists_[list].begin;
  const auto end = segments_.begin() + segment_lists_[list].end;
  const uint16_t wanted = port.host();
  const auto behind = std::upper_bound(
      begin, end, wanted, [](uint16_t p, const PortSegment& segment) { return p < segment.first; });
  if (behind == begin || std::prev(behind)->last < wanted) return kNone;
  return std::prev(behind)->owner;
}

bool Table::is_vip_served(const IpAddress& address) const {
  if (find(Key::of(address, Be16{}, 0)) == kVipServed) return true;
  return std::any_of(prefix_lengths_.begin(), prefix_lengths_.end(), [&](uint8_t length) {
    return find(Key::of(masked(address, length), Be16{}, 0, narrower_of(length))) == kVipServed;
  });
}

}  // namespace xebec
