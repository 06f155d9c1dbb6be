// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/nat_note.h"

#include <algorithm>

#include "dataplane/tcp_options.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr uint32_t kMaxIpLength =
    UINT16_MAX;  // both families' length fields; IPv6's does not count its header

ShiftState state_of(uint8_t seen) {
  return {(seen & NatTable::kShiftSent) != 0, (seen & NatTable::kShiftAcknowledged) != 0};
}

bool has_room(const Packet& packet, const ParsedPacket& parsed, const LinkHeader& link, uint32_t length) {
  return packet.headroom + parsed.l3_offset >= link.length + length;
}

// In one step with `length` more bytes, what comes out fits the backend's link and its own length field.
bool fits(const ParsedPacket& parsed, const Backend& backend, uint32_t length) {
  const uint32_t mtu = backend.next_hop.mtu;
  return parsed.ip_length + length <= (mtu != 0 ? mtu : kMaxIpLength);
}

// TCP options may reach into another frame of the packet; what is moved must be in the first.
bool has_header_at_hand(const Packet& packet, const ParsedPacket& parsed) {
  return parsed.l4_offset + tcp_header_length(packet.data + parsed.l4_offset) <= packet.length;
}

std::optional<DropReason> check_proxy(const Packet& packet, const ParsedPacket& parsed,
                                      const Backend& backend, const LinkHeader& link, uint32_t length) {
  if (parsed.first_fragment) return DropReason::proxy_fragment;
  if (!fits(parsed, backend, length)) return DropReason::too_big;
  if (!has_room(packet, parsed, link, length)) return DropReason::no_headroom;
  if (parsed.protocol == kProtoTcp && !has_header_at_hand(packet, parsed)) return DropReason::no_headroom;
  return std::nullopt;
}

void plan_toa(const NatTable& table, uint32_t slot, const NatMapping& mapping, const Backend& backend,
              const Packet& packet, const ParsedPacket& parsed, const LinkHeader& link, NotePlan& plan) {
  if (parsed.protocol != kProtoTcp || (parsed.tcp_flags & kTcpRst) != 0) return;
  if ((table.seen(slot) & NatTable::kReplyOpen) != 0) return;
  plan.note = ClientNote::toa;
  plan.bytes = toa_option(mapping.forward);
  const uint32_t length = plan.bytes.length;
  const bool room = !parsed.first_fragment && has_header_at_hand(packet, parsed) &&
                    tcp_header_length(packet.data + parsed.l4_offset) + length <= kMaxTcpHeader &&
                    fits(parsed, backend, length) && has_room(packet, parsed, link, length);
  if (room) return;
  plan.bytes.length = 0;
  plan.untold = true;
}

std::optional<DropReason> plan_stream(NatTable& table, uint32_t slot, NatMapping& mapping,
                                      const Backend& backend, const Packet& packet,
                                      const ParsedPacket& parsed, const LinkHeader& link, NotePlan& plan) {
  const auto& tcp = *view_as<TcpHeader>(packet.data + parsed.l4_offset);
  const uint32_t sequence = tcp.sequence.host();
  const uint32_t length =
      backend.client_note == ClientNote::proxy ? note_length(ClientNote::proxy, parsed.ip_version == 4) : 0;
  const bool syn = (parsed.tcp_flags & kTcpSyn) != 0;
  if (syn) {
    table.opens(slot, mapping, sequence + 1, length);
  } else if (sequence == mapping.shift.latest_first && sequence != mapping.shift.first &&
             (parsed.tcp_flags & kTcpRst) == 0) {
    table.replace_connection(slot, mapping, length);
  }
  if (mapping.shift.length == 0) return std::nullopt;
  plan.note = ClientNote::proxy;
  plan.move = true;
  plan.state = state_of(table.seen(slot));
  const uint32_t header = tcp_header_length(packet.data + parsed.l4_offset);
  const uint32_t begins = parsed.l4_offset + header;
  const uint32_t ends = parsed.l3_offset + parsed.ip_length;
  const uint32_t payload = ends > begins ? ends - begins : 0;
  if (!carries_inserted(mapping.shift, plan.state, parsed.tcp_flags, sequence, payload)) return std::nullopt;
  plan.bytes = proxy_header(mapping.forward);
  return check_proxy(packet, parsed, backend, link, plan.bytes.length);
}

}  // namespace

