// SPDX-License-Identifier: BSD-2-Clause
// From bytes to meaning: what is understood, and the one reason of each frame that is not.
#include "dataplane/parse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "dataplane/limits.h"
#include "tests/support/frame_builder.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::Ipv4Fields;
using test::Ipv6Fields;
using test::TcpFields;
using test::UdpFields;

constexpr const char* kClient = "192.0.2.1";
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kClient6 = "2001:db8:c::1";
constexpr const char* kVip6 = "2001:db8::10";
constexpr const char* kRouter = "198.51.100.7";

FrameBuilder v4(Ipv4Fields fields = {}) {
  return FrameBuilder().ethernet().ipv4(kClient, kVip, fields);
}
FrameBuilder v6(Ipv6Fields fields = {}) {
  return FrameBuilder().ethernet().ipv6(kClient6, kVip6, fields);
}

// From memory of exactly the frame's size, so that ASan sees a read outside.
std::optional<DropReason> parse_exactly(const Bytes& frame, ParsedPacket& out) {
  const std::unique_ptr<uint8_t[]> memory(new uint8_t[frame.size()]);
  std::copy(frame.begin(), frame.end(), memory.get());
  return parse({memory.get(), frame.size()}, out);
}

std::string outcome(const Bytes& frame) {
  ParsedPacket parsed;
  const auto reason = parse_exactly(frame, parsed);
  return reason ? std::string(name_of(*reason)) : "ok";
}

IpAddress address(const char* text) {
  return *IpAddress::parse(text);
}

TEST(Parse, UnderstandsTcpOverIpv4) {
  ParsedPacket p;
  const Bytes frame = v4({.tos = 0x2e, .dont_fragment = true, .ttl = 7})
                          .tcp(40000, 443, {.flags = kTcpSyn})
                          .payload("hi")
                          .build();
  ASSERT_EQ(parse_exactly(frame, p), std::nullopt);
  EXPECT_EQ(p.kind, PacketKind::transport);
  EXPECT_EQ(p.ip_version, 4);
  EXPECT_EQ(p.protocol, kProtoTcp);
  EXPECT_EQ(p.tcp_flags, kTcpSyn);
  EXPECT_EQ(p.ttl, 7);
  EXPECT_EQ(p.dscp_ecn, 0x2e);
  EXPECT_TRUE(p.dont_fragment);
  EXPECT_FALSE(p.first_fragment);
  EXPECT_EQ(p.l3_offset, 14);
  EXPECT_EQ(p.l4_offset, 34);
  EXPECT_EQ(p.ip_length, 42u);
  EXPECT_EQ(p.key.source, address(kClient));
  EXPECT_EQ(p.key.destination, address(kVip));
  EXPECT_EQ(p.key.source_port.host(), 40000);
  EXPECT_EQ(p.key.destination_port.host(), 443);
  EXPECT_EQ(p.key.protocol, kProtoTcp);
}

TEST(Parse, UnderstandsUdpOverIpv6BehindTagsAndExtensions) {
  ParsedPacket p;
  const Bytes frame = FrameBuilder()
                          .ethernet()
                          .vlan(7, 0x88a8)
                          .vlan(9)
                          .ipv6(kClient6, kVip6, {.traffic_class = 0xb9, .hop_limit = 3})
                          .hop_by_hop()
                          .destination_options(16)
                          .routing()
                          .authentication(24)
                          .destination_options()
                          .udp(5000, 53)
                          .payload("q")
                          .build();
  ASSERT_EQ(parse_exactly(frame, p), std::nullopt);
  EXPECT_EQ(p.ip_version, 6);
  EXPECT_EQ(p.protocol, kProtoUdp);
  EXPECT_EQ(p.tcp_flags, 0);
  EXPECT_EQ(p.ttl, 3);
  EXPECT_EQ(p.dscp_ecn, 0xb9);
  EXPECT_TRUE(p.dont_fragment);
  EXPECT_EQ(p.l3_offset, 22);
  EXPECT_EQ(p.l4_offset, 22 + 40 + 8 + 16 + 8 + 24 + 8);
  EXPECT_EQ(p.ip_length, 40u + 64 + 9);
  EXPECT_EQ(p.key.source, address(kClient6));
  EXPECT_EQ(p.key.destination_port.host(), 53);
}

