// SPDX-License-Identifier: BSD-2-Clause
// Each tunnel's headers against packets drawn by hand, and the tags a next hop wants.
#include "dataplane/encapsulate.h"

#include <gtest/gtest.h>

#include <set>

#include "dataplane/rewrite.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::backend_at;
using test::Bytes;
using test::bytes_of;
using test::FrameBuilder;
using test::HeapFrame;

constexpr std::string_view kHop = "02:00:00:00:bb:00";
constexpr std::string_view kOut = "02:00:00:00:ee:01";
constexpr MacAddress kInnerHop = {{0x02, 0, 0, 0, 0xcc, 0x01}};

/// The packet as it leaves for the backend; empty if it is refused.
Bytes sent(const Bytes& in, const Backend& backend, uint32_t headroom = kFrameHeadroom) {
  const HeapFrame frame(in, headroom);
  Packet packet = frame.packet();
  ParsedPacket parsed;
  EXPECT_EQ(parse({packet.data, packet.length}, parsed), std::nullopt);
  if (rewrite_to_backend(packet, parsed, backend)) {
    EXPECT_EQ(bytes_of(packet), in) << "a refused packet was changed";
    return {};
  }
  return bytes_of(packet);
}

uint16_t get16(const Bytes& bytes, std::size_t at) {
  return static_cast<uint16_t>(bytes.at(at) << 8 | bytes.at(at + 1));
}

FrameBuilder from_client(bool v6) {
  FrameBuilder frame = FrameBuilder().ethernet();
  return v6 ? frame.ipv6("2001:db8:c::1", "2001:db8::10", {.traffic_class = 0x2e})
            : frame.ipv4("192.0.2.1", "203.0.113.10", {.tos = 0x2e});
}

/// The IP packet of the client, as it must come out of the tunnel.
Bytes inner_of(bool v6) {
  return test::ip_packet_of(from_client(v6).tcp(40000, 443).payload("hello").build());
}

/// Outer Ethernet and IP header to the backend.
FrameBuilder outer(bool v6, uint32_t label) {
  FrameBuilder frame = FrameBuilder().ethernet(kHop, kOut);
  return v6 ? frame.ipv6("2001:db8:51::1", "2001:db8:1::1", {.traffic_class = 0x2e, .flow_label = label})
            : frame.ipv4("198.51.100.1", "10.0.0.1", {.tos = 0x2e, .dont_fragment = true});
}

/// A label cannot be foretold, and is not judged here.
uint32_t label_of(const Bytes& frame, bool v6) {
  return v6 ? (get16(frame, 14) & 0xfu) << 16 | get16(frame, 16) : 0;
}

Backend tunnel(Mode mode, bool v6, uint16_t mtu = 1500) {
  Backend backend = backend_at(v6 ? "2001:db8:1::1" : "10.0.0.1", mode, mtu);
  backend.tunnel_port = mode == Mode::vxlan ? 4789 : 6080;
  backend.vni = 0xabcdef;
  backend.inner_destination = kInnerHop;
  backend.inner_source = test::kEgressMac;
  return backend;
}

Bytes joined(Bytes head, const Bytes& tail) {
  head.insert(head.end(), tail.begin(), tail.end());
  return head;
}

// IPv4 and IPv6 in both: (outer, inner).
constexpr std::pair<bool, bool> kFamilies[] = {{false, false}, {false, true}, {true, false}, {true, true}};

TEST(Encapsulate, PutsGreBetweenTheHeaders) {
  for (const auto& [outer6, inner6] : kFamilies) {
    const Bytes out =
        sent(from_client(inner6).tcp(40000, 443).payload("hello").build(), tunnel(Mode::gre, outer6));
    const Bytes gre = inner6 ? Bytes{0, 0, 0x86, 0xdd} : Bytes{0, 0, 0x08, 0x00};
    Bytes expected = outer(outer6, label_of(out, outer6)).payload(joined(gre, inner_of(inner6))).build();
    expected[outer6 ? 20 : 23] = 47;
    if (!outer6) {
      expected[24] = expected[25] = 0;
      const uint16_t sum = test::internet_checksum({expected.begin() + 14, expected.begin() + 34});
      expected[24] = static_cast<uint8_t>(sum >> 8), expected[25] = static_cast<uint8_t>(sum);
    }
    EXPECT_EQ(out, expected) << outer6 << inner6;
  }
}

TEST(Encapsulate, PutsUdpAndNothingElseForGueVariant1) {
  for (const auto& [outer6, inner6] : kFamilies) {
    const Bytes out =
        sent(from_client(inner6).tcp(40000, 443).payload("hello").build(), tunnel(Mode::gue, outer6));
    const uint16_t source = get16(out, outer6 ? 54 : 34);
    EXPECT_GE(source, 49152);
    const auto sum = outer6 ? test::ChecksumField::right : test::ChecksumField::zero;
    EXPECT_EQ(out, outer(outer6, label_of(out, outer6))
                       .udp(source, 6080, {.checksum = sum})
                       .payload(inner_of(inner6))
                       .build())
        << outer6 << inner6;
  }
}

