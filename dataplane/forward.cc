// SPDX-License-Identifier: BSD-2-Clause
// The heart. Each stage runs over the whole batch before the next begins, and asks for the memory the next
// will read: dozens of cache misses wait together instead of one after the other.
#include "dataplane/forward.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "dataplane/last_service.h"
#include "dataplane/plain_packet.h"

namespace xebec {
namespace {

// While one packet is parsed, the headers of the ones behind it are on their way: parsing takes some 10 ns, a
// miss to memory up to 100.
constexpr std::size_t kParseAhead = 8;

constexpr uint32_t kCacheLine = 64;

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

// One batch on its way through the stages. A packet is pending while its verdict is `forward`: the stages
// turn that into a drop or a reply, and what is left is sent.
class BatchRun {
 public:
  BatchRun(const Table& table, ForwardState& state, std::span<Packet> packets, std::span<Decision> decisions,
           uint64_t now_ns)
      : table_(table), state_(state), packets_(packets), decisions_(decisions), now_ns_(now_ns) {}

  void locate_all();
  void fetch_all();
  void decide_all();
  void execute_all();

 private:
  bool pending(std::size_t i) const { return decisions_[i].verdict == Verdict::forward; }
  void drop(std::size_t i, DropReason reason) {
    decisions_[i].verdict = Verdict::drop;
    decisions_[i].reason = reason;
  }

  bool parse_one(std::size_t i);
  void locate(std::size_t i);
  void decide(std::size_t i);
  void decide_transport(std::size_t i);
  void decide_later_fragment(std::size_t i);
  void decide_icmp_error(std::size_t i);
  void decide_echo(std::size_t i);

  bool takes_packets(uint32_t backend_id, uint32_t service) const;
  uint32_t pick(std::size_t i) const;
  uint32_t pick_for_unknown(std::size_t i);
  bool choose(std::size_t i, uint32_t backend_id, FlowOrigin origin);
  void choose_new(std::size_t i, const FlowHit& stale);
  void execute(std::size_t i);
  void count_forwarded(const Decision& decision, const ParsedPacket& parsed, uint32_t received_length);

