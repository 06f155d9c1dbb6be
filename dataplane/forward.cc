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
#include "dataplane/icmp_error.h"
#include "dataplane/last_service.h"
#include "dataplane/mss_clamp.h"
#include "dataplane/nat.h"
#include "dataplane/nat_plain.h"
#include "dataplane/nat_table.h"
#include "dataplane/pieces.h"
#include "dataplane/plain_packet.h"
#include "dataplane/plain_rewrite.h"
#include "dataplane/tcp_reset.h"

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

// A packet of no service may be a backend's reply: forward_special() will know. In mode nat every second packet is one, but a
// service of another mode has none, and theirs is the way that is kept short.
[[gnu::cold, gnu::noinline]] void await_reply(const Table& table, ForwardState& state, PacketInHand& hand) {
  hand.hash = flow_hash(table.secret(), hand.parsed.key);
  hand.service = Table::kNone;
  hand.probe = FlowProbe{};
  hand.way = Way::special;
  state.nat->of(state.worker).prefetch_reply(hand.hash);
}

// Finds the service of a parsed packet, the places of its flow and its way. False: there is nothing more to find.
[[gnu::always_inline]] inline bool locate(const Table& table, ForwardState& state, PacketInHand& hand,
                                          LastService& last_service, Decision& decision) {
  const ParsedPacket& parsed = hand.parsed;
  // Nobody else may speak as one of our addresses; answering or forwarding that could go round in circles.
  if (table.is_vip(parsed.key.source)) [[unlikely]] {
    refuse(state, hand, decision, DropReason::martian);
    return false;
  }
  const uint32_t index = last_service.find(table, parsed.key);
  if (index == Table::kNone && table.translates()) [[unlikely]] {
    await_reply(table, state, hand);
    return false;
  }
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
    decision.service = index;
    return false;
  }
  if (service.exceptional && service.stateless) [[unlikely]] {
    hand.probe = FlowProbe{};
  } else {
    hand.probe = state.flows.probe(hash);
    state.flows.prefetch(hand.probe);
    const bool by_connection_id = service.exceptional && service.quic;
    if (!opens_connection(parsed.tcp_flags) && !by_connection_id) [[likely]] {
      hand.way = Way::flow;
      return true;
    }
  }
  hand.way = Way::special;  // also a SYN of a known flow: its MSS may have to be lowered
  if (!service.lookup->empty()) __builtin_prefetch(service.lookup->slot_of(hash));
  return true;
}

