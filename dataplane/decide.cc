// SPDX-License-Identifier: BSD-2-Clause
// Which way a packet goes that is not simply the next one of a known flow.
#include "dataplane/decide.h"

#include <algorithm>

#include "dataplane/nat.h"

namespace xebec {
namespace {

// One packet on its way to a decision. Pending while its verdict is `forward`.
class Decider {
 public:
  Decider(const Table& table, ForwardState& state, const PacketInHand& hand, const Packet& packet,
          uint64_t now_ns)
      : table_(table), state_(state), parsed_(hand.parsed), hand_(hand), packet_(packet), now_ns_(now_ns) {
    decision_.verdict = Verdict::forward;
    decision_.service = hand_.service;
  }

  Decision decide() {
    switch (parsed_.kind) {
      case PacketKind::transport:
        decide_transport();
        break;
      case PacketKind::later_fragment:
        decide_later_fragment();
        break;
      case PacketKind::icmp_error:
        decide_icmp_error();
        break;
      case PacketKind::icmp_echo:
        decide_echo();
        break;
    }
    return decision_;
  }

 private:
  void drop(DropReason reason) {
    decision_.verdict = Verdict::drop;
    decision_.reason = reason;
  }

  void decide_transport();
  void decide_later_fragment();
  void decide_icmp_error();
  void decide_echo();

  bool takes_packets(uint32_t backend_id, uint32_t service) const;
  bool is_of_connection() const;
  bool keeps(uint32_t backend_id, uint32_t service) const;
  bool is_to_be_reset() const;
  FlowHit look_up();
  bool is_within_limit();
  uint64_t pick_hash() const;
  uint32_t pick() const;
  uint32_t pick_new();
  uint32_t pick_for_unknown(FlowOrigin& origin);
  bool choose(uint32_t backend_id, FlowOrigin origin);
  void choose_new(const FlowHit& stale);
  bool remember(uint32_t backend_id);
  uint32_t named_by_connection_id() const;
  void follow_connection_id(uint32_t backend_id);

