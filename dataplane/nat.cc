// SPDX-License-Identifier: BSD-2-Clause
// Packets of the modes that translate.
#include "dataplane/nat.h"

#include <algorithm>

#include "dataplane/decide.h"
#include "dataplane/link_header.h"
#include "dataplane/nat_note.h"
#include "dataplane/nat_table.h"
#include "dataplane/translate.h"

namespace xebec {
namespace {

// worker (8 bits) and slot of a mapping, as the fragment table remembers them.
constexpr uint32_t kSlotBits = 22;
static_assert(NatTable::kMaxCapacity <= 1u << kSlotBits);

uint32_t fragment_value(uint32_t worker, uint32_t slot) {
  return kFragmentOfMapping | worker << kSlotBits | slot;
}

// A mapping and whose it is.
struct Found {
  NatTable* table = nullptr;
  uint32_t worker = 0;
  uint32_t slot = NatTable::kNone;
  NatMapping mapping;
};

// Own table first: RSS brings a client's packets to one worker, and often the replies, too.
template <typename Find>
bool find_in_all(ForwardState& state, Found& found, Find&& find) {
  NatTables& tables = *state.nat;
  for (uint32_t i = 0; i < tables.workers(); ++i) {
    found.worker = (state.worker + i) % tables.workers();
    found.table = &tables.of(found.worker);
    found.slot = find(*found.table);
    if (found.slot != NatTable::kNone) return true;
  }
  return false;
}

ReturnPath return_path_of(const Packet& packet, const ParsedPacket& parsed) {
  const auto& ethernet = *view_as<EthernetHeader>(packet.data);
  ReturnPath path;
  path.destination = ethernet.source;
  path.source = ethernet.destination;
  path.link = link_header_of(packet, parsed, NextHop{});
  path.interface = packet.interface;
  return path;
}

// Room for a link header that may be longer than the one received, and the MTU.
std::optional<DropReason> refusal(const Packet& packet, const ParsedPacket& parsed, const LinkHeader& link,
                                  uint32_t mtu) {
  if (parsed.ttl <= 1) return DropReason::ttl_expired;
  if (mtu != 0 && parsed.ip_length > mtu) return DropReason::too_big;
  if (packet.headroom + parsed.l3_offset < link.length) return DropReason::no_headroom;
  return std::nullopt;
}

void finish(Packet& packet, const ParsedPacket& parsed, const LinkHeader& link) {
  replace_link_header(packet, parsed.l3_offset, link, 0, ether_type(parsed.ip_version));
  fit_frames(packet, link.length + parsed.ip_length);
}

void send_back(Packet& packet, const ParsedPacket& parsed, const ReturnPath& path) {
  finish(packet, parsed, path.link);
  auto* ethernet = view_as<EthernetHeader>(packet.data);
  ethernet->destination = path.destination;
  ethernet->source = path.source;
}

// As the backend's side knows the connection, and as the client's does, each for packets towards it.
Endpoints towards_backend(const NatMapping& m) {
  return {m.reply.destination, m.reply.source, m.reply.destination_port, m.reply.source_port};
}
Endpoints towards_client(const NatMapping& m) {
  return {m.forward.destination, m.forward.source, m.forward.destination_port, m.forward.source_port};
}
Endpoints mirrored(const Endpoints& e) {
  return {e.destination, e.source, e.destination_port, e.source_port};
}

/// interface: the one it would have left by.
Decision dropped(DropReason reason, uint16_t interface = 0) {
  return {.verdict = Verdict::drop, .reason = reason, .interface = interface};
}

IpAddress ip_source_of(const Packet& packet, const ParsedPacket& parsed) {
  const uint8_t* l3 = packet.data + parsed.l3_offset;
  if (parsed.ip_version == 4) return IpAddress::from_v4(view_as<Ipv4Header>(l3)->source);
  return IpAddress::from_v6(view_as<Ipv6Header>(l3)->source);
}

// An error about a reply that went to the client: to the backend, which sent what it quotes. A router's address stays.
std::optional<DropReason> error_to_backend(ForwardState& state, const PacketInHand& hand, Packet& packet,
                                           const Backend& backend) {
  const ParsedPacket& parsed = hand.parsed;
  Found found;
  const auto by_client = [&](NatTable& t) { return t.find_client(parsed.key, hand.hash, found.mapping); };
  if (!find_in_all(state, found, by_client) || found.mapping.reply.source != backend.address)
    return DropReason::nat_unknown;
  const LinkHeader link = link_header_of(packet, parsed, backend.next_hop);
  if (const auto reason = refusal(packet, parsed, link, backend.next_hop.mtu)) return reason;
  const NatMapping& m = found.mapping;
  IpAddress source = ip_source_of(packet, parsed);
  if (source == m.forward.source) source = m.reply.destination;  // the client's own, e.g. port unreachable
  translate_icmp_error(packet, parsed, {source, m.reply.source}, mirrored(towards_backend(m)));
  finish(packet, parsed, link);
  set_link_addresses(packet, backend.next_hop);
  return std::nullopt;
}

// An error about a packet that went to the backend: to the client. What the backend itself says comes from the VIP.
Decision error_to_client(const Table& table, const PacketInHand& hand, Packet& packet, const Found& found) {
  const ParsedPacket& parsed = hand.parsed;
  const NatMapping& m = found.mapping;
  if (const auto reason = refusal(packet, parsed, m.client.link, table.mtu_of(m.client.interface)))
    return dropped(*reason, m.client.interface);
  IpAddress source = ip_source_of(packet, parsed);
  if (source == m.reply.source) source = m.forward.destination;
  const auto backends = table.backends();
  const ClientNote note = m.backend < backends.size() ? backends[m.backend].client_note : ClientNote::none;
  const QuotedExcess excess = quoted_excess(*found.table, found.slot, m, note, packet, parsed);
  translate_icmp_error(packet, parsed, {source, m.forward.source}, mirrored(towards_client(m)),
                       excess.sequence, excess.mtu);
  send_back(packet, parsed, m.client);
  return decision_to_client(table, m);
}

// What becomes of connections that clients open, as the backend's first packet tells.
void note_answer(ForwardState& state, const NatMapping& m, uint8_t seen, const ParsedPacket& parsed) {
  if (parsed.protocol != kProtoTcp || (seen & NatTable::kReply) != 0) return;
  NatOpenings& openings = state.nat->of(state.worker).openings(m.backend);
  if ((parsed.tcp_flags & kTcpRst) != 0) openings.refused.add(1);
  if ((parsed.tcp_flags & (kTcpSyn | kTcpAck | kTcpRst)) == (kTcpSyn | kTcpAck)) openings.answered.add(1);
}

void remember_fragments(const Table& table, ForwardState& state, const ParsedPacket& parsed, uint32_t value,
                        uint64_t now_ns) {
  const FragmentKey key = fragment_key(parsed);
  state.fragments->remember(key, table.secret().hash(&key, sizeof key), value, now_ns);
}

// A partial checksum is made whole by translate(), or before it where something is inserted.
void count_completed(ForwardState& state, const ParsedPacket& parsed) {
  if (parsed.looks_partial) state.counters.checksums_completed.add(1);
}

// The mapping of a client's packet, made if it is his first one.
uint32_t find_or_create(const Table& table, ForwardState& state, const PacketInHand& hand,
                        const ReturnPath& path, const Backend& backend, uint32_t id, uint64_t now_ns,
                        NatMapping& out) {
  NatTable& own = state.nat->of(state.worker);
  const FlowKey& key = hand.parsed.key;
  const uint32_t slot = own.find_forward(key, hand.hash, id, now_ns);
  if (slot != NatTable::kNone) {
    out = own.mapping(slot);
    if (is_as_configured(table, backend, out)) return slot;
    own.forget(slot);
  }
  NatRequest request{
      .forward = key, .forward_hash = hand.hash, .reply = {}, .backend = id, .client = path, .sources = {}};
  request.reply.source = backend.address;
  request.reply.source_port = backend.port == 0 ? key.destination_port : Be16::from_host(backend.port);
  request.reply.destination = key.source;
  request.reply.destination_port = key.source_port;
  request.reply.protocol = key.protocol;
  if (backend.mode == Mode::nat) {
    request.sources = table.nat_sources(backend.address.is_v4());
    if (request.sources.empty()) request.sources = {&backend.tunnel_source, 1};
    // Replies mostly come the way that packets to the backend go; where they don't, few come home, and it is given up.
    request.interface = backend.next_hop.interface;
    request.reply_queues = state.nat->reply_queues(request.interface);
  }
  const uint32_t made = own.create(request, table.secret(), now_ns, out);
  return made;
}

}  // namespace

bool is_as_configured(const Table& table, const Backend& backend, const NatMapping& m) {
  const Be16 port = backend.port == 0 ? m.forward.destination_port : Be16::from_host(backend.port);
  if (m.reply.source != backend.address || m.reply.source_port != port) return false;
  if (backend.mode == Mode::dnat) return m.reply.destination == m.forward.source;
  const std::span<const IpAddress> sources = table.nat_sources(backend.address.is_v4());
  if (sources.empty()) return m.reply.destination == backend.tunnel_source;
  return std::find(sources.begin(), sources.end(), m.reply.destination) != sources.end();
}

Decision decision_to_client(const Table& table, const NatMapping& mapping) {
  Decision decision{.verdict = Verdict::forward, .origin = FlowOrigin::hit};
  decision.interface = mapping.client.interface;
  decision.to_client = true;
  decision.backend = mapping.backend;
  if (mapping.backend < table.backends().size() && table.backends()[mapping.backend].is_used())
    decision.service = table.backends()[mapping.backend].service;
  return decision;
}

std::optional<DropReason> nat_to_backend(const Table& table, ForwardState& state, const PacketInHand& hand,
                                         Packet& packet, const Decision& decision, uint64_t now_ns,
                                         uint32_t& inserted) {
  const ParsedPacket& parsed = hand.parsed;
  const Backend& backend = table.backends()[decision.backend];
  NatTable& own = state.nat->of(state.worker);
  if (parsed.kind == PacketKind::icmp_error) return error_to_backend(state, hand, packet, backend);
  const LinkHeader link = link_header_of(packet, parsed, backend.next_hop);
  if (const auto reason = refusal(packet, parsed, link, backend.next_hop.mtu)) return reason;
  if (parsed.protocol == kProtoSctp && parsed.first_fragment) return DropReason::unsupported_protocol;
  // It would get its own packet back as if from itself, and answer past us.
  if (backend.mode == Mode::dnat && parsed.key.source == backend.address) return DropReason::martian;
  const ReturnPath path = return_path_of(packet, parsed);
  NatMapping mapping;
  const uint64_t created = own.stats().created;
  const uint32_t slot = find_or_create(table, state, hand, path, backend, decision.backend, now_ns, mapping);
  if (slot == NatTable::kNone) return DropReason::nat_exhausted;
  const bool again = own.stats().created == created && opens_connection(parsed.tcp_flags);
  if (again && parsed.protocol == kProtoTcp && own.awaits_answer(slot, now_ns))
    own.openings(decision.backend).unanswered.add(1);
  own.forwarded(slot, mapping, parsed.tcp_flags, path, now_ns);
  ParsedPacket grown = parsed;
  if (wants_note(backend, mapping)) [[unlikely]] {
    NotePlan plan;
    if (const auto reason = plan_note(own, slot, mapping, backend, packet, parsed, link, plan)) return reason;
    write_note(own, slot, mapping, plan, packet, grown);
    inserted = plan.bytes.length;
    state.counters.nat_client_told.add(inserted != 0 ? 1 : 0);
    state.counters.nat_client_untold.add(plan.untold ? 1 : 0);
  }
  if (parsed.first_fragment)
    remember_fragments(table, state, parsed, fragment_value(state.worker, slot), now_ns);
  count_completed(state, parsed);
  translate(packet, grown, towards_backend(mapping));
  finish(packet, grown, link);
  set_link_addresses(packet, backend.next_hop);
  return std::nullopt;
}

Decision nat_to_client(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
                       uint64_t now_ns) {
  const ParsedPacket& parsed = hand.parsed;
  Found found;
  const auto by_reply = [&](NatTable& t) { return t.find_reply(parsed.key, hand.hash, found.mapping); };
  if (!find_in_all(state, found, by_reply)) return dropped(DropReason::nat_unknown);
  const NatMapping& m = found.mapping;
  if (parsed.kind == PacketKind::icmp_error) return error_to_client(table, hand, packet, found);
  if (parsed.protocol == kProtoSctp && parsed.first_fragment)
    return dropped(DropReason::unsupported_protocol);
  if (const auto reason = refusal(packet, parsed, m.client.link, table.mtu_of(m.client.interface)))
    return dropped(*reason, m.client.interface);
  note_answer(state, m, found.table->seen(found.slot), parsed);
  const uint8_t also = take_back_shift(*found.table, found.slot, m, packet, parsed);
  const uint8_t before = found.table->replied(found.slot, m, parsed.tcp_flags, now_ns, also);
  // NICs hash fragments by their addresses alone.
  if ((before & NatTable::kReply) == 0 && !parsed.first_fragment)
    state.nat->of(state.worker).note_arrival(found.table->foretold(found.slot), found.worker == state.worker);
  if (parsed.first_fragment)
    remember_fragments(table, state, parsed, fragment_value(found.worker, found.slot), now_ns);
  count_completed(state, parsed);
  translate(packet, parsed, towards_client(m));
  send_back(packet, parsed, m.client);
  state.counters.nat_replies.add(1);
  state.counters.nat_replies_home.add(found.worker == state.worker ? 1 : 0);
  return decision_to_client(table, m);
}

Decision nat_fragment(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
                      uint32_t remembered) {
  const ParsedPacket& parsed = hand.parsed;
  const uint32_t worker = (remembered & ~kFragmentOfMapping) >> kSlotBits;
  NatMapping m;
  if (worker >= state.nat->workers() ||
      !state.nat->of(worker).read(remembered & ((1u << kSlotBits) - 1), m)) {
    return dropped(DropReason::fragment_unknown);
  }
  const FlowKey& key = parsed.key;
  if (key.source == m.reply.source && key.destination == m.reply.destination) {
    if (const auto reason = refusal(packet, parsed, m.client.link, table.mtu_of(m.client.interface)))
      return dropped(*reason);
    translate(packet, parsed, towards_client(m));
    send_back(packet, parsed, m.client);
    state.counters.nat_replies.add(1);
    state.counters.nat_replies_home.add(worker == state.worker ? 1 : 0);
    return decision_to_client(table, m);
  }
  // The slot may have been given to another connection since.
  if (key.source != m.forward.source || key.destination != m.forward.destination)
    return dropped(DropReason::fragment_unknown);
  if (m.backend >= table.backends().size()) return dropped(DropReason::no_backend);
  const Backend& backend = table.backends()[m.backend];
  if (!backend.is_used() || !backend.next_hop.resolved || backend.address != m.reply.source)
    return dropped(DropReason::no_backend);
  const LinkHeader link = link_header_of(packet, parsed, backend.next_hop);
  if (const auto reason = refusal(packet, parsed, link, backend.next_hop.mtu)) return dropped(*reason);
  translate(packet, parsed, towards_backend(m));
  finish(packet, parsed, link);
  set_link_addresses(packet, backend.next_hop);
  return {.verdict = Verdict::forward,
          .origin = FlowOrigin::hit,
          .interface = backend.next_hop.interface,
          .service = backend.service,
          .backend = m.backend};
}

}  // namespace xebec
