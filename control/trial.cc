// SPDX-License-Identifier: BSD-2-Clause
// Frames of a tuple, and what forward_batch does with them. How long a packet may be is found by trying, so that
// no rule of the rewriter stands here a second time.
#include "control/trial.h"

#include <algorithm>
#include <cstring>

#include "dataplane/checksum.h"

namespace xebec {
namespace {

// IPv4's total length has 16 bits; IPv6 is tried no further.
constexpr uint32_t kLongest = 65535;
constexpr uint8_t kTtl = 64;
// Of every flow table there is, the smallest: it holds the one flow.
constexpr uint32_t kFlowCapacity = 1024;

uint32_t ip_header_length(const Tuple& tuple) {
  return tuple.destination.is_v4() ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
}

uint32_t l4_header_length(uint8_t protocol) {
  constexpr uint32_t kSctpHeader = 12;  // RFC 9260 section 3.1
  if (protocol == kProtoTcp) return sizeof(TcpHeader);
  return protocol == kProtoSctp ? kSctpHeader : sizeof(UdpHeader);
}

void write_ip(uint8_t* l3, const Tuple& tuple, uint32_t ip_length) {
  if (tuple.destination.is_v4()) {
    auto* ip = view_as<Ipv4Header>(l3);
    ip->version_ihl = 0x45;
    ip->total_length = Be16::from_host(static_cast<uint16_t>(ip_length));
    ip->fragment = Be16::from_host(kIpv4DontFragment);
    ip->ttl = kTtl;
    ip->protocol = tuple.protocol;
    ip->source = tuple.source.v4();
    ip->destination = tuple.destination.v4();
    ip->checksum = ipv4_header_checksum(ip, sizeof *ip);
    return;
  }
  auto* ip = view_as<Ipv6Header>(l3);
  ip->version_class_flow = Be32::from_host(6u << 28);
  ip->payload_length = Be16::from_host(static_cast<uint16_t>(ip_length - sizeof *ip));
  ip->next_header = tuple.protocol;
  ip->hop_limit = kTtl;
  std::memcpy(ip->source, tuple.source.bytes.data(), sizeof ip->source);
  std::memcpy(ip->destination, tuple.destination.bytes.data(), sizeof ip->destination);
}

/// The ports are at the same place in all of them.
void write_l4(uint8_t* l4, const Tuple& tuple, uint32_t length, uint8_t flags) {
  const uint64_t pseudo =
      tuple.destination.is_v4()
          ? pseudo_header_sum_v4(tuple.source.v4(), tuple.destination.v4(), tuple.protocol, length)
          : pseudo_header_sum_v6(tuple.source.bytes.data(), tuple.destination.bytes.data(), tuple.protocol,
                                 length);
  auto* udp = view_as<UdpHeader>(l4);
  udp->source_port = Be16::from_host(tuple.source_port);
  udp->destination_port = Be16::from_host(tuple.destination_port);
  if (tuple.protocol == kProtoUdp) {
    udp->length = Be16::from_host(static_cast<uint16_t>(length));
    udp->checksum = checksum_finish(pseudo + checksum_sum(l4, length));
    if (udp->checksum.raw() == 0) udp->checksum = Be16::from_raw(0xffff);
  }
  if (tuple.protocol != kProtoTcp) return;
  auto* tcp = view_as<TcpHeader>(l4);
  tcp->data_offset = (sizeof(TcpHeader) / 4) << 4;
  tcp->flags = flags;
  tcp->window = Be16::from_host(UINT16_MAX);
  tcp->checksum = checksum_finish(pseudo + checksum_sum(l4, length));
}

}  // namespace

Trial::Trial(const Table& table, const Tuple& tuple, uint64_t now_ns)
    : table_(table),
      tuple_(tuple),
      now_ns_(now_ns),
      state_(std::make_unique<ForwardState>(FlowTableConfig{.capacity = kFlowCapacity, .timeouts = {}})),
      memory_(kFrameHeadroom + sizeof(EthernetHeader) + kLongest) {}

void Trial::write(Kind kind, uint32_t ip_length) {
  std::fill(memory_.begin(), memory_.end(), uint8_t{0});  // what the last one left, and its outer header
  uint8_t* const frame = memory_.data() + kFrameHeadroom;
  auto* ethernet = view_as<EthernetHeader>(frame);
  ethernet->type = Be16::from_host(tuple_.destination.is_v4() ? kEtherIpv4 : kEtherIpv6);
  uint8_t* const l3 = frame + sizeof *ethernet;
  write_ip(l3, tuple_, ip_length);
  uint8_t* const l4 = l3 + ip_header_length(tuple_);
  const uint32_t l4_length = ip_length - ip_header_length(tuple_);
  write_l4(l4, tuple_, l4_length, kind == Kind::opening ? kTcpSyn : kTcpAck);
}

TrialResult Trial::send(Kind kind, uint32_t ip_length) {
  write(kind, ip_length);
  const uint32_t length = sizeof(EthernetHeader) + ip_length;
  Packet packet{.data = memory_.data() + kFrameHeadroom,
                .length = length,
                .headroom = kFrameHeadroom,
                .room = static_cast<uint32_t>(memory_.size()) - kFrameHeadroom};
  TrialResult result;
  forward_batch(table_, *state_, {&packet, 1}, {&result.decision, 1}, now_ns_);
  const PacketInHand& hand = state_->in_hand[0];
  result.hash = hand.hash;
  if (hand.service != Table::kNone)
    result.hash =
        lookup_hash(table_.secret(), hand.parsed.key, table_.services()[hand.service].hash_input, hand.hash);
  result.in_length = length;
  if (result.decision.verdict == Verdict::forward) result.out_length = packet.length;
  return result;
}

TrialResult Trial::send(Kind kind) {
  return send(kind, ip_header_length(tuple_) + l4_header_length(tuple_.protocol));
}

TrialResult Trial::send_longest() {
  uint32_t fits = ip_header_length(tuple_) + l4_header_length(tuple_.protocol);
  uint32_t too_long = kLongest + 1;
  TrialResult best = send(Kind::opening, fits);
  if (best.decision.verdict != Verdict::forward) return best;
  while (too_long - fits > 1) {
    const uint32_t middle = fits + (too_long - fits) / 2;
    const TrialResult result = send(Kind::opening, middle);
    if (result.decision.verdict == Verdict::forward) {
      fits = middle;
      best = result;
    } else {
      too_long = middle;
    }
  }
  return best;
}

}  // namespace xebec
