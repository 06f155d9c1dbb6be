// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/nat_plain.h"

#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/link_header.h"
#include "dataplane/nat.h"
#include "dataplane/nat_note.h"
#include "dataplane/nat_table.h"
#include "dataplane/rewrite.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

// Both ways: TTL left, and an untagged link header that stays where it is.
bool is_plain(const Packet& packet, const ParsedPacket& parsed) {
  return parsed.l3_offset == sizeof(EthernetHeader) && parsed.ttl > 1 && packet.rest_length == 0 &&
         (parsed.protocol == kProtoTcp || parsed.protocol == kProtoUdp);
}

bool fits(uint32_t ip_length, uint32_t mtu) {
  return mtu == 0 || ip_length <= mtu;
}

Be16 changed(Be16 checksum, uint32_t change) {
  return checksum_finish(static_cast<uint16_t>(~checksum.raw()) + change);
}

// The change that undoes it. 0 is written 0xffff, as everywhere.
uint16_t undone(uint16_t change) {
  return change == UINT16_MAX ? change : static_cast<uint16_t>(~change);
}

// `change`: what the new addresses make of the sum.
void write_ip(uint8_t* l3, uint8_t ip_version, const IpAddress& source, const IpAddress& destination,
              uint16_t change) {
  if (ip_version == 6) {
    auto* ip = view_as<Ipv6Header>(l3);
    --ip->hop_limit;
    std::memcpy(ip->source, source.bytes.data(), sizeof ip->source);
    std::memcpy(ip->destination, destination.bytes.data(), sizeof ip->destination);
    return;
  }
  // TTL and protocol are one word of the sum, the TTL its first byte in memory: one less is 0xfffe more (RFC 1624).
  constexpr uint32_t kOneHopLess = 0xfffe;
  auto* ip = view_as<Ipv4Header>(l3);
  --ip->ttl;
  ip->checksum = changed(ip->checksum, change + kOneHopLess);
  ip->source = source.v4();
  ip->destination = destination.v4();
}

void write_l4(uint8_t* l4, uint8_t protocol, Be16 source_port, Be16 destination_port, uint16_t change) {
  std::memcpy(l4, source_port.bytes, sizeof source_port);
  std::memcpy(l4 + sizeof source_port, destination_port.bytes, sizeof destination_port);
  if (protocol == kProtoTcp) {
    auto* tcp = view_as<TcpHeader>(l4);
    tcp->checksum = changed(tcp->checksum, change);
    return;
  }
  auto* udp = view_as<UdpHeader>(l4);
  if (udp->checksum.raw() == 0) return;
  udp->checksum = changed(udp->checksum, change);
  if (udp->checksum.raw() == 0) udp->checksum = Be16::from_raw(UINT16_MAX);
}

// The client's last packet came this way, too.
bool is_same_path(const Packet& packet, const ReturnPath& path) {
  const auto& ethernet = *view_as<EthernetHeader>(packet.data);
  return path.link.length == sizeof(EthernetHeader) && path.interface == packet.interface &&
         path.destination == ethernet.source && path.source == ethernet.destination;
}

// Of no packet that is looked at here do the numbers move, or is a note missing.
bool leaves_stream_alone(const NatTable& table, uint32_t slot, const Backend& backend, const NatMapping& m) {
  if (!wants_note(backend, m)) return true;
  return backend.client_note == ClientNote::toa && m.shift.length == 0 &&
         (table.seen(slot) & NatTable::kReplyOpen) != 0;
}

