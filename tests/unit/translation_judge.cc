// SPDX-License-Identifier: BSD-2-Clause
// Addresses, ports, TTL and checksums may change, nothing else; checksums that were right are right, wrong ones wrong.
#include "tests/unit/translation_judge.h"

#include <algorithm>
#include <vector>

#include "dataplane/parse.h"
#include "tests/unit/frame_reading.h"

namespace xebec::test {
namespace {

struct Field {
  std::size_t at = 0;  // from the IP header
  std::size_t size = 0;
};

// Of an IP header: the checksum and the addresses.
void add_ip_fields(std::vector<Field>& fields, std::size_t ip, bool v4) {
  if (v4) fields.push_back({ip + 10, 2});
  fields.push_back({ip + (v4 ? 12 : 8), v4 ? 8u : 32u});
}

// Ports and checksum, as far as they lie before `end`.
void add_l4_fields(std::vector<Field>& fields, std::size_t l4, uint8_t protocol, std::size_t end) {
  fields.push_back({l4, 4});
  const Field checksum = protocol == kProtoTcp   ? Field{l4 + 16, 2}
                         : protocol == kProtoUdp ? Field{l4 + 6, 2}
                                                 : Field{l4 + 8, 4};
  if (checksum.at + checksum.size <= end) fields.push_back(checksum);
}

std::vector<Field> fields_that_change(const ParsedPacket& parsed) {
  const bool v4 = parsed.ip_version == 4;
  const std::size_t l4 = parsed.l4_offset - parsed.l3_offset;
  std::vector<Field> fields = {{v4 ? 8u : 7u, 1}};
  add_ip_fields(fields, 0, v4);
  if (parsed.kind == PacketKind::transport) add_l4_fields(fields, l4, parsed.protocol, parsed.ip_length);
  if (parsed.kind == PacketKind::icmp_error) {
    fields.push_back({l4 + 2, 2});
    add_ip_fields(fields, l4 + 8, v4);
    add_l4_fields(fields, parsed.quoted_l4_offset - parsed.l3_offset, parsed.key.protocol, parsed.ip_length);
  }
  return fields;
}

// Both packets from their IP headers on.
std::string judge_checksums(const Bytes& in, const Bytes& out, const ParsedPacket& parsed) {
  const bool v4 = parsed.ip_version == 4;
  const std::size_t l4 = parsed.l4_offset - parsed.l3_offset;
  if (v4) {
    const auto right = [&](const Bytes& b) {
      return internet_checksum(part(b, 0, std::size_t{b[0]} % 16 * 4)) == 0;
    };
    if (right(in) != right(out)) return "translated: the IPv4 header checksum";
  }
  const bool tcp = parsed.protocol == kProtoTcp;
  const bool udp = parsed.protocol == kProtoUdp;
  if (parsed.kind == PacketKind::later_fragment || parsed.first_fragment) return "";
  if (parsed.kind == PacketKind::transport && !tcp && !udp) return "";
  const std::size_t length = udp ? get16(in, l4 + 4) : parsed.ip_length - l4;
  if (udp && get16(in, l4 + 6) == 0)
    return get16(out, l4 + 6) == 0 ? "" : "translated: a UDP checksum where there was none";
  if (udp && get16(out, l4 + 6) == 0) return "translated: a UDP checksum of 0";
  const bool was_right = l4_checksum_right(in, 0, l4, length, parsed.protocol) || parsed.looks_partial;
  if (was_right != l4_checksum_right(out, 0, l4, length, parsed.protocol))
    return "translated: the L4 checksum";
  return "";
}

std::string judge_endpoints(const Bytes& in, const Bytes& out, const ParsedPacket& parsed,
                            const Backend& backend) {
  const bool v4 = parsed.ip_version == 4;
  const std::size_t width = v4 ? 4 : 16;
  const std::size_t source = v4 ? 12 : 8;
  const std::size_t l4 = parsed.l4_offset - parsed.l3_offset;
  if (part(out, source + width, width) != on_wire(backend.address)) return "translated: not to the backend";
  if (parsed.kind == PacketKind::icmp_error) return "";
  const bool nat = backend.mode == Mode::nat;
  if (part(out, source, width) != (nat ? on_wire(backend.tunnel_source) : part(in, source, width)))
    return "translated: its source";
  if (parsed.kind != PacketKind::transport) return "";
  if (!nat && get16(out, l4) != get16(in, l4)) return "translated: the client's port";
  if (get16(out, l4 + 2) != (backend.port != 0 ? backend.port : get16(in, l4 + 2)))
    return "translated: the backend's port";
  return "";
}

std::string judge_link(const Bytes& received, const Bytes& out, const Backend& backend) {
  if (!std::equal(out.begin(), out.begin() + 6, backend.next_hop.destination.bytes)) return "destination MAC";
  if (!std::equal(out.begin() + 6, out.begin() + 12, backend.next_hop.source.bytes)) return "source MAC";
  const std::size_t tags = ip_begin(received) - 12;
  return part(out, 12, tags) == part(received, 12, tags) ? "" : "tags or EtherType";
}

}  // namespace

std::string judge_translated(const Bytes& received, const Bytes& out, const Backend* backend,
                             const Table& table) {
  ParsedPacket parsed;
  if (parse(received, parsed)) return "translated, but what came in does not parse";
  if (parsed.ttl < 2) return "translated with a TTL that is used up";
  if (backend != nullptr) {
    if (std::string bad = judge_link(received, out, *backend); !bad.empty()) return "translated: " + bad;
  }
  const std::size_t ip = ip_begin(out);
  if (const auto bad = tail_fault(out, ip + parsed.ip_length); !bad.empty()) return std::string(bad);
  const Bytes is = part(out, ip, parsed.ip_length);
  const Bytes was = part(received, parsed.l3_offset, parsed.ip_length);
  Bytes expected = was;
  for (const Field& f : fields_that_change(parsed))
    std::copy_n(is.begin() + static_cast<std::ptrdiff_t>(f.at), f.size,
                expected.begin() + static_cast<std::ptrdiff_t>(f.at));
  if (expected != is) return "translated: more was changed than addresses, ports, TTL and checksums";
  if (is.at(parsed.ip_version == 4 ? 8 : 7) != parsed.ttl - 1) return "translated: the TTL";
  if (std::string bad = judge_checksums(was, is, parsed); !bad.empty()) return bad;
  if (backend != nullptr) return judge_endpoints(was, is, parsed, *backend);
  const bool v4 = parsed.ip_version == 4;
  const Bytes source = part(is, v4 ? 12 : 8, v4 ? 4 : 16);
  const bool of_vip = std::any_of(table.services().begin(), table.services().end(),
                                  [&](const Service& s) { return on_wire(s.vip) == source; });
  // An error keeps the router that sent it.
  return of_vip || parsed.kind == PacketKind::icmp_error ? "" : "translated: not from a VIP";
}

}  // namespace xebec::test