TEST(Parse, SkipsIpv4OptionsAndIgnoresTrailingBytes) {
  ParsedPacket p;
  Bytes frame = v4({.options = {1, 1, 1, 1}}).udp(1, 2).payload("abc").build();
  frame.resize(frame.size() + 50, 0xee);
  ASSERT_EQ(parse_exactly(frame, p), std::nullopt);
  EXPECT_EQ(p.l4_offset, 14 + 24);
  EXPECT_EQ(p.ip_length, 24u + 8 + 3);
}

TEST(Parse, GivesEachMalformedFrameItsReason) {
  const auto later = [](uint8_t protocol) {
    return v4({.fragment_offset = 3, .protocol = protocol}).payload(Bytes(16, 0xab)).build();
  };
  const struct {
    const char* what;
    const char* reason;
    Bytes frame;
  } rows[] = {
      {"nothing", "truncated", {}},
      {"ARP", "not_ip",
       FrameBuilder().ethernet(test::kBalancerMac, test::kRouterMac, 0x0806).payload(Bytes(28, 0)).build()},
      {"three tags", "not_ip",
       FrameBuilder().ethernet().vlan(1, 0x88a8).vlan(2).vlan(3).ipv4(kClient, kVip).tcp(1, 2).build()},
      {"IPv4 type with version 6", "bad_ip_header", v4({.version = uint8_t{6}}).tcp(1, 2).build()},
      {"IPv6 type with version 4", "bad_ip_header", v6({.version = uint8_t{4}}).tcp(1, 2).build()},
      {"header of four words", "bad_ip_header", v4({.ihl = uint8_t{4}}).tcp(1, 2).build()},
      {"total length below the header", "bad_ip_header",
       v4({.total_length = uint16_t{19}}).tcp(1, 2).build()},
      {"total length beyond the frame", "truncated", v4({.total_length = uint16_t{41}}).tcp(1, 2).build()},
      {"header of fifteen words", "bad_ip_header", v4({.ihl = uint8_t{15}}).tcp(1, 2).build()},
      {"payload length beyond the frame", "truncated",
       v6({.payload_length = uint16_t{21}}).tcp(1, 2).build()},
      {"a jumbogram", "truncated", v6({.payload_length = uint16_t{0}}).hop_by_hop().tcp(1, 2).build()},
      {"TTL 0", "ttl_expired", v4({.ttl = 0}).tcp(1, 2).build()},
      {"hop limit 0", "ttl_expired", v6({.hop_limit = 0}).tcp(1, 2).build()},
      {"TTL 1", "ok", v4({.ttl = 1}).tcp(1, 2).build()},
      {"TCP cut short by the IP length", "truncated", v4({.total_length = uint16_t{39}}).tcp(1, 2).build()},
      {"TCP data offset of four words", "bad_l4_header", v4().tcp(1, 2, {.data_offset = uint8_t{4}}).build()},
      {"TCP data offset beyond the packet", "bad_l4_header",
       v4().tcp(1, 2, {.data_offset = uint8_t{6}}).build()},
      {"UDP cut short by the IP length", "truncated", v4({.total_length = uint16_t{27}}).udp(1, 2).build()},
      {"UDP length 7", "bad_l4_header", v4().udp(1, 2, {.length = uint16_t{7}}).build()},
      {"UDP length 0", "bad_l4_header", v6().udp(1, 2, {.length = uint16_t{0}}).build()},
      {"UDP length beyond the packet", "bad_l4_header", v4().udp(1, 2, {.length = uint16_t{9}}).build()},
      {"UDP length below the packet", "ok", v4().udp(1, 2, {.length = uint16_t{8}}).payload("x").build()},
      {"UDP without checksum over IPv4", "ok",
       v4().udp(1, 2, {.checksum = test::ChecksumField::zero}).build()},
      {"UDP without checksum over IPv6", "bad_l4_header",
       v6().udp(1, 2, {.checksum = test::ChecksumField::zero}).build()},
      {"GRE", "ok", v4({.protocol = uint8_t{47}}).payload(Bytes(20, 0)).build()},
      {"SCTP", "ok", v6({.next_header = kProtoSctp}).payload(Bytes(20, 0)).build()},
      {"SCTP without chunks", "ok", v6({.next_header = kProtoSctp}).payload(Bytes(12, 0)).build()},
      {"SCTP cut before its checksum's end", "truncated",
       v6({.next_header = kProtoSctp}).payload(Bytes(11, 0)).build()},
      {"no next header", "ok", v6({.next_header = kProtoNoNext}).build()},
      {"AH over IPv4", "ok", v4({.protocol = kProtoAh}).payload(Bytes(40, 0)).build()},
      {"ICMPv6 over IPv4", "ok", v4({.protocol = kProtoIcmpv6}).payload(Bytes(20, 0)).build()},
      {"ICMP over IPv6", "ok", v6({.next_header = kProtoIcmp}).payload(Bytes(20, 0)).build()},
      {"hop-by-hop not first", "bad_extension", v6().destination_options().hop_by_hop().tcp(1, 2).build()},
      {"hop-by-hop twice", "bad_extension", v6().hop_by_hop().hop_by_hop().tcp(1, 2).build()},
      {"two fragment headers", "bad_extension",
       v6().fragment(0, true, 1).fragment(0, true, 2).tcp(1, 2).build()},
      {"routing with a segment left", "bad_extension",
       v6({.next_header = kProtoRouting})
           .payload(Bytes{6, 0, 0, 1, 0, 0, 0, 0})
           .payload(Bytes(20, 0x50))
           .build()},
      {"AH of eight bytes", "bad_extension",
       v6({.next_header = kProtoAh}).payload(Bytes{6, 0, 0, 0, 0, 0, 0, 0}).build()},
      {"an extension beyond the packet", "truncated",
       v6({.next_header = kProtoDestination}).payload(Bytes{6, 1, 1, 4, 0, 0, 0, 0}).build()},
      {"an extension of four bytes", "truncated",
       v6({.next_header = kProtoDestination}).payload(Bytes{6, 0, 1, 4}).build()},
      {"a later fragment of TCP", "ok", later(kProtoTcp)},
      {"a later fragment of ICMP", "icmp_unhandled", later(kProtoIcmp)},
      {"a later fragment of GRE", "ok", later(47)},
      {"a later fragment of AH over IPv4", "ok", later(kProtoAh)},
      {"a later fragment of ICMPv6", "icmp_unhandled", v6().fragment(3, false, 1).icmp(128).build()},
      {"a first fragment of TCP without the whole header", "truncated",
       v4({.more_fragments = true, .protocol = kProtoTcp}).payload(Bytes(16, 0x50)).build()},
      {"a first fragment of UDP longer than itself", "ok",
       v4({.more_fragments = true}).udp(1, 2, {.length = uint16_t{4000}}).build()},
      {"a fragmented echo request", "icmp_unhandled", v4({.more_fragments = true}).icmp(8).build()},
  };
  for (const auto& row : rows) EXPECT_EQ(outcome(row.frame), row.reason) << row.what;
}

