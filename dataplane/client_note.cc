// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/client_note.h"

#include <algorithm>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/rewrite.h"
#include "dataplane/tcp_options.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

// The PROXY protocol (HAProxy, doc/proxy-protocol.txt) section 2.2.
constexpr uint8_t kSignature[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr uint8_t kVersionAndCommand = 0x21;  // 2, PROXY
constexpr uint8_t kInet = 0x10;
constexpr uint8_t kInet6 = 0x20;
constexpr uint8_t kStream = 1;
constexpr uint8_t kDatagram = 2;

class Writer {
 public:
  explicit Writer(NoteBytes& out) : out_(out) {}
  void put(uint8_t byte) { out_.bytes[out_.length++] = byte; }
  void put(const void* bytes, std::size_t length) {
    std::memcpy(out_.bytes.data() + out_.length, bytes, length);
    out_.length += static_cast<uint32_t>(length);
  }
  void put(const IpAddress& address) {
    const std::size_t length = address.is_v4() ? 4 : 16;
    put(address.bytes.data() + address.bytes.size() - length, length);
  }

 private:
  NoteBytes& out_;
};

// Makes room for `bytes` at `at` bytes from the start of L4, which is even. Returns the sum of what the L4 checksum has to
// count more: the bytes, and the length in the pseudo header.
uint64_t open_and_fill(Packet& packet, ParsedPacket& parsed, uint32_t at, std::span<const uint8_t> bytes) {
  static_cast<void>(complete_partial_checksum(packet, parsed));
  parsed.looks_partial = false;
  const auto length = static_cast<uint32_t>(bytes.size());
  const uint8_t* const before = packet.data;
  move_front(packet, static_cast<int32_t>(length));
  std::memmove(packet.data, before, parsed.l4_offset + at);
  std::memcpy(packet.data + parsed.l4_offset + at, bytes.data(), length);
  parsed.ip_length += length;
  uint8_t* const l3 = packet.data + parsed.l3_offset;
  if (parsed.ip_version == 4) {
    auto* ip = view_as<Ipv4Header>(l3);
    const Be16 old = ip->total_length;
    ip->total_length = Be16::from_host(static_cast<uint16_t>(parsed.ip_length));
    ip->checksum = checksum_update(ip->checksum, old, ip->total_length);
  } else {
    view_as<Ipv6Header>(l3)->payload_length =
        Be16::from_host(static_cast<uint16_t>(parsed.ip_length - sizeof(Ipv6Header)));
  }
  return checksum_sum(bytes.data(), length) + Be16::from_host(static_cast<uint16_t>(length)).raw();
}

Be16 checksum_plus(Be16 checksum, uint64_t more) {
  return checksum_finish(static_cast<uint16_t>(~checksum.raw()) + uint64_t{checksum_fold(more)});
}

}  // namespace

NoteBytes toa_option(const FlowKey& client) {
  NoteBytes out;
  Writer writer(out);
  writer.put(kTcpOptionToa);
  writer.put(static_cast<uint8_t>(note_length(ClientNote::toa, client.source.is_v4())));
  writer.put(client.source_port.bytes, 2);
  writer.put(client.source);
  return out;
}

NoteBytes proxy_header(const FlowKey& client) {
  NoteBytes out;
  Writer writer(out);
  const bool v4 = client.source.is_v4();
  writer.put(kSignature, sizeof kSignature);
  writer.put(kVersionAndCommand);
  writer.put(
      static_cast<uint8_t>((v4 ? kInet : kInet6) | (client.protocol == kProtoUdp ? kDatagram : kStream)));
  const Be16 length = Be16::from_host(v4 ? 12 : 36);
  writer.put(length.bytes, 2);
  writer.put(client.source);
  writer.put(client.destination);
  writer.put(client.source_port.bytes, 2);
  writer.put(client.destination_port.bytes, 2);
  return out;
}

void hide_toa_options(const Packet& packet, const ParsedPacket& parsed) {
  const uint32_t end = std::min(packet.length, parsed.l3_offset + parsed.ip_length);
  edit_tcp_options(packet.data + parsed.l4_offset, end - parsed.l4_offset,
                   [](uint8_t* option, std::size_t length) {
                     if (option[0] == kTcpOptionToa) std::memset(option, kTcpOptionNothing, length);
                   });
}

void insert_tcp_options(Packet& packet, ParsedPacket& parsed, std::span<const uint8_t> bytes) {
  uint64_t more = open_and_fill(packet, parsed, sizeof(TcpHeader), bytes);
  auto& tcp = *view_as<TcpHeader>(packet.data + parsed.l4_offset);
  const uint8_t before[2] = {tcp.data_offset, tcp.flags};
  tcp.data_offset = static_cast<uint8_t>(tcp.data_offset + (bytes.size() / 4 << 4));
  const uint8_t after[2] = {tcp.data_offset, tcp.flags};
  more += static_cast<uint16_t>(~checksum_fold(checksum_sum(before, 2)));
  more += checksum_sum(after, 2);
  tcp.checksum = checksum_plus(tcp.checksum, more);
}

void insert_payload(Packet& packet, ParsedPacket& parsed, std::span<const uint8_t> bytes) {
  const bool udp = parsed.protocol == kProtoUdp;
  const uint32_t at = udp ? sizeof(UdpHeader) : tcp_header_length(packet.data + parsed.l4_offset);
  uint64_t more = open_and_fill(packet, parsed, at, bytes);
  uint8_t* const l4 = packet.data + parsed.l4_offset;
  if (!udp) {
    auto& tcp = *view_as<TcpHeader>(l4);
    tcp.checksum = checksum_plus(tcp.checksum, more);
    if ((tcp.flags & kTcpUrg) == 0) return;
    // Where urgent data end is said from the segment's first byte on (RFC 9293 section 3.8.5).
    const Be16 urgent = tcp.urgent;
    tcp.urgent = Be16::from_host(static_cast<uint16_t>(urgent.host() + bytes.size()));
    tcp.checksum = checksum_update(tcp.checksum, urgent, tcp.urgent);
    return;
  }
  auto& header = *view_as<UdpHeader>(l4);
  const auto length = static_cast<uint16_t>(header.length.host() + bytes.size());
  header.length = Be16::from_host(length);
  if (header.checksum.raw() == 0) return;
  more += Be16::from_host(static_cast<uint16_t>(bytes.size())).raw();  // the length stands in the header, too
  header.checksum = checksum_plus(header.checksum, more);
  if (header.checksum.raw() == 0) header.checksum = Be16::from_raw(0xffff);
}

}  // namespace xebec