std::optional<DropReason> plan_note(NatTable& table, uint32_t slot, NatMapping& mapping,
                                    const Backend& backend, const Packet& packet, const ParsedPacket& parsed,
                                    const LinkHeader& link, NotePlan& plan) {
  if (backend.client_note == ClientNote::toa && mapping.shift.length == 0) {
    plan_toa(table, slot, mapping, backend, packet, parsed, link, plan);
    return std::nullopt;
  }
  if (parsed.protocol == kProtoTcp)
    return plan_stream(table, slot, mapping, backend, packet, parsed, link, plan);
  if (parsed.protocol != kProtoUdp || backend.client_note != ClientNote::proxy) return std::nullopt;
  plan.note = ClientNote::proxy;
  plan.bytes = proxy_header(mapping.forward);
  return check_proxy(packet, parsed, backend, link, plan.bytes.length);
}

void write_note(NatTable& table, uint32_t slot, const NatMapping& mapping, const NotePlan& plan,
                Packet& packet, ParsedPacket& parsed) {
  if (plan.note == ClientNote::toa) {
    hide_toa_options(packet, parsed);
    if (plan.bytes.length != 0) insert_tcp_options(packet, parsed, plan.bytes.span());
    return;
  }
  if (plan.move) shift_to_backend(packet, parsed, mapping.shift, plan.state);
  if (plan.bytes.length == 0) return;
  insert_payload(packet, parsed, plan.bytes.span());
  if (plan.move) table.see(slot, NatTable::kShiftSent);
}

uint8_t take_back_shift(const NatTable& table, uint32_t slot, const NatMapping& mapping, const Packet& packet,
                        const ParsedPacket& parsed) {
  if (mapping.shift.length == 0 || parsed.protocol != kProtoTcp) return 0;
  ShiftState state = state_of(table.seen(slot));
  const uint32_t acknowledgement = view_as<TcpHeader>(packet.data + parsed.l4_offset)->acknowledgement.host();
  uint8_t also = 0;
  if (!state.acknowledged && state.sent &&
      acknowledges_inserted(mapping.shift, parsed.tcp_flags, acknowledgement)) {
    also = NatTable::kShiftAcknowledged;
  }
  shift_to_client(packet, parsed, mapping.shift, state);
  return also;
}

QuotedExcess quoted_excess(const NatTable& table, uint32_t slot, const NatMapping& mapping, ClientNote note,
                           const Packet& packet, const ParsedPacket& parsed) {
  QuotedExcess excess;
  const bool v4 = parsed.ip_version == 4;
  const uint8_t seen = table.seen(slot);
  if (mapping.forward.protocol == kProtoTcp && mapping.shift.length != 0) {
    Be32 sequence;
    std::memcpy(&sequence, packet.data + parsed.quoted_l4_offset + offsetof(TcpHeader, sequence),
                sizeof sequence);
    const uint32_t number = sequence.host();
    excess.sequence = number - unshifted(mapping.shift, state_of(seen), false, number);
    excess.mtu = mapping.shift.length;
  } else if (mapping.forward.protocol == kProtoTcp && note == ClientNote::toa) {
    excess.mtu = (seen & NatTable::kReplyOpen) == 0 ? note_length(note, v4) : 0;
  } else if (mapping.forward.protocol == kProtoUdp && note == ClientNote::proxy) {
    excess.mtu = note_length(note, v4);
  }
  return excess;
}

}  // namespace xebec
