// SPDX-License-Identifier: BSD-2-Clause
// A small world to forward packets in. The judge reads bytes at their offsets, as a person with the RFC
// would.
#include "tests/unit/forward_world.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "tests/unit/frame_reading.h"
#include "tests/unit/translation_judge.h"

namespace xebec::test {
namespace {

constexpr uint32_t kLookupSize = 251;

std::string judge_outer(const Bytes& out, std::size_t ip, const Bytes& received, const Backend& backend) {
  const std::size_t inner = ip_size(received, ip);
  const bool inner_v4 = is_v4_packet(received, ip);
  const std::size_t tos = inner_v4 ? received.at(ip + 1) : (get16(received, ip) >> 4 & 0xff);
  const uint8_t protocol = inner_v4 ? 4 : 41;
  if (backend.address.is_v4()) {
    if (get16(out, ip - 2) != 0x0800) return "EtherType is not that of the outer header";
    if (out.at(ip) != 0x45 || out.at(ip + 1) != tos) return "outer version, length or TOS";
    if (get16(out, ip + 2) != inner + 20) return "outer total length";
    if (get16(out, ip + 4) != 0 || get16(out, ip + 6) != 0x4000) return "outer id or fragment bits";
    if (out.at(ip + 8) != 64 || out.at(ip + 9) != protocol) return "outer TTL or protocol";
    if (internet_checksum(part(out, ip, 20)) != 0) return "outer header checksum";
    if (part(out, ip + 12, 4) != on_wire(backend.tunnel_source)) return "outer source";
    if (part(out, ip + 16, 4) != on_wire(backend.address)) return "outer destination";
    return "";
  }
  if (get16(out, ip - 2) != 0x86dd) return "EtherType is not that of the outer header";
  if (get16(out, ip) >> 4 != (0x600 | tos)) return "outer version or traffic class";
  if (get16(out, ip + 4) != inner) return "outer payload length";
  if (out.at(ip + 6) != protocol || out.at(ip + 7) != 64) return "outer next header or hop limit";
  if (part(out, ip + 8, 16) != on_wire(backend.tunnel_source)) return "outer source";
  if (part(out, ip + 24, 16) != on_wire(backend.address)) return "outer destination";
  return "";
}

// The IP packet must be the one received; but for its L4 checksum, if that was partial and is right now.
std::string judge_inner(Bytes received, const Bytes& inner, std::size_t ip) {
  ParsedPacket parsed;
  if (parse(received, parsed)) return "forwarded, but what came in does not parse";
  received.resize(ip + parsed.ip_length);
  if (std::equal(inner.begin(), inner.end(), received.begin() + static_cast<std::ptrdiff_t>(ip),
                 received.end())) {
    return "";
  }
  if (parsed.kind != PacketKind::transport || parsed.first_fragment) return "the IP packet was changed";
  const bool tcp = parsed.protocol == kProtoTcp;
  const std::size_t field = parsed.l4_offset + (tcp ? 16u : 6u);
  received[field] = inner.at(field - ip);
  received[field + 1] = inner.at(field + 1 - ip);
  if (inner != part(received, ip, parsed.ip_length)) return "more than the L4 checksum was changed";
  const std::size_t length =
      tcp ? ip + parsed.ip_length - parsed.l4_offset : get16(received, parsed.l4_offset + 4u);
  if (!l4_checksum_right(received, ip, parsed.l4_offset, length, parsed.protocol))
    return "the completed checksum is wrong";
  if (!tcp && get16(received, field) == 0) return "a completed UDP checksum of 0";
  return "";
}

std::string judge_tail(const Bytes& out, std::size_t end) {
  return std::string(tail_fault(out, end));
}

std::string judge_forwarded(const Bytes& received, const Bytes& out, const Backend& backend) {
  const std::size_t ip = ip_begin(received);
  const std::size_t inner_size = ip_size(received, ip);
  const std::size_t overhead = backend.mode == Mode::dsr_l2 ? 0 : backend.address.is_v4() ? 20 : 40;
  if (std::string bad = judge_tail(out, ip + overhead + inner_size); !bad.empty()) return bad;
  if (std::memcmp(out.data(), backend.next_hop.destination.bytes, 6) != 0) return "destination MAC";
  if (std::memcmp(out.data() + 6, backend.next_hop.source.bytes, 6) != 0) return "source MAC";
  if (part(out, 12, ip - 14) != part(received, 12, ip - 14)) return "VLAN tags";
  if (overhead == 0 && get16(out, ip - 2) != get16(received, ip - 2)) return "EtherType";
  if (overhead != 0) {
    if (std::string bad = judge_outer(out, ip, received, backend); !bad.empty()) return bad;
  }
  const std::size_t mtu = backend.next_hop.mtu;
  if (mtu != 0 && overhead + inner_size > mtu) return "larger than the MTU";
  return judge_inner(received, part(out, ip + overhead, inner_size), ip);
}

std::string judge_reply(const Bytes& received, const Bytes& out) {
  const std::size_t ip = ip_begin(received);
  const std::size_t size = ip_size(received, ip);
  if (std::string bad = judge_tail(out, ip + size); !bad.empty()) return bad;
  const bool v4 = is_v4_packet(received, ip);
  const std::size_t width = v4 ? 4 : 16;
  const std::size_t source = ip + (v4 ? 12 : 8);
  const std::size_t l4 = ip + (v4 ? 20 : 40);
  const std::size_t ttl = ip + (v4 ? 8 : 7);
  Bytes expected = part(received, 0, ip + size);
  std::swap_ranges(expected.begin(), expected.begin() + 6, expected.begin() + 6);
  const auto first = expected.begin() + static_cast<std::ptrdiff_t>(source);
  std::swap_ranges(first, first + static_cast<std::ptrdiff_t>(width),
                   first + static_cast<std::ptrdiff_t>(width));
  expected[ttl] = 64;
  expected[l4] = v4 ? 0 : 129;
  const auto take = [&](std::size_t at) {
    std::copy_n(out.begin() + static_cast<std::ptrdiff_t>(at), 2,
                expected.begin() + static_cast<std::ptrdiff_t>(at));
  };
  take(l4 + 2);
  if (v4) take(ip + 10);
  if (expected != part(out, 0, expected.size()))
    return "the reply differs from the request in more than it should";
  const uint8_t protocol = v4 ? kProtoIcmp : kProtoIcmpv6;
  if (l4_checksum_right(received, ip, l4, ip + size - l4, protocol) !=
      l4_checksum_right(out, ip, l4, ip + size - l4, protocol)) {
    return "a right ICMP checksum became wrong, or a wrong one right";
  }
  if (v4 && (internet_checksum(part(received, ip, 20)) == 0) != (internet_checksum(part(out, ip, 20)) == 0)) {
    return "a right header checksum became wrong, or a wrong one right";
  }
  return "";
}

// An ICMP error about what was received: whose words are RFC 1191's or RFC 4443's, from its destination to its source.
// backend: of a packet that was on its way to one.
std::string judge_error(const Bytes& received, const Bytes& out, DropReason reason, const Backend* backend) {
  const std::size_t ip = ip_begin(received);
  const bool v4 = is_v4_packet(received, ip);
  const std::size_t header = v4 ? 20 : 40;
  const std::size_t width = v4 ? 4 : 16;
  const std::size_t source = ip + (v4 ? 12 : 8);
  const std::size_t quoted = std::min(ip_size(received, ip), (v4 ? 576 : 1280) - header - 8);
  const std::size_t icmp = ip + header;
  if (std::string bad = judge_tail(out, icmp + 8 + quoted); !bad.empty()) return "error: " + bad;
  if (part(out, 0, 6) != part(received, 6, 6) || part(out, 6, 6) != part(received, 0, 6))
    return "error: MACs";
  if (part(out, 12, ip - 12) != part(received, 12, ip - 12)) return "error: tags or EtherType";
  if (out.at(ip) != (v4 ? 0x45 : 0x60) || ip_size(out, ip) != header + 8 + quoted) return "error: IP length";
  if (out.at(ip + (v4 ? 8 : 7)) != 64 || out.at(ip + (v4 ? 9 : 6)) != (v4 ? 1 : 58))
    return "error: TTL or protocol";
  if (v4 && internet_checksum(part(out, ip, 20)) != 0) return "error: IPv4 header checksum";
  if (part(out, source, width) != part(received, source + width, width)) return "error: source";
  if (part(out, source + width, width) != part(received, source, width)) return "error: destination";
  if (!l4_checksum_right(out, ip, icmp, 8 + quoted, v4 ? kProtoIcmp : kProtoIcmpv6))
    return "error: ICMP checksum";
  if (part(out, icmp + 8, quoted) != part(received, ip, quoted)) return "error: it quotes something else";
  if (reason == DropReason::ttl_expired) {
    const bool right =
        out.at(icmp) == (v4 ? 11 : 3) && out.at(icmp + 1) == 0 && received.at(ip + (v4 ? 8 : 7)) == 1;
    return right ? "" : "error: type or code";
  }
  if (out.at(icmp) != (v4 ? 3 : 2) || out.at(icmp + 1) != (v4 ? 4 : 0)) return "error: type or code";
  if (backend == nullptr) return "error: too big for a client";
  const std::size_t overhead = !is_tunnel(backend->mode) ? 0 : backend->address.is_v4() ? 20 : 40;
  const std::size_t path =
      v4 ? backend->next_hop.mtu - overhead : std::max<std::size_t>(backend->next_hop.mtu - overhead, 1280);
  if (get16(out, icmp + 4) != 0 || get16(out, icmp + 6) != path) return "error: MTU";
  if (ip_size(received, ip) <= path) return "error: it would have fitted";
  return "";
}

}  // namespace

IpAddress address(std::string_view text) {
  const auto parsed = IpAddress::parse(text);
  if (!parsed) throw std::invalid_argument("not an address: " + std::string(text));
  return *parsed;
}

MacAddress next_hop_mac(uint32_t backend_id) {
  return {{0x02, 0, 0, 0, 0xbb, static_cast<uint8_t>(backend_id)}};
}

uint32_t TableStory::service(std::string_view vip, uint8_t protocol, uint16_t port, bool stateless) {
  Service s;
  s.name = "service" + std::to_string(parts_.services.size());
  s.vip = address(vip);
  s.protocol = protocol;
  s.port = port;
  s.stateless = stateless;
  parts_.services.push_back(s);
  parts_.local_vips.push_back(s.vip);
  return static_cast<uint32_t>(parts_.services.size() - 1);
}

uint32_t TableStory::backend(std::string_view text, Mode mode, uint16_t mtu) {
  const auto id = static_cast<uint32_t>(parts_.backends.size());
  Backend b;
  b.address = address(text);
  b.mode = mode;
  if (is_tunnel(mode)) b.tunnel_source = address(b.address.is_v4() ? "198.51.100.1" : "2001:db8:51::1");
  b.next_hop.destination = next_hop_mac(id);
  b.next_hop.source = kEgressMac;
  b.next_hop.interface = 1;
  b.next_hop.mtu = mtu;
  b.next_hop.resolved = true;
  b.service = static_cast<uint32_t>(parts_.services.size() - 1);
  b.usable = true;
  parts_.backends.push_back(b);
  parts_.services.back().backend_ids.push_back(id);
  return id;
}

TableParts TableStory::parts() const {
  TableParts parts = parts_;
  for (Service& service : parts.services) {
    std::vector<MaglevBackend> list;
    for (const uint32_t id : service.backend_ids) {
      const Backend& backend = parts.backends[id];
      list.push_back({backend.address, 0, backend.usable ? 1u : 0u});
    }
    service.lookup =
        std::make_shared<const MaglevTable>(MaglevTable::build(service.name, list, 1, kLookupSize));
  }
  return parts;
}

HeapFrame::HeapFrame(const Bytes& bytes, uint32_t headroom, uint8_t poison)
    : length_(static_cast<uint32_t>(bytes.size())),
      headroom_(headroom),
      tail_(length_ < kMinFrameLength ? kMinFrameLength - length_ : 0) {
  const std::size_t size = std::size_t{headroom_} + length_ + tail_;
  memory_.reset(new uint8_t[size]);
  std::memset(memory_.get(), poison, size);
  std::copy(bytes.begin(), bytes.end(), memory_.get() + headroom);
}

Packet HeapFrame::packet() const {
  return {memory_.get() + headroom_, length_, headroom_, length_ + tail_};
}

Bytes bytes_of(const Packet& packet) {
  return {packet.data, packet.data + packet.length};
}

std::string judge(const Bytes& received, const Decision& decision, const Packet& sent, const Table& table) {
  const Bytes out = bytes_of(sent);
  switch (decision.verdict) {
    case Verdict::forward: {
      if (decision.to_client) return judge_translated(received, out, nullptr, table);
      if (decision.backend >= table.backends().size()) return "forwarded to no backend";
      const Backend& backend = table.backends()[decision.backend];
      if (!backend.usable || !backend.next_hop.resolved) return "forwarded to a backend that takes no packet";
      if (decision.interface != backend.next_hop.interface) return "forwarded from the wrong interface";
      if (is_nat(backend.mode)) return judge_translated(received, out, &backend, table);
      return judge_forwarded(received, out, backend);
    }
    case Verdict::reply: {
      if (decision.reason != DropReason::too_big && decision.reason != DropReason::ttl_expired)
        return judge_reply(received, out);
      const bool to_backend = decision.backend < table.backends().size();
      return judge_error(received, out, decision.reason,
                         to_backend ? &table.backends()[decision.backend] : nullptr);
    }
    case Verdict::cut:
      return "it is to be cut, and its pieces are judged each for itself";
    case Verdict::hold:
    case Verdict::drop:
      return out == received ? "" : "a packet that was not sent has changed";
  }
  return "no verdict";
}

bool accounts_balance(const WorkerCounters& counters) {
  uint64_t sum =
      counters.forwarded.read() + counters.passed.read() + counters.replied.read() + counters.held.read();
  for (const Counter& drop : counters.drops) sum += drop.read();
  return sum == counters.received.read();
}

Backend backend_at(std::string_view text, Mode mode, uint16_t mtu) {
  Backend b;
  b.address = address(text);
  b.mode = mode;
  b.tunnel_source = address(b.address.is_v4() ? "198.51.100.1" : "2001:db8:51::1");
  b.next_hop = {next_hop_mac(0), kEgressMac, 0, mtu, true};
  b.usable = true;
  return b;
}

}  // namespace xebec::test