// Parsing and locating a plain packet in one go, compiled once for each family, keeps what was parsed in registers. False:
// it is not plain.
[[gnu::always_inline]] inline bool locate_plain(PlainFamily family, const Table& table, ForwardState& state,
                                                PacketInHand& hand, const Packet& packet,
                                                LastService& last_service, Decision& decision) {
  if (!parse_plain(family, packet.data, packet.length, hand.parsed)) return false;
  (void)locate(table, state, hand, last_service, decision);
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
    if (!whole || parsed.kind != PacketKind::transport) hand.way = Way::special;
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

// Returns the bytes of all packets.
uint64_t locate_all(const Table& table, ForwardState& state, std::span<const Packet> packets,
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
  return bytes;
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

// Where mappings of translated connections are found by their clients' packets (of replies: await_reply()). Of tables that
// have some only; before fetch_all(), whose time is enough for it to arrive.
[[gnu::noinline]] void fetch_index(ForwardState& state, std::size_t packets) {
  const NatTable& own = state.nat->of(state.worker);
  for (const PacketInHand& hand : std::span(state.in_hand.data(), packets)) {
    if (hand.way == Way::flow) own.prefetch_forward(hand.hash);
  }
}

// And then the mappings.
[[gnu::noinline]] void fetch_mappings(ForwardState& state, std::size_t packets) {
  const NatTable& own = state.nat->of(state.worker);
  for (PacketInHand& hand : std::span(state.in_hand.data(), packets)) {
    if (hand.way == Way::flow) hand.mapping_guess = own.prefetch_forward_mapping(hand.hash);
    if (hand.way == Way::special && hand.service == Table::kNone)
      hand.mapping_guess = own.prefetch_reply_mapping(hand.hash);
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
[[gnu::always_inline]] inline bool forward_known(const Table& table, std::span<const Backend> backends,
                                                 ForwardState& state, const PacketInHand& hand,
                                                 Packet& packet, Decision& decision, uint64_t now_ns) {
  const ParsedPacket& parsed = hand.parsed;
  const uint32_t backend_id = state.flows.guessed(parsed.key, hand.probe, now_ns);
  if (backend_id >= backends.size()) return false;  // also kNoBackend
  const Backend& backend = backends[backend_id];
  if (!backend.takes_packets_of(hand.service) || !backend.next_hop.resolved) return false;
  uint8_t* const data = packet.data;
  const uint32_t length = packet.length;
  const bool translated = is_nat(backend.mode);
  if (translated ? !nat_plain_to_backend(table, state, hand, packet, backend, backend_id, now_ns)
                 : !rewrite_plain(packet, parsed, backend))
    return false;
  state.flows.advance_guessed(hand.probe, parsed.tcp_flags, now_ns);
  if (parsed.looks_partial && !translated) [[unlikely]]
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
                     decision.origin == FlowOrigin::moved || decision.origin == FlowOrigin::second_chance;
  if (first && parsed.kind == PacketKind::transport) backend.new_flows.add(1);
}

// Tells the sender why its packet, which is still as it was received, cannot go on; or drops it without a word.
[[gnu::cold, gnu::noinline]] void answer_or_drop(const Table& table, ForwardState& state,
                                                 const ParsedPacket& parsed, Packet& packet,
                                                 Decision& decision, DropReason reason,
                                                 const IcmpError& error, uint64_t now_ns) {
  const uint32_t per_s = table.icmp().errors_per_s;
  state.icmp_errors.set(per_s, icmp_burst(per_s));
  if (!may_answer_with(error, packet, parsed) || !state.icmp_errors.take(now_ns) ||
      !rewrite_to_icmp_error(error, packet, parsed)) {
    return drop(state.counters, decision, reason);
  }
  decision.verdict = Verdict::reply;
  decision.reason = reason;
  state.counters.icmp_errors[static_cast<std::size_t>(error.kind)].add(1);
}

bool answer_with_reset(const Table& table, ForwardState& state, const ParsedPacket& parsed, Packet& packet,
                       uint64_t now_ns) {
  const uint32_t per_s = table.icmp().resets_per_s;
  state.resets.set(per_s, icmp_burst(per_s));
  if (!may_answer_with_reset(packet, parsed) || !state.resets.take(now_ns)) return false;
  rewrite_to_reset(packet, parsed);
  state.counters.resets.add(1);
  return true;
}

// What no backend takes. Its sender is told where the service says so.
[[gnu::cold, gnu::noinline]] void refuse_or_drop(const Table& table, ForwardState& state,
                                                 const ParsedPacket& parsed, Packet& packet,
                                                 Decision& decision, uint64_t now_ns) {
  const bool refused = decision.reason == DropReason::backend_down ||
                       (decision.reason == DropReason::no_backend && decision.service != Table::kNone &&
                        table.services()[decision.service].no_backend == NoBackend::refuse);
  if (!refused || parsed.kind != PacketKind::transport) return state.counters.drop(decision.reason);
  if (parsed.protocol != kProtoTcp)
    return answer_or_drop(table, state, parsed, packet, decision, decision.reason,
                          {IcmpErrorKind::port_unreachable, 0}, now_ns);
  if (!answer_with_reset(table, state, parsed, packet, now_ns)) return state.counters.drop(decision.reason);
  decision.verdict = Verdict::reply;
}

// Of a connection that opens, of a SYN sent again, and of what a fragment has of one. Its checksum is whole. `packet` is as
// received; `inserted`: so many bytes nearer to the front the TCP header begins by now.
void limit_mss(ForwardState& state, const Packet& packet, const ParsedPacket& parsed, uint32_t limit,
               uint32_t inserted = 0) {
  if (limit == kMssAny) return;
  const uint32_t available = std::min(packet.length, parsed.l3_offset + parsed.ip_length) - parsed.l4_offset;
  if (clamp_mss(packet.data + parsed.l4_offset - inserted, available + inserted, limit, false))
    state.counters.mss_clamped.add(1);
}

uint32_t mss_limit_of(const Table& table, const Decision& decision, const ParsedPacket& parsed) {
  return mss_limit(table.services()[decision.service], table.backends()[decision.backend], parsed);
}

// What is wrong inside comes right before headers are put around it: an outer checksum covers it.
void complete(const Table& table, ForwardState& state, const Packet& packet, const ParsedPacket& parsed,
              const Decision& decision) {
  if (complete_partial_checksum(packet, parsed)) state.counters.checksums_completed.add(1);
  if (opens_connection(parsed.tcp_flags))
    limit_mss(state, packet, parsed, mss_limit_of(table, decision, parsed));
}

// The reason, if it cannot go on, to the sender or to the counters.
void refuse_to_send(const Table& table, ForwardState& state, const ParsedPacket& parsed, Packet& packet,
                    Decision& decision, DropReason reason, uint32_t mtu, uint64_t now_ns) {
  if (reason == DropReason::too_big)
    return answer_or_drop(table, state, parsed, packet, decision, reason, {IcmpErrorKind::too_big, mtu},
                          now_ns);
  if (reason == DropReason::ttl_expired)
    return answer_or_drop(table, state, parsed, packet, decision, reason, {IcmpErrorKind::time_exceeded, 0},
                          now_ns);
  drop(state.counters, decision, reason);
}

// A backend's packet on its way back.
void forward_reply(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
                   Decision& decision, uint64_t now_ns) {
  const ParsedPacket& parsed = hand.parsed;
  const Packet as_received = packet;
  decision = nat_to_client(table, state, hand, packet, now_ns);
  if (decision.verdict != Verdict::drop) {
    if ((parsed.tcp_flags & kTcpSyn) != 0 && decision.service != Table::kNone)
      limit_mss(state, as_received, parsed,
                mss_limit_to_client(table.services()[decision.service], table.backends()[decision.backend],
                                    parsed));
    return;
  }
  // To a VIP, it was no reply.
  if (decision.reason == DropReason::nat_unknown && table.is_vip(parsed.key.destination))
    decision.reason = why_no_service(parsed);
  refuse_to_send(table, state, parsed, packet, decision, decision.reason, table.mtu_of(decision.interface),
                 now_ns);
}

// A later fragment of a translated datagram.
void forward_nat_fragment(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
                          Decision& decision) {
  const uint32_t length = packet.length + packet.rest_length;
  decision = nat_fragment(table, state, hand, packet, decision.backend);
  if (decision.verdict == Verdict::drop) return state.counters.drop(decision.reason);
  if (!decision.to_client) count_forwarded(state.counters, decision, hand.parsed, length);
}

void hold_or_drop(ForwardState& state, const Packet& packet, Decision& decision) {
  const auto frames = 1 + static_cast<uint32_t>(packet.rest.size());
  if (frames > state.hold_places) return drop(state.counters, decision, decision.reason);
  state.hold_places -= frames;
  state.counters.held.add(1);
}

// Obeys what decide() said, or answers or drops what does not fit.
void execute(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
             Decision& decision, uint64_t now_ns) {
  const ParsedPacket& parsed = hand.parsed;
  if (decision.verdict == Verdict::drop)
    return refuse_or_drop(table, state, parsed, packet, decision, now_ns);
  if (decision.verdict == Verdict::reply) return rewrite_to_echo_reply(packet, parsed);
  if (decision.verdict == Verdict::hold) return hold_or_drop(state, packet, decision);
  if (decision.backend != Table::kNone && (decision.backend & kFragmentOfMapping) != 0)
    return forward_nat_fragment(table, state, hand, packet, decision);
  const Backend& backend = table.backends()[decision.backend];
  const Packet as_received = packet;
  const bool translated = is_nat(backend.mode);
  uint32_t inserted = 0;
  auto reason = translated ? nat_to_backend(table, state, hand, packet, decision, now_ns, inserted)
                           : refusal_to_backend(packet, parsed, backend);
  const bool may_be_cut = reason == DropReason::too_big && !translated &&
                          table.services()[decision.service].fragment &&
                          Pieces(packet, parsed, backend).count() != 0;
  if (may_be_cut) {
    complete(table, state, packet, parsed, decision);
    decision.verdict = Verdict::cut;
    return count_forwarded(state.counters, decision, parsed, as_received.length + as_received.rest_length);
  }
  if (reason) {
    return refuse_to_send(table, state, parsed, packet, decision, *reason, path_mtu(backend, parsed), now_ns);
  }
  if (translated) {
    // L4 still lies where it was received, but for what was inserted, and its checksum is whole.
    if (opens_connection(parsed.tcp_flags))
      limit_mss(state, as_received, parsed, mss_limit_of(table, decision, parsed), inserted);
  } else {
    complete(table, state, packet, parsed, decision);
    static_cast<void>(rewrite_to_backend(packet, parsed, backend));
  }
  count_forwarded(state.counters, decision, parsed, as_received.length + as_received.rest_length);
}

[[gnu::noinline]] void forward_special(const Table& table, ForwardState& state, const PacketInHand& hand,
                                       Packet& packet, Decision& decision, uint64_t now_ns) {
  const bool reply = hand.service == Table::kNone && (hand.parsed.kind == PacketKind::transport ||
                                                      hand.parsed.kind == PacketKind::icmp_error);
  if (reply) {
    if (nat_plain_to_client(table, state, hand, packet, decision, now_ns)) return;
    return forward_reply(table, state, hand, packet, decision, now_ns);
  }
  decision = decide(table, state, hand, packet, now_ns);
  execute(table, state, hand, packet, decision, now_ns);
}

void count_nat(ForwardState& state) {
  const NatTableStats& nat = state.nat->of(state.worker).stats();
  WorkerCounters& counters = state.counters;
  counters.nat_created.set(nat.created);
  counters.nat_expired.set(nat.expired);
  counters.nat_reused.set(nat.reused);
  counters.nat_refused.set(nat.refused);
  counters.nat_used.set(nat.used);
}

void forward_all(const Table& table, ForwardState& state, std::span<Packet> packets,
                 std::span<Decision> decisions, uint64_t now_ns) {
  const std::span<const Backend> backends = table.backends();
  uint64_t known = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const PacketInHand& hand = state.in_hand[i];
    const Way way = hand.way;
    if (way == Way::flow && forward_known(table, backends, state, hand, packets[i], decisions[i], now_ns))
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
  if (table.translates()) count_nat(state);
}

// Timeouts of services may change with a table.
void adopt_timeouts(const Table& table, ForwardState& state) {
  if (state.timeouts_of == table.generation()) [[likely]]
    return;
  state.timeouts_of = table.generation();
  state.flows.set_timeouts(table.timeouts());
}

// Of a NAT table of the default size all slots are looked at every 3 to 7 s: ten looks a second, five by a worker that sleeps.
constexpr uint32_t kNatExpirySlots = 1u << 12;
constexpr uint64_t kNatExpiryNs = 100'000'000;

// Every place of the flow table is looked at once in so long, in pieces: of a table of the default size 5 us every 10 ms,
// which no packet in the queue behind it notices.
constexpr uint64_t kSweepNs = 4'000'000'000;
// At most so many buckets at once, some 50 us: what a worker that slept for 200 ms has to catch up with. A table of more than
// 1.6 M buckets (5 M flows) takes longer than kSweepNs.
constexpr uint32_t kSweepBuckets = 1u << 12;

void sweep_flows(const Table& table, ForwardState& state, uint64_t now_ns) {
  const uint64_t elapsed_ns = std::min(now_ns - state.housekept_ns, kSweepNs);
  const uint64_t wanted = state.flows.capacity() / kBucketPlaces * elapsed_ns / kSweepNs;
  if (wanted == 0) return;
  state.housekept_ns = now_ns;
  // A backend without an address is the gap of an id that is not in use.
  const std::span<const Backend> backends = table.backends();
  state.flows.sweep(
      static_cast<uint32_t>(std::min<uint64_t>(wanted, kSweepBuckets)), now_ns,
      [&](uint32_t id) { return id >= backends.size() || backends[id].address == IpAddress{}; });
  state.counters.flows_used.set(state.flows.stats().used);
}

}  // namespace

ForwardState::ForwardState(const FlowTableConfig& flow_config, NatTables* shared_nat, uint32_t number)
    : flows(flow_config),
      picker(number),
      own_nat(shared_nat != nullptr ? nullptr : std::make_unique<NatTables>(NatTableConfig{}, 1)),
      nat(shared_nat != nullptr ? shared_nat : own_nat.get()),
      worker(number) {}
ForwardState::~ForwardState() = default;

void housekeep(const Table& table, ForwardState& state, uint64_t now_ns) {
  adopt_timeouts(table, state);
  sweep_flows(table, state, now_ns);
  if (now_ns - state.nat_kept_ns < kNatExpiryNs) return;
  state.nat_kept_ns = now_ns;
  state.nat->of(state.worker).expire(now_ns, kNatExpirySlots);
  count_nat(state);
}

void count_sent(WorkerCounters& counters, std::span<const Decision> decisions) {
  for (const Decision& decision : decisions) {
    if (decision.verdict == Verdict::forward || decision.verdict == Verdict::cut) counters.forwarded.add(1);
    if (decision.verdict == Verdict::reply) counters.replied.add(1);
  }
}

void drop_held(WorkerCounters& counters, uint64_t packets) {
  counters.drops[static_cast<std::size_t>(DropReason::fragment_unknown)].add(packets);
  counters.held.set(counters.held.read() - packets);
}

uint64_t first_fragments_seen(const ForwardState& state) {
  uint64_t seen = state.fragments->remembered();
  for (const SharedFragmentTable& table : state.other_fragments) seen += table->remembered();
  return seen;
}

void forward_held(const Table& table, ForwardState& state, std::span<Packet> packets,
                  std::span<Decision> decisions, uint64_t now_ns) {
  assert(packets.size() == decisions.size());
  assert(packets.size() <= kBatchSize);
  Counter& held = state.counters.held;
  held.set(held.read() - packets.size());
  adopt_timeouts(table, state);
  (void)locate_all(table, state, packets, decisions);
  forward_all(table, state, packets, decisions, now_ns);
}

void forward_batch(const Table& table, ForwardState& state, std::span<Packet> packets,
                   std::span<Decision> decisions, uint64_t now_ns) {
  assert(packets.size() == decisions.size());
  assert(packets.size() <= kBatchSize);
  adopt_timeouts(table, state);
  const uint64_t bytes = locate_all(table, state, packets, decisions);
  state.counters.received.add(packets.size());
  state.counters.received_bytes.add(bytes);
  const bool translates = table.translates();
  if (translates) fetch_index(state, packets.size());
  fetch_all(table, state, packets);
  if (translates) fetch_mappings(state, packets.size());
  forward_all(table, state, packets, decisions, now_ns);
}

}  // namespace xebec
