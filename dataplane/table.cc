// SPDX-License-Identifier: BSD-2-Clause
// The forwarding table: what must hold before it is published, and the index that finds a service.
#include "dataplane/table.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

namespace xebec {
namespace {

// 32 bits a VIP: one source in 32 is walked for in vain. At 4,096 services the filter is 16 to 32 KiB; at
// least a cache line.
constexpr std::size_t kFilterBitsPerVip = 32;
constexpr std::size_t kMinFilterBits = 512;

std::string describe(const Service& service) {
  return "service '" + service.name + "' (" + service.vip.to_string() + " port " +
         std::to_string(service.port) + " protocol " + std::to_string(service.protocol) + ")";
}

[[noreturn]] void broken(const std::string& subject, const char* what) {
  throw std::invalid_argument("forwarding table: " + subject + ": " + what);
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
    require(service.protocol == kProtoTcp || service.protocol == kProtoUdp, service, "neither TCP nor UDP");
    require(!is_unspecified(service.vip), service, "it has no address");
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
  // Every service brings itself and, at most, its VIP.
  const std::size_t keys = 2 * parts_.services.size() + parts_.local_vips.size();
  index_.resize(std::bit_ceil(std::max<std::size_t>(2 * keys, 2)));
  const std::size_t vips = parts_.services.size() + parts_.local_vips.size();
  vip_filter_.resize(std::bit_ceil(std::max(kMinFilterBits, kFilterBitsPerVip * vips)) / 64);
  filter_shift_ = static_cast<uint32_t>(64 - std::countr_zero(vip_filter_.size() * 64));
  for (const Backend& backend : parts_.backends)
    encapsulates_ = encapsulates_ || (backend.usable && is_tunnel(backend.mode));
  for (const Backend& backend : parts_.backends)
    translates_ = translates_ || (backend.usable && is_nat(backend.mode));
  for (const IpAddress& vip : parts_.local_vips) index_vip(vip, false);
  for (uint32_t i = 0; i < parts_.services.size(); ++i) index_service(i);
}

void Table::index_vip(const IpAddress& address, bool served) {
  const Key key = Key::of(address, Be16{}, 0);
  const uint64_t bit = filter_bit_of(address);
  vip_filter_[bit / 64] |= uint64_t{1} << bit % 64;
  Slot& slot = index_[position_of(key)];
  const bool served_before = slot.value == kVipServed;
  slot = Slot{key, served || served_before ? kVipServed : kVipIdle};
}

void Table::index_service(uint32_t service) {
  const Service& s = parts_.services[service];
  const Key key = Key::of(s.vip, Be16::from_host(s.port), s.protocol);
  Slot& slot = index_[position_of(key)];
  if (slot.value != kNone) broken(describe(s), "another service has the same address, port and protocol");
  slot = Slot{key, service};
  index_vip(s.vip, !s.lookup->empty());
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
  return find(Key::of(address, Be16{}, 0)) != kNone;
}

uint32_t Table::find_service(const IpAddress& vip, uint8_t protocol, Be16 port) const {
  if (protocol == 0) return kNone;  // stands for the VIP itself in the index
  const uint32_t exact = find(Key::of(vip, port, protocol));
  return exact != kNone ? exact : find(Key::of(vip, Be16{}, protocol));
}

bool Table::is_vip_served(const IpAddress& address) const {
  return find(Key::of(address, Be16{}, 0)) == kVipServed;
}

}  // namespace xebec