TEST(Encapsulate, PutsAGueHeaderBehindUdpForVariant0) {
  for (const auto& [outer6, inner6] : kFamilies) {
    Backend backend = tunnel(Mode::gue, outer6);
    backend.gue_header = true;
    backend.tunnel_port = 5555;
    const Bytes out = sent(from_client(inner6).tcp(40000, 443).payload("hello").build(), backend);
    const auto sum = outer6 ? test::ChecksumField::right : test::ChecksumField::zero;
    const Bytes gue{0, static_cast<uint8_t>(inner6 ? 41 : 4), 0, 0};
    EXPECT_EQ(out, outer(outer6, label_of(out, outer6))
                       .udp(get16(out, outer6 ? 54 : 34), 5555, {.checksum = sum})
                       .payload(joined(gue, inner_of(inner6)))
                       .build())
        << outer6 << inner6;
  }
}

TEST(Encapsulate, PutsVxlanAndAnUntaggedEthernetHeader) {
  for (const auto& [outer6, inner6] : kFamilies) {
    FrameBuilder in = FrameBuilder().ethernet().vlan(7);
    inner6 ? in.ipv6("2001:db8:c::1", "2001:db8::10", {.traffic_class = 0x2e})
           : in.ipv4("192.0.2.1", "203.0.113.10", {.tos = 0x2e});
    Backend backend = tunnel(Mode::vxlan, outer6);
    backend.next_hop.vlan = kVlanNone;
    const Bytes out = sent(in.tcp(40000, 443).payload("hello").build(), backend);
    const auto sum = outer6 ? test::ChecksumField::right : test::ChecksumField::zero;
    const Bytes vxlan{0x08, 0, 0, 0, 0xab, 0xcd, 0xef, 0};
    FrameBuilder inside = FrameBuilder().ethernet("02:00:00:00:cc:01", kOut);
    inner6 ? inside.ipv6("2001:db8:c::1", "2001:db8::10", {.traffic_class = 0x2e})
           : inside.ipv4("192.0.2.1", "203.0.113.10", {.tos = 0x2e});
    EXPECT_EQ(out, outer(outer6, label_of(out, outer6))
                       .udp(get16(out, outer6 ? 54 : 34), 4789, {.checksum = sum})
                       .payload(joined(vxlan, inside.tcp(40000, 443).payload("hello").build()))
                       .build())
        << outer6 << inner6;
  }
}

TEST(Encapsulate, LeavesTheUdpChecksumOutOverIpv6WhereTheBackendAllowsIt) {
  Backend backend = tunnel(Mode::gue, true);
  backend.udp6_checksum = false;
  EXPECT_EQ(get16(sent(from_client(false).tcp(1, 443).build(), backend), 14 + 40 + 6), 0);
}

TEST(Encapsulate, SumsTheCompletedInnerChecksumNotThePartialOne) {
  for (const bool inner6 : {false, true}) {
    const Bytes in = from_client(inner6)
                         .tcp(40000, 443, {.checksum = test::ChecksumField::partial})
                         .payload("odd")
                         .build();
    const Bytes out = sent(in, tunnel(Mode::vxlan, true));
    FrameBuilder inside = FrameBuilder().ethernet("02:00:00:00:cc:01", kOut);
    inner6 ? inside.ipv6("2001:db8:c::1", "2001:db8::10", {.traffic_class = 0x2e})
           : inside.ipv4("192.0.2.1", "203.0.113.10", {.tos = 0x2e});
    const Bytes vxlan{0x08, 0, 0, 0, 0xab, 0xcd, 0xef, 0};
    EXPECT_EQ(out, outer(true, label_of(out, true))
                       .udp(get16(out, 54), 4789)
                       .payload(joined(vxlan, inside.tcp(40000, 443).payload("odd").build()))
                       .build());
  }
}

TEST(Encapsulate, GivesAFlowOneSourcePortAndFlowsMany) {
  std::set<uint16_t> ports;
  for (uint16_t port = 1; port <= 400; ++port) {
    const Bytes in = from_client(false).tcp(port, 443).build();
    const uint16_t source = get16(sent(in, tunnel(Mode::gue, false)), 34);
    EXPECT_EQ(get16(sent(in, tunnel(Mode::gue, false)), 34), source);
    ports.insert(source);
  }
  EXPECT_GT(ports.size(), 380u);
}

