// SPDX-License-Identifier: BSD-2-Clause
// The heart. Each stage runs over the whole batch before the next begins, and asks for the memory the next
// will read: dozens of cache misses wait together instead of one after the other.
//
// Nearly every packet is one more of a known flow, whose backend is up. For it there is one straight line of inline code,
// in free functions over local variables: as members of an object whose address went to some call, pointers
// and counters were read from memory and written back again for every packet. All else is behind calls that are never
// inlined.
#include "dataplane/forward.h"

#include <algorithm>
#include <cassert>

#include "dataplane/decide.h"
#include "dataplane/last_service.h"
#include "dataplane/plain_packet.h"
#include "dataplane/plain_rewrite.h"

namespace xebec {
namespace {

using Way = PacketInHand::Way;

// While one packet is parsed, the headers of the ones behind it are on their way: parsing takes some 10 ns, a
// miss to memory up to 100.
constexpr std::size_t kParseAhead = 8;

constexpr uint32_t kCacheLine = 64;

[[gnu::cold, gnu::noinline]] void drop(WorkerCounters& counters, Decision& decision, DropReason reason) {
  decision.verdict = Verdict::drop;
  decision.reason = reason;
  counters.drop(reason);
}

// The same before anything was decided: what the caller's decision held is an older packet's.
[[gnu::cold, gnu::noinline]] void refuse(ForwardState& state, PacketInHand& hand, Decision& decision,
                                         DropReason reason) {
  decision = Decision{.verdict = Verdict::drop, .reason = reason};
  hand.probe = FlowProbe{};
  hand.way = Way::settled;
  state.counters.drop(reason);
}

[[gnu::cold, gnu::noinline]] DropReason why_no_service(const ParsedPacket& parsed) {
  if (parsed.kind == PacketKind::icmp_error) return DropReason::icmp_unhandled;
  return has_ports(parsed.protocol) ? DropReason::no_service : DropReason::unsupported_protocol;
}

// Finds the service of a parsed packet and the places of its flow. False: it is refused.
[[gnu::always_inline]] inline bool locate(const Table& table, ForwardState& state, PacketInHand& hand,
                                          LastService& last_service, Decision& decision) {
  const ParsedPacket& parsed = hand.parsed;
  // Nobody else may speak as one of our addresses; answering or forwarding that could go round in circles.
  if (table.is_vip(parsed.key.source)) [[unlikely]] {
    refuse(state, hand, decision, DropReason::martian);
    return false;
  }
  const uint32_t index = last_service.find(table, parsed.key);
  if (index == Table::kNone) [[unlikely]] {
    refuse(state, hand, decision, why_no_service(parsed));
    return false;
  }
  const uint64_t hash = flow_hash(table.secret(), parsed.key, parsed.ip_version == 4);
  hand.hash = hash;
  hand.service = index;
  const Service& service = table.services()[index];
  if (service.exceptional && service.sources && !service.sources->allows(parsed.key.source)) [[unlikely]] {
    refuse(state, hand, decision, DropReason::denied_source);
    return false;
  }
  if (service.exceptional && service.stateless) [[unlikely]] {
    hand.probe = FlowProbe{};
  } else {
    hand.probe = state.flows.probe(hash);
    state.flows.prefetch(hand.probe);
    if (!opens_connection(parsed.tcp_flags)) [[likely]]
      return true;
  }
  if (!service.lookup->empty()) __builtin_prefetch(service.lookup->slot_of(hash));
  return true;
}

// Parsing and locating a plain packet in one go, compiled once for each family, keeps what was parsed in registers. False:
// it is not plain.
[[gnu::always_inline]] inline bool locate_plain(PlainFamily family, const Table& table, ForwardState& state,
                                                PacketInHand& hand, const Packet& packet,
                                                LastService& last_service, Decision& decision) {
  if (!parse_plain(family, packet.data, packet.length, hand.parsed)) return false;
  if (locate(table, state, hand, last_service, decision)) hand.way = Way::flow;
  return true;
}

// The same for every other packet.
[[gnu::noinline]] void locate_general(const Table& table, ForwardState& state, PacketInHand& hand,
                                      const Packet& packet, LastService& last_service, Decision& decision) {
  ParsedPacket& parsed = hand.parsed;
  const auto reason = parse({packet.data, packet.length}, parsed, packet.rest_length);
  if (reason) return refuse(state, hand, decision, *reason);
  if (parsed.kind == PacketKind::transport || parsed.kind == PacketKind::icmp_error) {
    if (!locate(table, state, hand, last_service, decision)) return;
    const bool whole = !parsed.first_fragment && packet.rest_length == 0;
    hand.way = whole && parsed.kind == PacketKind::transport ? Way::flow : Way::special;
    return;
  }
  if (table.is_vip(parsed.key.source)) return refuse(state, hand, decision, DropReason::martian);
  hand.probe = FlowProbe{};
  hand.service = Table::kNone;
  hand.way = Way::special;
  if (parsed.kind != PacketKind::later_fragment) return;
  const FragmentKey key = fragment_key(parsed);
  hand.hash = table.secret().hash(&key, sizeof key);
}

void locate_all(const Table& table, ForwardState& state, std::span<const Packet> packets,
                std::span<Decision> decisions) {
  LastService last_service;
  uint64_t bytes = 0;
  for (std::size_t i = 0; i < std::min(kParseAhead, packets.size()); ++i) __builtin_prefetch(packets[i].data);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (i + kParseAhead < packets.size()) __builtin_prefetch(packets[i + kParseAhead].data);
    const Packet& packet = packets[i];
    PacketInHand& hand = state.in_hand[i];
    Decision& decision = decisions[i];
    bytes += packet.length + packet.rest_length;
    using enum PlainFamily;
    const PlainFamily family = packet.rest_length == 0 ? plain_family(packet.data, packet.length) : none;
    if (family == ipv4) {
      if (locate_plain(ipv4, table, state, hand, packet, last_service, decision)) continue;
    } else if (family == ipv6) {
      if (locate_plain(ipv6, table, state, hand, packet, last_service, decision)) continue;
    }
    locate_general(table, state, hand, packet, last_service, decision);
  }
  state.counters.received.add(packets.size());
  state.counters.received_bytes.add(bytes);
}

// The second half of the flow lookup's prefetch reads what the first has brought, and what it finds tells which backend
// and which counters will be wanted.
void fetch_all(const Table& table, ForwardState& state, std::span<const Packet> packets) {
  const Backend* const backends = table.backends().data();
  const std::size_t count = table.backends().size();
  const BackendCounters* const counters = state.counters.backends.get();
  const bool encapsulates = table.encapsulates();
  for (std::size_t i = 0; i < packets.size(); ++i) {
    FlowProbe& probe = state.in_hand[i].probe;
    // The outer header goes in front of what was received, into a cache line that nobody has touched: fetched
    // only when it is written, it made an encapsulated packet cost 257 ns instead of 190 (IPv4, 1 k flows).
    if (encapsulates && packets[i].headroom >= kCacheLine)
      __builtin_prefetch(packets[i].data - kCacheLine, 1);
    if (probe.tag == 0) continue;
    const uint32_t backend = state.flows.prefetch_entry(probe);
    if (backend >= count) continue;
    __builtin_prefetch(backends + backend);
    __builtin_prefetch(counters + backend, 1);
  }
}

// Of a packet in one frame, as it was received.
[[gnu::noinline]] void complete_checksum(WorkerCounters& counters, uint8_t* data, uint32_t length,
                                         const ParsedPacket& parsed) {
  const Packet as_received{.data = data, .length = length};
  if (complete_partial_checksum(as_received, parsed)) counters.checksums_completed.add(1);
}

// The short way: one more packet of a flow whose place was seen, to a backend that takes it. False: nothing has
// happened, and decide() is to be asked.
[[gnu::always_inline]] inline bool forward_known(std::span<const Backend> backends, ForwardState& state,
                                                 const PacketInHand& hand, Packet& packet, Decision& decision,
                                                 uint64_t now_ns) {
  const ParsedPacket& parsed = hand.parsed;
  const uint32_t backend_id = state.flows.guessed(parsed.key, hand.probe, now_ns);
  if (backend_id >= backends.size()) return false;  // also kNoBackend
  const Backend& backend = backends[backend_id];
  if (!backend.takes_packets_of(hand.service) || !backend.next_hop.resolved) return false;
  uint8_t* const data = packet.data;
  const uint32_t length = packet.length;
  if (!rewrite_plain(packet, parsed, backend)) return false;
  state.flows.advance_guessed(hand.probe, parsed.tcp_flags, now_ns);
  if (parsed.looks_partial) [[unlikely]]
    complete_checksum(state.counters, data, length, parsed);
  decision = {.verdict = Verdict::forward,
              .reason = DropReason::not_ip,
              .origin = FlowOrigin::hit,
              .interface = backend.next_hop.interface,
              .service = hand.service,
              .backend = backend_id};
  BackendCounters& counters = state.counters.backends[backend_id];
  counters.packets.add(1);
  counters.bytes.add(length);
  return true;
}

void count_forwarded(WorkerCounters& counters, const Decision& decision, const ParsedPacket& parsed,
                     uint32_t received_length) {
  BackendCounters& backend = counters.backends[decision.backend];
  backend.packets.add(1);
  backend.bytes.add(received_length);
  const bool first = decision.origin == FlowOrigin::created || decision.origin == FlowOrigin::unremembered ||
                     decision.origin == FlowOrigin::moved;
  if (first && parsed.kind == PacketKind::transport) backend.new_flows.add(1);
}

// Obeys what decide() said, or drops what does not fit.
void execute(const Table& table, ForwardState& state, const ParsedPacket& parsed, Packet& packet,
             Decision& decision) {
  if (decision.verdict == Verdict::drop) return state.counters.drop(decision.reason);
  if (decision.verdict == Verdict::reply) return rewrite_to_echo_reply(packet, parsed);
  const Packet as_received = packet;
  const auto reason = rewrite_to_backend(packet, parsed, table.backends()[decision.backend]);
  if (reason) return drop(state.counters, decision, *reason);
  // Rewriting moves at most what is in front of the IP packet, so L4 still lies where it was received; only
  // now is it certain that the packet may be changed.
  if (complete_partial_checksum(as_received, parsed)) state.counters.checksums_completed.add(1);
  count_forwarded(state.counters, decision, parsed, as_received.length + as_received.rest_length);
}

[[gnu::noinline]] void forward_special(const Table& table, ForwardState& state, const PacketInHand& hand,
                                       Packet& packet, Decision& decision, uint64_t now_ns) {
  decision = decide(table, state, hand, now_ns);
  execute(table, state, hand.parsed, packet, decision);
}

void forward_all(const Table& table, ForwardState& state, std::span<Packet> packets,
                 std::span<Decision> decisions, uint64_t now_ns) {
  const std::span<const Backend> backends = table.backends();
  uint64_t known = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const PacketInHand& hand = state.in_hand[i];
    const Way way = hand.way;
    if (way == Way::flow && forward_known(backends, state, hand, packets[i], decisions[i], now_ns))
        [[likely]] {
      ++known;
    } else if (way != Way::settled) {
      forward_special(table, state, hand, packets[i], decisions[i], now_ns);
    }
  }
  WorkerCounters& counters = state.counters;
  counters.flow_hits.add(known);
  const FlowTableStats& flows = state.flows.stats();
  counters.flow_inserts.set(flows.inserts);
  counters.flow_refused.set(flows.refused_full + flows.refused_rate);
  counters.flows_used.set(flows.used);
}

}  // namespace

void count_sent(WorkerCounters& counters, std::span<const Decision> decisions) {
  for (const Decision& decision : decisions) {
    if (decision.verdict == Verdict::forward) counters.forwarded.add(1);
    if (decision.verdict == Verdict::reply) counters.replied.add(1);
  }
}

void forward_batch(const Table& table, ForwardState& state, std::span<Packet> packets,
                   std::span<Decision> decisions, uint64_t now_ns) {
  assert(packets.size() == decisions.size());
  assert(packets.size() <= kBatchSize);
  locate_all(table, state, packets, decisions);
  fetch_all(table, state, packets);
  forward_all(table, state, packets, decisions, now_ns);
}

}  // namespace xebec