TEST(Parse, WalksAsManyExtensionsAsAllowedAndNoMore) {
  for (uint32_t count : {1u, kMaxIpv6Extensions, kMaxIpv6Extensions + 1, 3 * kMaxIpv6Extensions}) {
    FrameBuilder builder = v6();
    for (uint32_t i = 0; i < count; ++i) builder.destination_options();
    EXPECT_EQ(outcome(builder.tcp(1, 2).build()), count <= kMaxIpv6Extensions ? "ok" : "bad_extension")
        << count;
  }
}

TEST(Parse, RefusesMartians) {
  const struct {
    const char* source;
    const char* destination;
    const char* reason;
  } rows[] = {
      {"0.0.0.0", kVip, "martian"},
      {"0.1.2.3", kVip, "martian"},
      {"127.0.0.1", kVip, "martian"},
      {"224.0.0.1", kVip, "martian"},
      {"239.255.255.255", kVip, "martian"},
      {"255.255.255.255", kVip, "martian"},
      {kVip, kVip, "martian"},
      {kClient, "127.0.0.1", "martian"},
      {kClient, "0.0.0.0", "martian"},
      {"223.255.255.255", kVip, "ok"},
      {"1.0.0.0", kVip, "ok"},
      {"10.0.0.1", kVip, "ok"},
      {"240.0.0.1", kVip, "ok"},
      {"::", kVip6, "martian"},
      {"::1", kVip6, "martian"},
      {"ff02::1", kVip6, "martian"},
      {"::ffff:1.2.3.4", kVip6, "martian"},
      {kVip6, kVip6, "martian"},
      {kClient6, "::1", "martian"},
      {kClient6, "::", "martian"},
      {kClient6, "::ffff:203.0.113.10", "martian"},
      {"::2", kVip6, "ok"},
      {"fe80::1", kVip6, "ok"},
      {"::fffe:1.2.3.4", kVip6, "ok"},
  };
  for (const auto& row : rows) {
    FrameBuilder builder = FrameBuilder().ethernet();
    const bool is_v6 = std::string_view(row.destination).find(':') != std::string_view::npos;
    if (is_v6) {
      builder.ipv6(row.source, row.destination);
    } else {
      builder.ipv4(row.source, row.destination);
    }
    EXPECT_EQ(outcome(builder.tcp(1, 2).build()), row.reason) << row.source << " -> " << row.destination;
  }
}