  const Table& table_;
  ForwardState& state_;
  const ParsedPacket& parsed_;
  const PacketInHand& hand_;
  const Packet& packet_;
  uint64_t now_ns_;
  Decision decision_;
};

// New connections that are not remembered, or not any more.
uint64_t forgotten_by(const FlowTable& flows) {
  const FlowTableStats& stats = flows.stats();
  return stats.refused_full + stats.refused_rate + stats.evicted_half_open;
}

// A remembered backend may be gone since, or its id may mean another service's by now.
bool Decider::takes_packets(uint32_t backend_id, uint32_t service) const {
  return backend_id < table_.backends().size() && table_.backends()[backend_id].takes_packets_of(service);
}

// Not one that opens another: whatever becomes of the old one, that is a new one's.
bool Decider::is_of_connection() const {
  return has_connections(parsed_.key.protocol) && !opens_connection(parsed_.tcp_flags);
}

// It takes packets no more, and of connections that it has all the same.
bool Decider::keeps(uint32_t backend_id, uint32_t service) const {
  if (!is_of_connection() || backend_id >= table_.backends().size()) return false;
  const Backend& backend = table_.backends()[backend_id];
  return backend.keeps_connections && backend.service == service;
}

bool Decider::is_to_be_reset() const {
  const Service& service = table_.services()[decision_.service];
  return service.on_down == OnDown::reset && parsed_.key.protocol == kProtoTcp && is_of_connection();
}

// Only what can open a connection counts: after a restart the ones that stand come back all at once.
bool Decider::is_within_limit() {
  const Service& service = table_.services()[decision_.service];
  const NewFlowLimit& limit = service.limit;
  if (limit.per_second == 0) return true;
  if (is_of_connection()) return true;
  const IpAddress source = limit.per == NewFlowLimit::Per::source ? parsed_.key.source : IpAddress{};
  const uint64_t key = SourceRates::key_of(table_.secret(), service.limit_key, source);
  if (state_.new_flows.take(key, share_of_limit(limit.per_second, state_.workers), now_ns_)) return true;
  drop(DropReason::rate_limited);
  return false;
}

uint64_t Decider::pick_hash() const {
  const Service& service = table_.services()[decision_.service];
  return lookup_hash(table_.secret(), parsed_.key, service.hash_input, hand_.hash);
}

uint32_t Decider::pick() const {
  const Service& service = table_.services()[decision_.service];
  const uint16_t index = service.lookup->pick(pick_hash());
  return index == MaglevTable::kNone ? Table::kNone : service.backend_ids[index];
}

// By the service's algorithm. It costs what it costs: no packet of a known flow comes here.
uint32_t Decider::pick_new() {
  const Service& service = table_.services()[decision_.service];
  if (is_by_hash(service.algorithm)) return pick();
  if (!state_.picker.seeded())
    state_.picker.seed(table_.secret().hash(&state_.worker, sizeof state_.worker) | 1);
  const FlowLoads loads{state_.flows.counts(), state_.fleet, state_.workers};
  const uint16_t index = state_.picker.pick(service, decision_.service, pick_hash(), loads);
  return index == MaglevTable::kNone ? Table::kNone : service.backend_ids[index];
}

// Nothing is remembered of it. If it cannot open a connection it belongs to one that some table placed: if that was
// before the last change, and the backend of then still takes packets, it goes on there. Not if this worker had to let a
// new connection go unremembered since: such ones were placed by the array of now, and nothing tells them apart.
uint32_t Decider::pick_for_unknown(FlowOrigin& origin) {
  if (!is_of_connection()) return pick_new();
  // By the lookup array whatever the algorithm: then at least all packets of all such flows are treated alike, on every node.
  const uint32_t current = pick();
  const uint32_t service = decision_.service;
  const PreviousLookup* previous = table_.services()[service].previous.get();
  if (previous == nullptr || now_ns_ >= previous->until_ns) return current;
  if (state_.forgot_ns >= previous->replaced_ns) return current;
  const uint16_t index = previous->lookup->pick(pick_hash());
  if (index == MaglevTable::kNone) return current;
  const uint32_t before = previous->backend_ids[index];
  if (before == current || !takes_packets(before, service)) return current;
  state_.counters.second_chances.add(1);
  origin = FlowOrigin::second_chance;
  return before;
}

// False: it cannot be sent there (yet), and is dropped.
bool Decider::choose(uint32_t backend_id, FlowOrigin origin) {
  if (backend_id == Table::kNone) {
    drop(DropReason::no_backend);
    return false;
  }
  const Backend& backend = table_.backends()[backend_id];
  decision_.backend = backend_id;
  decision_.interface = backend.next_hop.interface;
  decision_.origin = origin;
  if (backend.next_hop.resolved) return true;
  drop(DropReason::next_hop_unresolved);
  return false;
}

// Nothing usable is remembered. `stale` is found if something unusable is.
void Decider::choose_new(const FlowHit& stale) {
  if (!stale.found() && !is_within_limit()) return;
  FlowOrigin origin = stale.found() ? FlowOrigin::moved : FlowOrigin::created;
  const uint32_t backend_id = stale.found() ? pick_new() : pick_for_unknown(origin);
  // Nothing is remembered while the next hop is not known: the sender's next try looks again.
  if (!choose(backend_id, origin)) return;
  if (stale.found()) {
    state_.flows.move(stale.slot, backend_id);
    return;
  }
  if (remember(backend_id) || origin != FlowOrigin::created) return;
  decision_.origin = FlowOrigin::unremembered;
  // What comes after it will come out of nowhere, and go by the lookup array: so does this one.
  if (!is_by_hash(table_.services()[decision_.service].algorithm)) choose(pick(), FlowOrigin::unremembered);
}

// The flow, at `backend_id`. False: there is no place for it.
bool Decider::remember(uint32_t backend_id) {
  const uint64_t forgotten = forgotten_by(state_.flows);
  const bool placed = state_.flows.insert(parsed_.key, hand_.probe, backend_id, parsed_.tcp_flags, now_ns_,
                                          table_.services()[decision_.service].timeout_class);
  if (forgotten_by(state_.flows) != forgotten) state_.forgot_ns = now_ns_;
  return placed;
}

// kNone: the packet's connection id is not routable, or its service has none. One whose server takes no packets is not,
// either: the connection is lost, and the packet is treated as that of a new one.
uint32_t Decider::named_by_connection_id() const {
  const Service& service = table_.services()[decision_.service];
  if (!service.quic || parsed_.protocol != kProtoUdp) return Table::kNone;
  const uint32_t begin = parsed_.l4_offset + static_cast<uint32_t>(sizeof(UdpHeader));
  const uint32_t udp_length = view_as<UdpHeader>(packet_.data + parsed_.l4_offset)->length.host();
  // What other frames or later fragments have of it is too far behind to matter.
  const uint32_t end =
      std::min({packet_.length, parsed_.l3_offset + parsed_.ip_length, parsed_.l4_offset + udp_length});
  const uint32_t named = end > begin ? service.quic->find({packet_.data + begin, end - begin}) : Table::kNone;
  const bool routable = named != Table::kNone && takes_packets(named, decision_.service);
  (routable ? state_.counters.quic_routed : state_.counters.quic_unrouted).add(1);
  return routable ? named : Table::kNone;
}

FlowHit Decider::look_up() {
  const FlowHit hit = state_.flows.lookup(parsed_.key, hand_.probe, parsed_.tcp_flags, now_ns_);
  (hit.found() ? state_.counters.flow_hits : state_.counters.flow_misses).add(1);
  return hit;
}

// The id wins over what is remembered of the addresses and ports. That stays as it is all the same: it may be another
// connection's (of a client that got the port of one that has gone), and anybody can write an id into a packet. Where nothing
// is remembered, this is: ICMP errors and packets with ids of the client's own find their way by it.
void Decider::follow_connection_id(uint32_t backend_id) {
  if (!choose(backend_id, FlowOrigin::connection_id)) return;
  if (table_.services()[decision_.service].stateless) return;
  const FlowHit hit = look_up();
  if (!hit.found()) {
    static_cast<void>(remember(backend_id));
  } else if (!takes_packets(hit.backend_id, decision_.service)) {
    state_.flows.move(hit.slot, backend_id);
  }
}

void Decider::decide_transport() {
  if (const uint32_t named = named_by_connection_id(); named != Table::kNone) {
    follow_connection_id(named);
  } else if (table_.services()[decision_.service].stateless) {
    choose(pick(), FlowOrigin::stateless);
  } else {
    const FlowHit hit = look_up();
    const uint32_t service = decision_.service;
    if (hit.found() && (takes_packets(hit.backend_id, service) || keeps(hit.backend_id, service))) {
      choose(hit.backend_id, FlowOrigin::hit);
    } else if (hit.found() && is_to_be_reset()) {
      // It is over, and no FIN or RST will come that says so: it shall not count among the backend's open connections.
      (void)state_.flows.lookup(parsed_.key, hand_.probe, kTcpRst, now_ns_);
      drop(DropReason::backend_down);  // or a reset, where one can be sent
    } else {
      choose_new(hit);
    }
  }
  if (parsed_.first_fragment && decision_.verdict == Verdict::forward &&
      !is_nat(table_.backends()[decision_.backend].mode)) {
    const FragmentKey key = fragment_key(parsed_);
    state_.fragments->remember(key, table_.secret().hash(&key, sizeof key), decision_.backend, now_ns_);
  }
}

void Decider::decide_later_fragment() {
  const auto backend_id =
      find_newest(*state_.fragments, state_.other_fragments, fragment_key(parsed_), hand_.hash, now_ns_);
  if (!backend_id) {
    // Its first may be on its way, or in another worker's hands.
    drop(DropReason::fragment_unknown);
    decision_.verdict = Verdict::hold;
    return;
  }
  // A translated datagram is nat_fragment()'s: its mapping says where it goes.
  if ((*backend_id & kFragmentOfMapping) != 0) {
    decision_.backend = *backend_id;
    return;
  }
  // The rest of the datagram is of no use to any other backend.
  if (*backend_id >= table_.backends().size()) return drop(DropReason::no_backend);
  const Backend& backend = table_.backends()[*backend_id];
  if (!backend.is_used() ||
      !table_.services()[backend.service].match().vip.contains(parsed_.key.destination)) {
    return drop(DropReason::no_backend);
  }
  decision_.service = backend.service;
  choose(*backend_id, FlowOrigin::hit);
}

// Goes where its flow goes, and changes nothing of what is remembered: anybody can send one.
void Decider::decide_icmp_error() {
  const uint32_t service = decision_.service;
  if (!table_.services()[service].stateless) {
    const FlowHit hit = state_.flows.peek(parsed_.key, hand_.probe, now_ns_);
    if (hit.found() && (takes_packets(hit.backend_id, service) || keeps(hit.backend_id, service))) {
      choose(hit.backend_id, FlowOrigin::hit);
      return;
    }
  }
  choose(pick(), FlowOrigin::stateless);
}

void Decider::decide_echo() {
  const IpAddress& vip = parsed_.key.destination;
  if (!table_.is_vip(vip)) return drop(DropReason::no_service);
  if (!table_.is_vip_served(vip)) return drop(DropReason::no_backend);
  const uint32_t per_s = table_.icmp().echo_replies_per_s;
  state_.echo_replies.set(per_s, icmp_burst(per_s));
  if (!state_.echo_replies.take(now_ns_)) return drop(DropReason::icmp_echo_limited);
  decision_.verdict = Verdict::reply;
}

}  // namespace

FragmentKey fragment_key(const ParsedPacket& parsed) {
  FragmentKey key;
  key.source = parsed.key.source;
  key.destination = parsed.key.destination;
  key.id = parsed.fragment_id;
  // RFC 791 tells datagrams apart by protocol too. RFC 8200 section 4.5 does not, and a later fragment may
  // name an extension header where the first one's walk went on to TCP.
  key.protocol = parsed.ip_version == 4 ? parsed.protocol : uint8_t{0};
  return key;
}

Decision decide(const Table& table, ForwardState& state, const PacketInHand& hand, const Packet& packet,
                uint64_t now_ns) {
  return Decider(table, state, hand, packet, now_ns).decide();
}

}  // namespace xebec
