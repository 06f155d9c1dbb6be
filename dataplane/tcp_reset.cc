// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/tcp_reset.h"

#include <cstring>
#include <utility>

#include "dataplane/checksum.h"
#include "dataplane/icmp_error.h"
#include "dataplane/wire.h"

namespace xebec {
namespace {

constexpr uint8_t kResetTtl = 64;

// What the segment takes up of the sequence space.
uint32_t sequence_length(const ParsedPacket& parsed, const TcpHeader& tcp) {
  const uint32_t header = (tcp.data_offset >> 4) * 4u;
  const uint32_t data = parsed.l3_offset + parsed.ip_length - parsed.l4_offset - header;
  return data + ((tcp.flags & kTcpSyn) != 0 ? 1 : 0) + ((tcp.flags & kTcpFin) != 0 ? 1 : 0);
}

TcpHeader reset_of(const ParsedPacket& parsed, const TcpHeader& tcp) {
  TcpHeader reset{};
  reset.source_port = tcp.destination_port;
  reset.destination_port = tcp.source_port;
  reset.data_offset = (sizeof reset / 4) << 4;
  if ((tcp.flags & kTcpAck) != 0) {
    reset.flags = kTcpRst;
    reset.sequence = tcp.acknowledgement;
  } else {
    reset.flags = kTcpRst | kTcpAck;
    reset.acknowledgement = Be32::from_host(tcp.sequence.host() + sequence_length(parsed, tcp));
  }
  return reset;
}

// Behind the IP header that was written at `ip`; pseudo: the sum of its pseudo header.
uint32_t append(uint8_t* ip, uint32_t ip_header, const TcpHeader& reset, uint64_t pseudo) {
  uint8_t* at = ip + ip_header;
  std::memcpy(at, &reset, sizeof reset);
  view_as<TcpHeader>(at)->checksum = checksum_finish(pseudo + checksum_sum(at, sizeof reset));
  return ip_header + sizeof reset;
}

uint32_t write_v4(uint8_t* ip, const ParsedPacket& parsed, const TcpHeader& reset) {
  Ipv4Header header{};
  header.version_ihl = 0x45;
  header.total_length = Be16::from_host(sizeof header + sizeof reset);
  header.fragment = Be16::from_host(kIpv4DontFragment);  // and id 0: RFC 6864 section 4.1
  header.ttl = kResetTtl;
  header.protocol = kProtoTcp;
  header.source = parsed.key.destination.v4();
  header.destination = parsed.key.source.v4();
  header.checksum = ipv4_header_checksum(&header, sizeof header);
  std::memcpy(ip, &header, sizeof header);
  return append(ip, sizeof header, reset,
                pseudo_header_sum_v4(header.source, header.destination, kProtoTcp, sizeof reset));
}

uint32_t write_v6(uint8_t* ip, const ParsedPacket& parsed, const TcpHeader& reset) {
  Ipv6Header header{};
  header.version_class_flow = Be32::from_host(6u << 28);
  header.payload_length = Be16::from_host(sizeof reset);
  header.next_header = kProtoTcp;
  header.hop_limit = kResetTtl;
  std::memcpy(header.source, parsed.key.destination.bytes.data(), sizeof header.source);
  std::memcpy(header.destination, parsed.key.source.bytes.data(), sizeof header.destination);
  std::memcpy(ip, &header, sizeof header);
  return append(ip, sizeof header, reset,
                pseudo_header_sum_v6(header.source, header.destination, kProtoTcp, sizeof reset));
}

}  // namespace

bool may_answer_with_reset(const Packet& packet, const ParsedPacket& parsed) {
  if (parsed.kind != PacketKind::transport || parsed.protocol != kProtoTcp || parsed.first_fragment)
    return false;
  return (parsed.tcp_flags & kTcpRst) == 0 && may_be_answered(packet, parsed);
}

void rewrite_to_reset(Packet& packet, const ParsedPacket& parsed) {
  const TcpHeader reset = reset_of(parsed, *view_as<TcpHeader>(packet.data + parsed.l4_offset));
  auto* ethernet = view_as<EthernetHeader>(packet.data);
  std::swap(ethernet->destination, ethernet->source);
  uint8_t* ip = packet.data + parsed.l3_offset;
  // Never longer than what was received: its IP and TCP headers had at least these.
  const uint32_t length = parsed.ip_version == 4 ? write_v4(ip, parsed, reset) : write_v6(ip, parsed, reset);
  packet.rest = {};
  packet.rest_length = 0;
  fit_length(packet, parsed.l3_offset + length);
}

}  // namespace xebec