TEST(Parse, NamesTheDatagramOfAFragment) {
  const Bytes whole4 = v4().udp(1000, 53).payload(Bytes(40, 0xab)).build();
  const Bytes whole6 = v6().udp(1000, 53).payload(Bytes(40, 0xab)).build();
  for (const Bytes& whole : {whole4, whole6}) {
    const auto fragments = test::fragments_of(whole, 16, 0x1234);
    for (std::size_t i = 0; i < fragments.size(); ++i) {
      ParsedPacket p;
      ASSERT_EQ(parse_exactly(fragments[i], p), std::nullopt);
      EXPECT_EQ(p.fragment_id, 0x1234u);
      EXPECT_EQ(p.protocol, kProtoUdp);
      EXPECT_EQ(p.first_fragment, i == 0);
      EXPECT_EQ(p.kind, i == 0 ? PacketKind::transport : PacketKind::later_fragment);
      EXPECT_EQ(p.key.destination_port.host(), i == 0 ? 53 : 0);
    }
  }
}

TEST(Parse, TakesAnAtomicFragmentForAWholePacket) {
  ParsedPacket p;
  ASSERT_EQ(parse_exactly(v6().fragment(0, false, 9).tcp(1, 2).build(), p), std::nullopt);
  EXPECT_FALSE(p.first_fragment);
  EXPECT_EQ(p.fragment_id, 0u);
}

// The quoted packet: VIP to client, as the backend sent it.
Bytes quoted4(Ipv4Fields fields = {}, const char* source = kVip) {
  return FrameBuilder().ipv4(source, kClient, fields).tcp(443, 40000).payload("data").build();
}
Bytes quoted6() {
  return FrameBuilder().ipv6(kVip6, kClient6).destination_options().udp(53, 5000).payload("data").build();
}
Bytes first(Bytes bytes, std::size_t count) {
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count)};
}

Bytes error4(uint8_t type, const Bytes& quoted) {
  return FrameBuilder().ethernet().ipv4(kRouter, kVip).icmp(type).payload(quoted).build();
}
Bytes error6(uint8_t type, const Bytes& quoted) {
  return FrameBuilder().ethernet().ipv6("2001:db8:f::1", kVip6).icmp(type).payload(quoted).build();
}

TEST(Parse, MirrorsTheFlowOfAnIcmpError) {
  ParsedPacket p;
  ASSERT_EQ(parse_exactly(error4(3, first(quoted4(), 28)), p), std::nullopt);
  EXPECT_EQ(p.kind, PacketKind::icmp_error);
  EXPECT_EQ(p.protocol, kProtoIcmp);
  EXPECT_EQ(p.key.source, address(kClient));
  EXPECT_EQ(p.key.destination, address(kVip));
  EXPECT_EQ(p.key.source_port.host(), 40000);
  EXPECT_EQ(p.key.destination_port.host(), 443);
  EXPECT_EQ(p.key.protocol, kProtoTcp);

  ASSERT_EQ(parse_exactly(error6(2, first(quoted6(), 56)), p), std::nullopt);
  EXPECT_EQ(p.kind, PacketKind::icmp_error);
  EXPECT_EQ(p.key.source, address(kClient6));
  EXPECT_EQ(p.key.destination, address(kVip6));
  EXPECT_EQ(p.key.source_port.host(), 5000);
  EXPECT_EQ(p.key.destination_port.host(), 53);
  EXPECT_EQ(p.key.protocol, kProtoUdp);
}

TEST(Parse, TellsWhichIcmpItHandles) {
  for (int type = 0; type <= 255; ++type) {
    const auto t = static_cast<uint8_t>(type);
    const bool handled4 = type == 3 || type == 4 || type == 8 || type == 11 || type == 12;
    const bool handled6 = (type >= 1 && type <= 4) || type == 128;
    EXPECT_EQ(outcome(error4(t, quoted4())), handled4 ? "ok" : "icmp_unhandled") << "ICMP " << type;
    EXPECT_EQ(outcome(error6(t, quoted6())), handled6 ? "ok" : "icmp_unhandled") << "ICMPv6 " << type;
  }
}