  const Table& table_;
  ForwardState& state_;
  std::span<Packet> packets_;
  std::span<Decision> decisions_;
  uint64_t now_ns_;
  LastService last_service_;
  uint64_t hits_ = 0;  // counted once a batch
  uint64_t misses_ = 0;
};

inline bool BatchRun::parse_one(std::size_t i) {
  ParsedPacket& parsed = state_.parsed[i];
  decisions_[i] = Decision{.verdict = Verdict::forward};
  state_.probes[i].tag = 0;
  if (parse_plain(packets_[i].data, packets_[i].length, parsed)) return true;
  const auto reason = parse({packets_[i].data, packets_[i].length}, parsed, packets_[i].rest_length);
  if (reason) drop(i, *reason);
  return !reason;
}

inline void BatchRun::locate(std::size_t i) {
  const ParsedPacket& parsed = state_.parsed[i];
  // Nobody else may speak as one of our addresses; answering or forwarding that could go round in circles.
  if (table_.is_vip(parsed.key.source)) return drop(i, DropReason::martian);
  if (parsed.kind == PacketKind::icmp_echo) return;
  if (parsed.kind == PacketKind::later_fragment) {
    const FragmentKey key = fragment_key(parsed);
    state_.hashes[i] = table_.secret().hash(&key, sizeof key);
    return;
  }
  const uint32_t index = last_service_.find(table_, parsed.key);
  if (index == Table::kNone) {
    return drop(i,
                parsed.kind == PacketKind::icmp_error ? DropReason::icmp_unhandled : DropReason::no_service);
  }
  decisions_[i].service = index;
  const uint64_t hash = flow_hash(table_.secret(), parsed.key);
  state_.hashes[i] = hash;
  const Service& service = table_.services()[index];
  if (!service.stateless) {
    state_.probes[i] = state_.flows.probe(hash);
    state_.flows.prefetch(state_.probes[i]);
  }
  if (service.stateless || opens_connection(parsed.tcp_flags)) {
    if (!service.lookup->empty()) __builtin_prefetch(service.lookup->slot_of(hash));
  }
}

// Parsing and locating one packet in one go keeps what was parsed in registers.
void BatchRun::locate_all() {
  uint64_t bytes = 0;
  for (std::size_t i = 0; i < std::min(kParseAhead, packets_.size()); ++i)
    __builtin_prefetch(packets_[i].data);
  for (std::size_t i = 0; i < packets_.size(); ++i) {
    if (i + kParseAhead < packets_.size()) __builtin_prefetch(packets_[i + kParseAhead].data);
    bytes += packets_[i].length + packets_[i].rest_length;
    if (parse_one(i)) locate(i);
  }
  state_.counters.received.add(packets_.size());
  state_.counters.received_bytes.add(bytes);
}

// The second half of the flow lookup's prefetch reads what the first has brought, and what it finds tells which backend
// and which counters will be wanted.
void BatchRun::fetch_all() {
  const Backend* const backends = table_.backends().data();
  const std::size_t count = table_.backends().size();
  for (std::size_t i = 0; i < packets_.size(); ++i) {
    FlowProbe& probe = state_.probes[i];
    if (probe.tag == 0) continue;
    const uint32_t backend = state_.flows.prefetch_entry(probe);
    if (backend >= count) continue;
    __builtin_prefetch(backends + backend);
    __builtin_prefetch(&state_.counters.backends[backend], 1);
  }
}

// A remembered backend may be gone since, or its id may mean another service's by now.
bool BatchRun::takes_packets(uint32_t backend_id, uint32_t service) const {
  if (backend_id >= table_.backends().size()) return false;
  const Backend& backend = table_.backends()[backend_id];
  return backend.usable && backend.service == service;
}

uint32_t BatchRun::pick(std::size_t i) const {
  const Service& service = table_.services()[decisions_[i].service];
  const uint16_t index = service.lookup->pick(state_.hashes[i]);
  return index == MaglevTable::kNone ? Table::kNone : service.backend_ids[index];
}

// Nothing is remembered of it. If it cannot open a connection it belongs to one that some table placed: if that was
// before the last change, and the backend of then still takes packets, it goes on there.
uint32_t BatchRun::pick_for_unknown(std::size_t i) {
  const uint32_t current = pick(i);
  const ParsedPacket& parsed = state_.parsed[i];
  const uint32_t service = decisions_[i].service;
  const PreviousLookup* previous = table_.services()[service].previous.get();
  if (previous == nullptr || now_ns_ >= previous->until_ns) return current;
  if (parsed.key.protocol != kProtoTcp || opens_connection(parsed.tcp_flags)) return current;
  const uint16_t index = previous->lookup->pick(state_.hashes[i]);
  if (index == MaglevTable::kNone) return current;
  const uint32_t before = previous->backend_ids[index];
  if (before == current || !takes_packets(before, service)) return current;
  state_.counters.second_chances.add(1);
  return before;
}

// False: it cannot be sent there (yet), and is dropped.
inline bool BatchRun::choose(std::size_t i, uint32_t backend_id, FlowOrigin origin) {
  if (backend_id == Table::kNone) {
    drop(i, DropReason::no_backend);
    return false;
  }
  const Backend& backend = table_.backends()[backend_id];
  decisions_[i].backend = backend_id;
  decisions_[i].interface = backend.next_hop.interface;
  decisions_[i].origin = origin;
  if (!backend.next_hop.resolved) {
    drop(i, DropReason::next_hop_unresolved);
    return false;
  }
  // The outer header goes in front of what was received, into a cache line that nobody has touched: fetched
  // only when it is written, it made an encapsulated packet cost 257 ns instead of 190 (IPv4, 1 k flows).
  const Packet& packet = packets_[i];
  if (backend.mode == Mode::ipip && packet.headroom >= kCacheLine)
    __builtin_prefetch(packet.data - kCacheLine, 1);
  return true;
}

// Nothing usable is remembered. `stale` is found if something unusable is.
void BatchRun::choose_new(std::size_t i, const FlowHit& stale) {
  const uint32_t backend_id = stale.found() ? pick(i) : pick_for_unknown(i);
  // What could not be sent is not remembered: the sender's next try looks again.
  if (!choose(i, backend_id, stale.found() ? FlowOrigin::moved : FlowOrigin::created)) return;
  if (stale.found()) {
    state_.flows.move(stale.slot, backend_id);
    return;
  }
  const ParsedPacket& parsed = state_.parsed[i];
  if (!state_.flows.insert(parsed.key, state_.probes[i], backend_id, parsed.tcp_flags, now_ns_)) {
    decisions_[i].origin = FlowOrigin::unremembered;
  }
}

inline void BatchRun::decide_transport(std::size_t i) {
  const ParsedPacket& parsed = state_.parsed[i];
  Decision& decision = decisions_[i];
  if (table_.services()[decision.service].stateless) {
    choose(i, pick(i), FlowOrigin::stateless);
  } else {
    const FlowHit hit = state_.flows.lookup(parsed.key, state_.probes[i], parsed.tcp_flags, now_ns_);
    ++(hit.found() ? hits_ : misses_);
    if (hit.found() && takes_packets(hit.backend_id, decision.service)) {
      choose(i, hit.backend_id, FlowOrigin::hit);
    } else {
      choose_new(i, hit);
    }
  }
  if (parsed.first_fragment && pending(i)) {
    const FragmentKey key = fragment_key(parsed);
    state_.fragments.remember(key, table_.secret().hash(&key, sizeof key), decision.backend, now_ns_);
  }
}

void BatchRun::decide_later_fragment(std::size_t i) {
  const ParsedPacket& parsed = state_.parsed[i];
  const auto backend_id = state_.fragments.find(fragment_key(parsed), state_.hashes[i], now_ns_);
  if (!backend_id) return drop(i, DropReason::fragment_unknown);
  // The rest of the datagram is of no use to any other backend.
  if (*backend_id >= table_.backends().size()) return drop(i, DropReason::no_backend);
  const Backend& backend = table_.backends()[*backend_id];
  if (!backend.usable || table_.services()[backend.service].vip != parsed.key.destination) {
    return drop(i, DropReason::no_backend);
  }
  decisions_[i].service = backend.service;
  choose(i, *backend_id, FlowOrigin::hit);
}

// Goes where its flow goes, and changes nothing of what is remembered: anybody can send one.
void BatchRun::decide_icmp_error(std::size_t i) {
  const ParsedPacket& parsed = state_.parsed[i];
  const uint32_t service = decisions_[i].service;
  if (!table_.services()[service].stateless) {
    const FlowHit hit = state_.flows.peek(parsed.key, state_.probes[i], now_ns_);
    if (hit.found() && takes_packets(hit.backend_id, service)) {
      choose(i, hit.backend_id, FlowOrigin::hit);
      return;
    }
  }
  choose(i, pick(i), FlowOrigin::stateless);
}

void BatchRun::decide_echo(std::size_t i) {
  const IpAddress& vip = state_.parsed[i].key.destination;
  if (!table_.is_vip(vip)) return drop(i, DropReason::no_service);
  if (!table_.is_vip_served(vip)) return drop(i, DropReason::no_backend);
  if (!state_.echo_replies.take(now_ns_)) return drop(i, DropReason::icmp_echo_limited);
  decisions_[i].verdict = Verdict::reply;
}

void BatchRun::decide(std::size_t i) {
  switch (state_.parsed[i].kind) {
    case PacketKind::transport:
      return decide_transport(i);
    case PacketKind::later_fragment:
      return decide_later_fragment(i);
    case PacketKind::icmp_error:
      return decide_icmp_error(i);
    case PacketKind::icmp_echo:
      return decide_echo(i);
  }
}

void BatchRun::decide_all() {
  for (std::size_t i = 0; i < packets_.size(); ++i) {
    if (pending(i)) decide(i);
  }
}

void BatchRun::count_forwarded(const Decision& decision, const ParsedPacket& parsed,
                               uint32_t received_length) {
  BackendCounters& counters = state_.counters.backends[decision.backend];
  counters.packets.add(1);
  counters.bytes.add(received_length);
  const bool first = decision.origin == FlowOrigin::created || decision.origin == FlowOrigin::unremembered ||
                     decision.origin == FlowOrigin::moved;
  if (first && parsed.kind == PacketKind::transport) counters.new_flows.add(1);
}

inline void BatchRun::execute(std::size_t i) {
  const ParsedPacket& parsed = state_.parsed[i];
  Packet& packet = packets_[i];
  if (decisions_[i].verdict == Verdict::reply) return rewrite_to_echo_reply(packet, parsed);

  const Packet as_received = packet;
  const auto reason = rewrite_to_backend(packet, parsed, table_.backends()[decisions_[i].backend]);
  if (reason) return drop(i, *reason);
  // Rewriting moves at most what is in front of the IP packet, so L4 still lies where it was received; only
  // now is it certain that the packet may be changed.
  if (complete_partial_checksum(as_received, parsed)) state_.counters.checksums_completed.add(1);
  count_forwarded(decisions_[i], parsed, as_received.length + as_received.rest_length);
}

void BatchRun::execute_all() {
  WorkerCounters& counters = state_.counters;
  for (std::size_t i = 0; i < packets_.size(); ++i) {
    if (decisions_[i].verdict != Verdict::drop) execute(i);
    if (decisions_[i].verdict == Verdict::drop) counters.drop(decisions_[i].reason);
  }
  counters.flow_hits.add(hits_);
  counters.flow_misses.add(misses_);
  const FlowTableStats& flows = state_.flows.stats();
  counters.flow_inserts.set(flows.inserts);
  counters.flow_refused.set(flows.refused_full + flows.refused_rate);
  counters.flows_used.set(flows.used);
}

}  // namespace

bool RateLimit::take(uint64_t now_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  const uint64_t elapsed = now_ns - std::min(refilled_ns_, now_ns);
  const uint64_t seconds = elapsed / kSecond;
  if (per_second_ != 0 && seconds > burst_ / per_second_) {
    tokens_ = burst_;  // also keeps the products below from overflowing
    refilled_ns_ = now_ns;
  } else if (per_second_ != 0) {
    const uint64_t earned = seconds * per_second_ + elapsed % kSecond * per_second_ / kSecond;
    tokens_ = std::min(burst_, tokens_ + earned);
    // Time that has not earned a whole token yet is kept; rounded up, so that it is never more than
    // per_second.
    refilled_ns_ += (earned * kSecond + per_second_ - 1) / per_second_;
  }
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

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
  BatchRun run(table, state, packets, decisions, now_ns);
  run.locate_all();
  run.fetch_all();
  run.decide_all();
  run.execute_all();
}

}  // namespace xebec
