// SPDX-License-Identifier: BSD-2-Clause
#include "bench/forwarded_packet.h"

#include <algorithm>
#include <cstring>

#include "bench/measure.h"
#include "dataplane/checksum.h"
#include "dataplane/encapsulate.h"
#include "dataplane/wire.h"

namespace xebec::bench {
namespace {

std::size_t ip_header(bool v6) {
  return v6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header);
}

IpAddress destination_of(const uint8_t* l3, bool v6) {
  if (v6) return IpAddress::from_v6(view_as<Ipv6Header>(l3)->destination);
  return IpAddress::from_v4(view_as<Ipv4Header>(l3)->destination);
}
IpAddress source_of(const uint8_t* l3, bool v6) {
  if (v6) return IpAddress::from_v6(view_as<Ipv6Header>(l3)->source);
  return IpAddress::from_v4(view_as<Ipv4Header>(l3)->source);
}

void check_header_sum(const uint8_t* l3, bool v6, const char* what) {
  if (v6) return;
  const auto* ip = view_as<Ipv4Header>(l3);
  require(ip->checksum == ipv4_header_checksum(ip, sizeof *ip), what);
}

void check_translated(const Scenario& scenario, const uint8_t* in, const uint8_t* out) {
  const bool v6 = scenario.v6;
  const auto* before = view_as<TcpHeader>(in + ip_header(v6));
  const auto* tcp = view_as<TcpHeader>(out + ip_header(v6));
  require(tcp->destination_port.host() == kBackendPort, "our destination port");
  const bool same_source = source_of(in, v6) == source_of(out, v6) && before->source_port == tcp->source_port;
  require(same_source == (scenario.mode == Mode::dnat), "our source");
  require(scenario.mode == Mode::dnat || source_of(out, v6) == tunnel_source(v6), "our source address");
  const uint8_t ttl = v6 ? view_as<Ipv6Header>(out)->hop_limit : view_as<Ipv4Header>(out)->ttl;
  const uint8_t ttl_before = v6 ? view_as<Ipv6Header>(in)->hop_limit : view_as<Ipv4Header>(in)->ttl;
  require(ttl + 1 == ttl_before, "our TTL");
  check_header_sum(out, v6, "our header checksum");
  const IpAddress source = source_of(out, v6), destination = destination_of(out, v6);
  const uint64_t pseudo =
      v6 ? pseudo_header_sum_v6(source.bytes.data(), destination.bytes.data(), kProtoTcp, kTcpLength)
         : pseudo_header_sum_v4(source.v4(), destination.v4(), kProtoTcp, kTcpLength);
  require(checksum_finish(pseudo + checksum_sum(out + ip_header(v6), kTcpLength)).raw() == 0,
          "our TCP checksum");
}

}  // namespace

void check_forwarded(const Scenario& scenario, const std::vector<uint8_t>& in, const Packet& out,
                     const Backend& backend, uint32_t n) {
  const bool v6 = scenario.v6;
  const auto* ethernet = view_as<EthernetHeader>(out.data);
  require(ethernet->destination == backend_mac(n) && ethernet->source == own_mac(), "our MACs");
  const std::size_t overhead = overhead_of(backend);
  const std::size_t ip_length = ip_header(v6) + kTcpLength;
  require(out.length == std::max<std::size_t>(kMinFrameLength, sizeof(EthernetHeader) + overhead + ip_length),
          "our length");
  const uint8_t* const received = in.data() + sizeof(EthernetHeader);
  const uint8_t* const outer = out.data + sizeof(EthernetHeader);
  if (is_nat(scenario.mode)) {
    require(destination_of(outer, v6) == backend.address, "our destination address");
    return check_translated(scenario, received, outer);
  }
  require(std::memcmp(outer + overhead, received, ip_length) == 0, "the packet behind our headers");
  if (overhead == 0) return;
  require(destination_of(outer, v6) == backend.address, "our outer address");
  check_header_sum(outer, v6, "our outer checksum");
}

}  // namespace xebec::bench