// A reply of the connection in that slot.
[[gnu::always_inline]] inline bool reply_plain(const Table& table, ForwardState& state, NatTable& owner,
                                               uint32_t slot, const NatMapping& m, const PacketInHand& hand,
                                               Packet& packet, Decision& decision, uint64_t now_ns) {
  const ParsedPacket& parsed = hand.parsed;
  if (m.shift.length != 0 || m.client.link.length != sizeof(EthernetHeader)) return false;
  if (!fits(parsed.ip_length, table.mtu_of(m.client.interface))) return false;
  NatTable& own = state.nat->of(state.worker);
  const bool home = &owner == &own;
  const uint8_t before = owner.replied(slot, m, parsed.tcp_flags, now_ns);
  if ((before & NatTable::kReply) == 0) [[unlikely]]
    own.note_arrival(owner.foretold(slot), home);
  if (parsed.looks_partial && complete_partial_checksum(packet, parsed))
    state.counters.checksums_completed.add(1);
  write_ip(packet.data + sizeof(EthernetHeader), parsed.ip_version, m.forward.destination, m.forward.source,
           undone(m.change.addresses));
  write_l4(packet.data + parsed.l4_offset, parsed.protocol, m.forward.destination_port, m.forward.source_port,
           undone(m.change.segment));
  fit_length(packet, static_cast<uint32_t>(sizeof(EthernetHeader)) + parsed.ip_length);
  static_assert(offsetof(ReturnPath, source) == offsetof(ReturnPath, destination) + sizeof(MacAddress));
  std::memcpy(packet.data, &m.client, 2 * sizeof(MacAddress));
  state.counters.nat_replies.add(1);
  state.counters.nat_replies_home.add(home ? 1 : 0);
  decision = decision_to_client(table, m);
  return true;
}

// Of a connection that another worker has: by a copy, as it may change meanwhile.
[[gnu::noinline]] bool nat_plain_of_another(const Table& table, ForwardState& state, const PacketInHand& hand,
                                            Packet& packet, Decision& decision, uint64_t now_ns) {
  NatTables& tables = *state.nat;
  NatMapping m;
  for (uint32_t i = 1; i < tables.workers(); ++i) {
    NatTable& other = tables.of((state.worker + i) % tables.workers());
    const uint32_t slot = other.find_reply(hand.parsed.key, hand.hash, m);
    if (slot != NatTable::kNone)
      return reply_plain(table, state, other, slot, m, hand, packet, decision, now_ns);
  }
  return false;
}

}  // namespace

bool nat_plain_to_backend(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
                          const Backend& backend, uint32_t id, uint64_t now_ns) {
  const ParsedPacket& parsed = hand.parsed;
  const NextHop& hop = backend.next_hop;
  if (!is_plain(packet, parsed) || !fits(parsed.ip_length, hop.mtu)) return false;
  if (hop.vlan != kVlanKeep && hop.vlan != kVlanNone) return false;
  NatTable& own = state.nat->of(state.worker);
  const uint32_t slot = own.find_forward(parsed.key, hand.hash, id, now_ns, hand.mapping_guess);
  if (slot == NatTable::kNone) return false;
  const NatMapping& m = own.mapping(slot);
  if (!is_same_path(packet, m.client) || !leaves_stream_alone(own, slot, backend, m)) return false;
  if (!is_as_configured(table, backend, m)) [[unlikely]]
    return false;
  own.client_passed(slot, parsed.tcp_flags, now_ns);
  if (parsed.looks_partial && complete_partial_checksum(packet, parsed))
    state.counters.checksums_completed.add(1);
  write_ip(packet.data + sizeof(EthernetHeader), parsed.ip_version, m.reply.destination, m.reply.source,
           m.change.addresses);
  write_l4(packet.data + parsed.l4_offset, parsed.protocol, m.reply.destination_port, m.reply.source_port,
           m.change.segment);
  fit_length(packet, static_cast<uint32_t>(sizeof(EthernetHeader)) + parsed.ip_length);
  set_link_addresses(packet, hop);
  return true;
}

bool nat_plain_to_client(const Table& table, ForwardState& state, const PacketInHand& hand, Packet& packet,
                         Decision& decision, uint64_t now_ns) {
  const ParsedPacket& parsed = hand.parsed;
  if (parsed.kind != PacketKind::transport || parsed.first_fragment || !is_plain(packet, parsed))
    return false;
  // What a SYN-ACK says of the MSS may have to be lowered, and a reset may be an answer to a SYN.
  if ((parsed.tcp_flags & (kTcpSyn | kTcpRst)) != 0) return false;
  NatTable& own = state.nat->of(state.worker);
  const uint32_t slot = own.find_own_reply(parsed.key, hand.hash, hand.mapping_guess);
  if (slot == NatTable::kNone) return nat_plain_of_another(table, state, hand, packet, decision, now_ns);
  return reply_plain(table, state, own, slot, own.mapping(slot), hand, packet, decision, now_ns);
}

}  // namespace xebec