TEST(Parse, RefusesIcmpErrorsThatNameNoFlow) {
  const struct {
    const char* what;
    const char* reason;
    Bytes frame;
  } rows[] = {
      {"seven bytes of ICMP", "truncated",
       v4({.protocol = kProtoIcmp}).payload(Bytes{3, 0, 0, 0, 0, 0, 0}).build()},
      {"nothing quoted", "icmp_unhandled", error4(3, {})},
      {"seven bytes of L4 quoted", "icmp_unhandled", error4(3, first(quoted4(), 27))},
      {"eight bytes of L4 quoted", "ok", error4(3, first(quoted4(), 28))},
      {"options quoted, L4 cut", "icmp_unhandled", error4(3, first(quoted4({.options = Bytes(8, 1)}), 35))},
      {"a later fragment quoted", "icmp_unhandled", error4(3, quoted4({.fragment_offset = 1}))},
      {"a first fragment quoted", "ok", error4(3, quoted4({.more_fragments = true}))},
      {"another version quoted", "icmp_unhandled", error4(3, quoted4({.version = uint8_t{6}}))},
      {"a short header quoted", "icmp_unhandled", error4(3, quoted4({.ihl = uint8_t{4}}))},
      {"another sender's packet quoted", "icmp_unhandled", error4(3, quoted4({}, "203.0.113.99"))},
      {"ICMP quoted", "icmp_unhandled", error4(3, quoted4({.protocol = kProtoIcmp}))},
      {"IPv6 in ICMP", "icmp_unhandled", error4(3, quoted6())},
      {"IPv6, L4 cut", "icmp_unhandled", error6(1, first(quoted6(), 55))},
      {"IPv6, extension cut", "icmp_unhandled", error6(1, first(quoted6(), 44))},
      {"IPv6, a later fragment", "icmp_unhandled",
       error6(1, FrameBuilder().ipv6(kVip6, kClient6).fragment(1, false, 1).udp(53, 5000).build())},
  };
  for (const auto& row : rows) EXPECT_EQ(outcome(row.frame), row.reason) << row.what;
}

TEST(Parse, AnswersOnlyPlainEchoRequests) {
  const struct {
    const char* what;
    const char* reason;
    Bytes frame;
  } rows[] = {
      {"plain", "ok", v4().icmp(8).payload("ping").build()},
      {"plain, IPv6", "ok", v6().icmp(128).payload("ping").build()},
      {"without data", "ok", v4().icmp(8).build()},
      {"with IP options", "icmp_unhandled",
       v4({.options = Bytes{131, 7, 4, 10, 0, 0, 1, 0}}).icmp(8).build()},
      {"with extension headers", "icmp_unhandled", v6().destination_options().icmp(128).build()},
      {"to the broadcast MAC", "icmp_unhandled",
       FrameBuilder().ethernet("ff:ff:ff:ff:ff:ff").ipv4(kClient, kVip).icmp(8).build()},
      {"from a group MAC", "icmp_unhandled",
       FrameBuilder().ethernet(test::kBalancerMac, "01:00:5e:00:00:01").ipv4(kClient, kVip).icmp(8).build()},
      {"an echo reply", "icmp_unhandled", v4().icmp(0).build()},
      {"neighbour solicitation", "icmp_unhandled", v6().icmp(135).payload(Bytes(16, 0)).build()},
  };
  for (const auto& row : rows) EXPECT_EQ(outcome(row.frame), row.reason) << row.what;
}

TEST(Parse, EveryTruncationIsAnsweredWithoutReadingOutside) {
  for (const Bytes& frame :
       {v4().tcp(1, 2, {.options = Bytes(8, 1)}).payload("abc").build(),
        v6().hop_by_hop().destination_options().udp(1, 2).payload("abc").build(),
        FrameBuilder().ethernet().vlan(1, 0x88a8).vlan(2).ipv4(kClient, kVip).udp(1, 2).build(),
        error4(3, quoted4()), error6(3, quoted6()), v6().fragment(0, true, 7).tcp(1, 2).build()}) {
    EXPECT_EQ(outcome(frame), "ok");
    for (std::size_t length = 0; length < frame.size(); ++length) {
      EXPECT_EQ(outcome(first(frame, length)), "truncated") << length << " of " << frame.size();
    }
  }
}

}  // namespace
}  // namespace xebec