TEST(Encapsulate, SpreadsTheOuterSourceOverItsPrefixOnly) {
  for (const bool v6 : {false, true}) {
    Backend backend = tunnel(Mode::ipip, v6);
    backend.source_spread = 8;
    std::set<Bytes> sources;
    for (uint16_t port = 1; port <= 1000; ++port) {
      const Bytes in = from_client(false).tcp(port, 443).build();
      const Bytes out = sent(in, backend);
      const auto source = out.begin() + (v6 ? 22 : 26);
      const auto end = source + (v6 ? 16 : 4);
      sources.emplace(source, end);
      EXPECT_TRUE(std::equal(source, end - 1, backend.tunnel_source.bytes.begin() + (v6 ? 0 : 12)));
      if (!v6) {
        EXPECT_EQ(test::internet_checksum({out.begin() + 14, out.begin() + 34}), 0);
      }
      EXPECT_EQ(sent(in, backend), out) << "a flow changed its source";
    }
    EXPECT_GT(sources.size(), 240u);
  }
}

TEST(Encapsulate, RefusesWhatWouldNotFitTheMtuOrTheHeadroom) {
  const struct {
    Mode mode;
    bool v6;
    uint32_t overhead;
    bool gue_header = false;
  } rows[] = {{Mode::ipip, false, 20},      {Mode::ipip, true, 40},   {Mode::gre, false, 24},
              {Mode::gre, true, 44},        {Mode::gue, false, 28},   {Mode::gue, true, 48},
              {Mode::gue, false, 32, true}, {Mode::vxlan, false, 50}, {Mode::vxlan, true, 70}};
  for (const auto& row : rows) {
    Backend backend = tunnel(row.mode, row.v6);
    backend.gue_header = row.gue_header;
    EXPECT_EQ(overhead_of(backend), row.overhead);
    const std::size_t fits = 1500 - row.overhead - 20 - 20;
    EXPECT_FALSE(sent(from_client(false).tcp(1, 443).payload(Bytes(fits, 'x')).build(), backend).empty());
    EXPECT_TRUE(sent(from_client(false).tcp(1, 443).payload(Bytes(fits + 1, 'x')).build(), backend).empty());
    const Bytes small = from_client(false).tcp(1, 443).payload(Bytes(60, 'x')).build();
    EXPECT_FALSE(sent(small, backend, row.overhead).empty());
    EXPECT_TRUE(sent(small, backend, row.overhead - 1).empty());
  }
}

struct Tagging {
  uint16_t wanted;
  std::vector<uint16_t> received;  ///< TCIs, outermost first
  std::vector<uint16_t> sent;
};

TEST(LinkHeader, LeavesWithTheTagsTheNextHopWants) {
  const Tagging rows[] = {
      {kVlanKeep, {}, {}},        {kVlanKeep, {0x2007}, {0x2007}}, {kVlanKeep, {0x2007, 9}, {0x2007, 9}},
      {kVlanNone, {}, {}},        {kVlanNone, {0x2007}, {}},       {kVlanNone, {0x2007, 9}, {}},
      {100, {}, {100}},           {100, {0x2007}, {0x2000 + 100}}, {100, {0x2007, 9}, {0x2000 + 100}},
      {4094, {0xffff}, {0xeffe}},
  };
  for (const Mode mode : {Mode::dsr_l2, Mode::ipip}) {
    for (const Tagging& row : rows) {
      FrameBuilder in = FrameBuilder().ethernet();
      FrameBuilder expected = FrameBuilder().ethernet(kHop, kOut);
      for (const uint16_t tci : row.received) in.vlan(tci);
      for (const uint16_t tci : row.sent) expected.vlan(tci);
      if (mode == Mode::ipip) expected.ipv4("198.51.100.1", "10.0.0.1", {.dont_fragment = true});
      Backend backend = backend_at("10.0.0.1", mode);
      backend.next_hop.vlan = row.wanted;
      const Bytes payload(50, 'p');
      EXPECT_EQ(sent(in.ipv4("192.0.2.1", "203.0.113.10").udp(1, 53).payload(payload).build(), backend),
                expected.ipv4("192.0.2.1", "203.0.113.10").udp(1, 53).payload(payload).build())
          << row.wanted << ", " << row.received.size() << " tags received";
    }
  }
}

TEST(LinkHeader, NeedsHeadroomOnlyForWhatGrows) {
  Backend backend = backend_at("10.0.0.1", Mode::dsr_l2);
  backend.next_hop.vlan = 5;
  const Bytes untagged = FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.113.10").udp(1, 53).build();
  const Bytes tagged = FrameBuilder().ethernet().vlan(7).ipv4("192.0.2.1", "203.0.113.10").udp(1, 53).build();
  EXPECT_TRUE(sent(untagged, backend, 3).empty());
  EXPECT_FALSE(sent(untagged, backend, 4).empty());
  EXPECT_FALSE(sent(tagged, backend, 0).empty());
}

}  // namespace
}  // namespace xebec
