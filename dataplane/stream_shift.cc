// SPDX-License-Identifier: BSD-2-Clause
// Sequence numbers of a stream with inserted bytes. They are compared as differences, modulo 2^32 (RFC 9293 section 3.4).
#include "dataplane/stream_shift.h"

#include <algorithm>

#include "dataplane/checksum.h"
#include "dataplane/tcp_options.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

// What a client can have sent before anything of it is acknowledged: the window of a SYN-ACK has 16 bits and no scale (RFC
// 7323 section 2.2); SYN and FIN count one each. An acknowledgement further on is an older connection's.
constexpr uint32_t kMaxUnacknowledged = UINT16_MAX + 2;

int32_t distance(uint32_t from, uint32_t to) {
  return static_cast<int32_t>(to - from);
}

uint32_t load32(const uint8_t* at) {
  Be32 value;
  std::memcpy(&value, at, sizeof value);
  return value.host();
}

void store32(uint8_t* at, uint32_t value) {
  const Be32 wire = Be32::from_host(value);
  std::memcpy(at, &wire, sizeof wire);
}

// A block of inserted bytes alone is none to the client: what is left of the option moves up.
void shift_sack(uint8_t* option, std::size_t length, const StreamShift& shift, const ShiftState& state) {
  constexpr std::size_t kBlock = 8;
  uint8_t* out = option + 2;
  uint8_t* const end = option + length;
  for (const uint8_t* block = out; block + kBlock <= end; block += kBlock) {
    const uint32_t left = unshifted(shift, state, false, load32(block));
    const uint32_t right = unshifted(shift, state, false, load32(block + 4));
    if (left == right) continue;
    store32(out, left);
    store32(out + 4, right);
    out += kBlock;
  }
  option[1] = static_cast<uint8_t>(out - option);
  if (out == option + 2) out = option;
  std::fill(out, end, kTcpOptionNothing);
}

}  // namespace

bool carries_inserted(const StreamShift& shift, const ShiftState& state, uint8_t tcp_flags, uint32_t sequence,
                      uint32_t payload_length) {
  if ((tcp_flags & kTcpRst) != 0) return false;
  if ((tcp_flags & kTcpSyn) != 0) return payload_length != 0;
  return !state.acknowledged && sequence == shift.first;
}

uint32_t shifted_sequence(const StreamShift& shift, const ShiftState& state, uint8_t tcp_flags,
                          uint32_t sequence) {
  if ((tcp_flags & kTcpSyn) != 0) return sequence;
  if (state.acknowledged) return sequence + shift.length;
  const int32_t beyond = distance(shift.first, sequence);
  // Of a client who gives up before he has sent a byte: the backend expects the inserted bytes if they never left.
  if (beyond == 0 && (tcp_flags & kTcpRst) != 0 && state.sent) return sequence + shift.length;
  return beyond > 0 ? sequence + shift.length : sequence;
}

uint32_t unshifted(const StreamShift& shift, const ShiftState& state, bool syn, uint32_t number) {
  if (state.acknowledged && !syn) return number - shift.length;
  const uint32_t first = syn ? shift.latest_first : shift.first;
  const int32_t beyond = distance(first, number);
  if (beyond <= 0) return number;
  return static_cast<uint32_t>(beyond) < shift.length ? first : number - shift.length;
}

bool acknowledges_inserted(const StreamShift& shift, uint8_t tcp_flags, uint32_t acknowledgement) {
  if ((tcp_flags & kTcpAck) == 0) return false;
  const uint32_t beyond = acknowledgement - shift.first;
  return beyond >= shift.length && beyond <= shift.length + kMaxUnacknowledged;
}

void shift_to_backend(const Packet& packet, const ParsedPacket& parsed, const StreamShift& shift,
                      const ShiftState& state) {
  auto& tcp = *view_as<TcpHeader>(packet.data + parsed.l4_offset);
  const Be32 before = tcp.sequence;
  tcp.sequence = Be32::from_host(shifted_sequence(shift, state, parsed.tcp_flags, before.host()));
  tcp.checksum = checksum_update(tcp.checksum, before, tcp.sequence);
}

void shift_to_client(const Packet& packet, const ParsedPacket& parsed, const StreamShift& shift,
                     const ShiftState& state) {
  uint8_t* const l4 = packet.data + parsed.l4_offset;
  auto& tcp = *view_as<TcpHeader>(l4);
  if ((parsed.tcp_flags & kTcpAck) == 0) return;
  const bool syn = (parsed.tcp_flags & kTcpSyn) != 0;
  const Be32 before = tcp.acknowledgement;
  tcp.acknowledgement = Be32::from_host(unshifted(shift, state, syn, before.host()));
  tcp.checksum = checksum_update(tcp.checksum, before, tcp.acknowledgement);
  if (syn) {
    const Be16 window = tcp.window;
    tcp.window = Be16::from_host(
        static_cast<uint16_t>(window.host() - std::min<uint32_t>(window.host(), shift.length)));
    tcp.checksum = checksum_update(tcp.checksum, window, tcp.window);
    return;
  }
  const uint32_t end = std::min(packet.length, parsed.l3_offset + parsed.ip_length);
  edit_tcp_options(l4, end - parsed.l4_offset, [&](uint8_t* option, std::size_t length) {
    if (option[0] == kTcpOptionSack) shift_sack(option, length, shift, state);
  });
}

}  // namespace xebec
