// SPDX-License-Identifier: BSD-2-Clause
// What tells a backend of mode nat who its client is, and how it gets into a packet.
//
//   TOA             TCP option 254: port and address of the client. LVS FULLNAT's and DPVS's; modules for the backend's kernel
//                   read it from the segment that completes the handshake.
//   PROXY v2        a header before the payload: the PROXY protocol's binary form, of the client and the VIP.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/flow_key.h"
#include "dataplane/packet.h"
#include "dataplane/parse.h"
#include "dataplane/table.h"

namespace xebec {

/// Bytes of a note of one family. 0: none.
constexpr uint32_t note_length(ClientNote note, bool v4) {
  if (note == ClientNote::toa) return v4 ? 8 : 20;
  if (note == ClientNote::proxy) return v4 ? 28 : 52;
  return 0;
}

/// What a sender that is told an MTU has to leave free of it: the option can be left out, the header cannot.
inline uint32_t note_overhead(const Backend& backend, uint8_t protocol) {
  const bool has_header =
      backend.client_note == ClientNote::proxy && (protocol == kProtoTcp || protocol == kProtoUdp);
  return has_header ? note_length(ClientNote::proxy, backend.address.is_v4()) : 0;
}

struct NoteBytes {
  std::array<uint8_t, note_length(ClientNote::proxy, false)> bytes;
  uint32_t length = 0;
  std::span<const uint8_t> span() const { return {bytes.data(), length}; }
};

/// client: the key of his packets, client -> VIP.
NoteBytes toa_option(const FlowKey& client);
NoteBytes proxy_header(const FlowKey& client);

/// Turns options of that kind into nothing (RFC 9293: kind 1): a client could tell the backend another address.
void hide_toa_options(const Packet& packet, const ParsedPacket& parsed);

/// Puts bytes behind the fixed TCP header as options, or behind the TCP or UDP header as payload. An even number of them; the
/// front of the packet moves, and the caller has seen that there is headroom. Lengths and checksums follow, in `parsed`, too:
/// a wrong checksum stays wrong, a partial one is completed, a UDP checksum of 0 stays 0.
void insert_tcp_options(Packet& packet, ParsedPacket& parsed, std::span<const uint8_t> bytes);
void insert_payload(Packet& packet, ParsedPacket& parsed, std::span<const uint8_t> bytes);

}  // namespace xebec
