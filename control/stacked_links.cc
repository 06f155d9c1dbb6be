// SPDX-License-Identifier: BSD-2-Clause
#include "control/stacked_links.h"

#include <algorithm>

namespace xebec {
namespace {

bool sends_for(const LinkState& member, int bond) {
  return member.master == bond && !member.backup && member.up && member.carrier;
}

/// Positions of the served interfaces that packets sent by `ifindex`, a served interface or a bond, may leave by.
std::vector<uint16_t> places_of(const std::map<int, LinkState>& links, const std::vector<ServedLink>& served,
                                int ifindex) {
  const auto sender = links.find(ifindex);
  const bool is_bond = sender != links.end() && sender->second.bond;  // a bridge is a master, too
  std::vector<uint16_t> places;
  for (std::size_t i = 0; i < served.size(); ++i) {
    const auto link = links.find(served[i].ifindex);
    const bool member = is_bond && link != links.end() && sends_for(link->second, ifindex);
    if (served[i].ifindex == ifindex || member) places.push_back(static_cast<uint16_t>(i));
  }
  return places;
}

/// Rendezvous hashing: the member that scores highest for the destination. FNV-1a over the address, then the finalizer of
/// SplitMix64.
uint64_t score(const IpAddress& destination, int member) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const uint8_t byte : destination.bytes) hash = (hash ^ byte) * 0x100000001b3;
  hash += static_cast<uint64_t>(member) * 0x9e3779b97f4a7c15;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}

/// The best of those rows that are of the interface; nullptr: there is none.
template <typename Row>
const Row* choose(const NetworkView& network, const std::vector<Row>& rows, int ifindex,
                  const IpAddress& destination) {
  const Row* best = nullptr;
  uint64_t best_score = 0;
  for (const Row& row : rows) {
    if (row.ifindex != ifindex) continue;
    const uint64_t its = score(destination, network.links[row.interface].ifindex);
    if (best != nullptr && its <= best_score) continue;
    best = &row;
    best_score = its;
  }
  return best;
}

}  // namespace

StackedLinks stacked_links(const std::map<int, LinkState>& links, const std::vector<ServedLink>& served) {
  StackedLinks stacked;
  for (const auto& [ifindex, link] : links) {
    if (link.bond) {
      for (const uint16_t place : places_of(links, served, ifindex))
        stacked.bonds.push_back({ifindex, place, link.mtu});
    }
    if (link.vlan == 0) continue;
    for (const uint16_t place : places_of(links, served, link.lower))
      stacked.vlans.push_back({ifindex, place, link.vlan, link.mac, link.mtu});
  }
  return stacked;
}

std::optional<Egress> find_egress(const NetworkView& network, int ifindex, const IpAddress& destination) {
  for (std::size_t i = 0; i < network.links.size(); ++i) {
    if (network.links[i].ifindex == ifindex)
      return Egress{static_cast<uint16_t>(i), network.links[i].mtu, nullptr};
  }
  if (const VlanLink* vlan = choose(network, network.vlans, ifindex, destination))
    return Egress{vlan->interface, std::min(network.links[vlan->interface].mtu, vlan->mtu), vlan};
  if (const BondMember* member = choose(network, network.bonds, ifindex, destination))
    return Egress{member->interface, std::min(network.links[member->interface].mtu, member->mtu), nullptr};
  return std::nullopt;
}

}  // namespace xebec
