// SPDX-License-Identifier: BSD-2-Clause
// Changing bytes as decided: both packets, in and expected, are built in the test.
#include "dataplane/rewrite.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/checksum.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::backend_at;
using test::Bytes;
using test::bytes_of;
using test::ChecksumField;
using test::FrameBuilder;
using test::HeapFrame;

constexpr const char* kClient = "192.0.2.1";
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kClient6 = "2001:db8:c::1";
constexpr const char* kVip6 = "2001:db8::10";
constexpr const char* kHopMac = "02:00:00:00:bb:00";
constexpr const char* kOutMac = "02:00:00:00:ee:01";

ParsedPacket parsed_of(const Packet& packet) {
  ParsedPacket parsed;
  EXPECT_EQ(parse({packet.data, packet.length}, parsed), std::nullopt);
  return parsed;
}

struct Rewritten {
  std::optional<DropReason> reason;
  Bytes bytes;
  Packet before;
  Packet after;
};

Rewritten rewrite(const HeapFrame& frame, const Backend& backend) {
  Packet packet = frame.packet();
  Rewritten r;
  r.before = packet;
  r.reason = rewrite_to_backend(packet, parsed_of(packet), backend);
  r.after = packet;
  r.bytes = bytes_of(packet);
  return r;
}

Bytes padded(Bytes bytes) {
  bytes.resize(std::max<std::size_t>(bytes.size(), kMinFrameLength));
  return bytes;
}

TEST(Rewrite, DsrChangesOnlyTheMacAddresses) {
  const HeapFrame in(FrameBuilder()
                         .ethernet()
                         .vlan(0x2007, 0x88a8)
                         .vlan(9)
                         .ipv4(kClient, kVip, {.tos = 3, .ttl = 1})
                         .tcp(40000, 443)
                         .payload("hello")
                         .build());
  const Bytes expected = FrameBuilder()
                             .ethernet(kHopMac, kOutMac)
                             .vlan(0x2007, 0x88a8)
                             .vlan(9)
                             .ipv4(kClient, kVip, {.tos = 3, .ttl = 1})
                             .tcp(40000, 443)
                             .payload("hello")
                             .build();
  const Rewritten r = rewrite(in, backend_at("10.0.0.1", Mode::dsr_l2));
  EXPECT_EQ(r.reason, std::nullopt);
  EXPECT_EQ(r.bytes, expected);
}

TEST(Rewrite, CutsWhatLiesBehindTheIpLength) {
  Bytes frame = FrameBuilder().ethernet().ipv4(kClient, kVip).udp(1, 53).payload(Bytes(40, 'q')).build();
  const Bytes expected = FrameBuilder()
                             .ethernet(kHopMac, kOutMac)
                             .ipv4(kClient, kVip)
                             .udp(1, 53)
                             .payload(Bytes(40, 'q'))
                             .build();
  frame.resize(frame.size() + 33, 0xee);
  EXPECT_EQ(rewrite(HeapFrame(frame), backend_at("10.0.0.1", Mode::dsr_l2)).bytes, expected);
}

TEST(Rewrite, PadsShortFramesWithZerosWhateverLayThere) {
  Bytes frame = FrameBuilder().ethernet().ipv4(kClient, kVip).udp(1, 53).payload("q").build();
  const Bytes expected =
      padded(FrameBuilder().ethernet(kHopMac, kOutMac).ipv4(kClient, kVip).udp(1, 53).payload("q").build());
  EXPECT_EQ(rewrite(HeapFrame(frame), backend_at("10.0.0.1", Mode::dsr_l2)).bytes, expected);
  frame.resize(60, 0xee);  // received padding that is not zero
  EXPECT_EQ(rewrite(HeapFrame(frame), backend_at("10.0.0.1", Mode::dsr_l2)).bytes, expected);
}

TEST(Rewrite, TunnelsIpv4InIpv4) {
  const Bytes in = FrameBuilder()
                       .ethernet()
                       .vlan(9)
                       .ipv4(kClient, kVip, {.tos = 0xb9, .id = 77, .ttl = 5})
                       .udp(1, 53)
                       .payload("q")
                       .build();
  const Bytes expected = FrameBuilder()
                             .ethernet(kHopMac, kOutMac)
                             .vlan(9)
                             .ipv4("198.51.100.1", "10.0.0.1", {.tos = 0xb9, .dont_fragment = true})
                             .ipv4(kClient, kVip, {.tos = 0xb9, .id = 77, .ttl = 5})
                             .udp(1, 53)
                             .payload("q")
                             .build();
  const Rewritten r = rewrite(HeapFrame(in), backend_at("10.0.0.1", Mode::ipip));
  EXPECT_EQ(r.bytes, expected);
  EXPECT_EQ(r.after.data, r.before.data - 20);
  EXPECT_EQ(r.after.headroom, r.before.headroom - 20);
  EXPECT_EQ(r.after.room, r.before.room + 20);
}

TEST(Rewrite, TunnelsIpv6InIpv4) {
  const Bytes in =
      FrameBuilder().ethernet().ipv6(kClient6, kVip6, {.traffic_class = 0x2e}).tcp(1, 443).build();
  const Bytes expected = FrameBuilder()
                             .ethernet(kHopMac, kOutMac)
                             .ipv4("198.51.100.1", "10.0.0.1", {.tos = 0x2e, .dont_fragment = true})
                             .ipv6(kClient6, kVip6, {.traffic_class = 0x2e})
                             .tcp(1, 443)
                             .build();
  EXPECT_EQ(rewrite(HeapFrame(in), backend_at("10.0.0.1", Mode::ipip)).bytes, expected);
}

TEST(Rewrite, TunnelsInIpv6WithALabelOfTheFlow) {
  std::vector<uint32_t> labels;
  for (const bool inner_v4 : {true, false}) {
    const auto inner = [&](FrameBuilder builder) {
      return inner_v4
                 ? builder.ipv4(kClient, kVip, {.tos = 0x03}).udp(1, 53).payload("q").build()
                 : builder.ipv6(kClient6, kVip6, {.traffic_class = 0x03}).udp(1, 53).payload("q").build();
    };
    const Bytes in = inner(FrameBuilder().ethernet());
    const Bytes out = rewrite(HeapFrame(in), backend_at("2001:db8:1::1", Mode::ipip)).bytes;
    const uint32_t label = (out[15] & 0xfu) << 16 | static_cast<uint32_t>(out[16] << 8) | out[17];
    EXPECT_EQ(out, inner(FrameBuilder()
                             .ethernet(kHopMac, kOutMac)
                             .ipv6("2001:db8:51::1", "2001:db8:1::1",
                                   {.traffic_class = 0x03, .flow_label = label})));
    EXPECT_EQ(rewrite(HeapFrame(in), backend_at("2001:db8:1::1", Mode::ipip)).bytes, out)
        << "the label is not the flow's";
    labels.push_back(label);
  }
  EXPECT_NE(labels[0], labels[1]);
}

TEST(Rewrite, MeasuresThePacketWithItsTunnelAgainstTheMtu) {
  const struct {
    const char* backend;
    Mode mode;
    std::size_t ip_length;
    bool fits;
  } rows[] = {
      {"10.0.0.1", Mode::dsr_l2, 1500, true},    {"10.0.0.1", Mode::dsr_l2, 1501, false},
      {"10.0.0.1", Mode::ipip, 1480, true},      {"10.0.0.1", Mode::ipip, 1481, false},
      {"2001:db8:1::1", Mode::ipip, 1460, true}, {"2001:db8:1::1", Mode::ipip, 1461, false},
  };
  for (const auto& row : rows) {
    const Bytes in = FrameBuilder()
                         .ethernet()
                         .ipv4(kClient, kVip)
                         .udp(1, 53)
                         .payload(Bytes(row.ip_length - 28, 'x'))
                         .build();
    const HeapFrame frame(in);
    const Rewritten r = rewrite(frame, backend_at(row.backend, row.mode));
    EXPECT_EQ(r.reason, row.fits ? std::nullopt : std::optional(DropReason::too_big))
        << row.backend << row.ip_length;
    if (!row.fits) {
      EXPECT_EQ(bytes_of(frame.packet()), in);
      EXPECT_EQ(r.after.data, r.before.data);
    }
    EXPECT_EQ(rewrite(HeapFrame(in), backend_at(row.backend, row.mode, 0)).reason, std::nullopt)
        << "MTU 0 is unknown";
  }
}

TEST(Rewrite, RefusesAnOuterLengthBeyond16Bits) {
  const Bytes in =
      FrameBuilder().ethernet().ipv4(kClient, kVip).udp(1, 53).payload(Bytes(65535 - 28, 'x')).build();
  EXPECT_EQ(rewrite(HeapFrame(in), backend_at("10.0.0.1", Mode::ipip, 0)).reason, DropReason::too_big);
  EXPECT_EQ(rewrite(HeapFrame(in), backend_at("2001:db8:1::1", Mode::ipip, 0)).reason, std::nullopt);
  const Bytes in6 =
      FrameBuilder().ethernet().ipv6(kClient6, kVip6).udp(1, 53).payload(Bytes(65535 - 8, 'x')).build();
  EXPECT_EQ(rewrite(HeapFrame(in6), backend_at("2001:db8:1::1", Mode::ipip, 0)).reason, DropReason::too_big);
}

TEST(Rewrite, NeedsHeadroomForTheTunnelAndNoMore) {
  const Bytes in = FrameBuilder().ethernet().ipv4(kClient, kVip).udp(1, 53).payload("q").build();
  const struct {
    const char* backend;
    uint32_t needed;
  } rows[] = {{"10.0.0.1", 20}, {"2001:db8:1::1", 40}};
  for (const auto& row : rows) {
    EXPECT_EQ(rewrite(HeapFrame(in, row.needed), backend_at(row.backend, Mode::ipip)).reason, std::nullopt);
    const Rewritten r = rewrite(HeapFrame(in, row.needed - 1), backend_at(row.backend, Mode::ipip));
    EXPECT_EQ(r.reason, DropReason::no_headroom);
    EXPECT_EQ(r.bytes, in);
  }
}

Bytes with_l4(FrameBuilder builder, uint8_t protocol, ChecksumField field, const Bytes& payload) {
  return protocol == kProtoTcp
             ? builder.tcp(40000, 443, {.options = Bytes(12, 1), .checksum = field}).payload(payload).build()
             : builder.udp(40000, 443, {.checksum = field}).payload(payload).build();
}

TEST(PartialChecksum, IsCompletedForEveryTransportAndFamily) {
  const FrameBuilder starts[] = {
      FrameBuilder().ethernet().ipv4(kClient, kVip),
      FrameBuilder().ethernet().vlan(3).ipv4(kClient, kVip, {.options = Bytes(8, 1)}),
      FrameBuilder().ethernet().ipv6(kClient6, kVip6),
      FrameBuilder().ethernet().ipv6(kClient6, kVip6).hop_by_hop().destination_options(24),
  };
  for (const FrameBuilder& start : starts) {
    for (const uint8_t protocol : {kProtoTcp, kProtoUdp}) {
      for (const std::size_t size : {0u, 1u, 2u, 7u, 100u, 1401u}) {
        const Bytes payload(size, 0xc3);
        const Bytes right = with_l4(start, protocol, ChecksumField::right, payload);
        Bytes partial = with_l4(start, protocol, ChecksumField::partial, payload);
        const std::size_t size_on_wire = partial.size();
        partial.resize(size_on_wire + 9, 0xee);  // behind the IP length: not to be summed
        const HeapFrame frame(partial);
        EXPECT_TRUE(complete_partial_checksum(frame.packet(), parsed_of(frame.packet())));
        Bytes out = bytes_of(frame.packet());
        out.resize(size_on_wire);
        EXPECT_EQ(out, right);
        // A right one is left as it is.
        const HeapFrame whole(right);
        EXPECT_FALSE(complete_partial_checksum(whole.packet(), parsed_of(whole.packet())));
        EXPECT_EQ(bytes_of(whole.packet()), right);
      }
    }
  }
}

TEST(PartialChecksum, LeavesNoneAndWrongOnesAlone) {
  for (const ChecksumField field : {ChecksumField::zero, ChecksumField::wrong}) {
    const Bytes in = with_l4(FrameBuilder().ethernet().ipv4(kClient, kVip), kProtoUdp, field, Bytes(9, 1));
    const HeapFrame frame(in);
    EXPECT_FALSE(complete_partial_checksum(frame.packet(), parsed_of(frame.packet())));
    EXPECT_EQ(bytes_of(frame.packet()), in);
  }
}

TEST(PartialChecksum, LeavesFragmentsAlone) {
  const Bytes whole =
      with_l4(FrameBuilder().ethernet().ipv4(kClient, kVip), kProtoUdp, ChecksumField::partial, Bytes(64, 1));
  for (const Bytes& fragment : test::fragments_of(whole, 32, 5)) {
    const HeapFrame frame(fragment);
    EXPECT_FALSE(complete_partial_checksum(frame.packet(), parsed_of(frame.packet())));
    EXPECT_EQ(bytes_of(frame.packet()), fragment);
  }
}

// Payloads that make the pseudo-header sum, the checksum, or both run through every value, with 0 and 0xffff
// among them.
TEST(PartialChecksum, IsRightForEveryValueOfTheSum) {
  bool saw_udp_zero = false;
  for (uint32_t word = 0; word <= 0xffff; ++word) {
    const Bytes payload = {static_cast<uint8_t>(word >> 8), static_cast<uint8_t>(word)};
    Bytes frame =
        with_l4(FrameBuilder().ethernet().ipv4(kClient, kVip), kProtoUdp, ChecksumField::partial, payload);
    Packet packet{frame.data(), static_cast<uint32_t>(frame.size()), 0, static_cast<uint32_t>(frame.size())};
    ASSERT_TRUE(complete_partial_checksum(packet, parsed_of(packet)));
    ASSERT_EQ(frame, with_l4(FrameBuilder().ethernet().ipv4(kClient, kVip), kProtoUdp, ChecksumField::right,
                             payload));
    saw_udp_zero = saw_udp_zero || (frame[40] == 0xff && frame[41] == 0xff);
  }
  EXPECT_TRUE(saw_udp_zero) << "no payload gave the checksum that is sent as 0xffff";
}

// What Linux leaves: ~csum_fold(sum), here typed after include/asm-generic/checksum.h and
// include/net/ip6_checksum.h.
uint16_t linux_partial(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  const auto folded = static_cast<uint16_t>(~sum);
  return static_cast<uint16_t>(~folded);
}

TEST(PartialChecksum, IsRecognisedInTheRepresentationLinuxLeaves) {
  for (uint32_t last = 0; last <= 0xffff; ++last) {
    const Be32 source{{192, 0, static_cast<uint8_t>(last >> 8), static_cast<uint8_t>(last)}};
    const Be32 destination{{203, 0, 113, 10}};
    const uint32_t sum = 0xc000 + last + 0xcb00 + 0x710a + 6 + 20;
    EXPECT_TRUE(checksum_is_partial(Be16::from_host(linux_partial(sum)),
                                    pseudo_header_sum_v4(source, destination, 6, 20)));
  }
}

TEST(EchoReply, AnswersIpv4) {
  const HeapFrame in(FrameBuilder()
                         .ethernet()
                         .vlan(7)
                         .ipv4(kClient, kVip, {.tos = 4, .id = 9, .ttl = 3})
                         .icmp(8, {.rest = 0x00010002})
                         .payload(Bytes(56, 'p'))
                         .build());
  Packet packet = in.packet();
  rewrite_to_echo_reply(packet, parsed_of(packet));
  EXPECT_EQ(bytes_of(packet), FrameBuilder()
                                  .ethernet(test::kRouterMac, test::kBalancerMac)
                                  .vlan(7)
                                  .ipv4(kVip, kClient, {.tos = 4, .id = 9, .ttl = 64})
                                  .icmp(0, {.rest = 0x00010002})
                                  .payload(Bytes(56, 'p'))
                                  .build());
}

TEST(EchoReply, AnswersIpv6AndCutsTheTail) {
  Bytes frame = FrameBuilder()
                    .ethernet()
                    .ipv6(kClient6, kVip6, {.hop_limit = 255})
                    .icmp(128, {.rest = 7})
                    .payload("odd")
                    .build();
  frame.resize(frame.size() + 100, 0xee);
  const HeapFrame in(frame);
  Packet packet = in.packet();
  rewrite_to_echo_reply(packet, parsed_of(packet));
  EXPECT_EQ(bytes_of(packet), padded(FrameBuilder()
                                         .ethernet(test::kRouterMac, test::kBalancerMac)
                                         .ipv6(kVip6, kClient6, {.hop_limit = 64})
                                         .icmp(129, {.rest = 7})
                                         .payload("odd")
                                         .build()));
}

TEST(EchoReply, ChecksumIsRightFromEveryStartingValue) {
  for (const bool is_v4 : {true, false}) {
    std::vector<bool> seen(0x10000);
    for (uint32_t id = 0; id <= 0xffff; ++id) {
      const auto build = [&](bool reply) {
        FrameBuilder builder = FrameBuilder().ethernet();
        if (reply) builder = FrameBuilder().ethernet(test::kRouterMac, test::kBalancerMac);
        const char* client = is_v4 ? kClient : kClient6;
        const char* vip = is_v4 ? kVip : kVip6;
        is_v4 ? builder.ipv4(reply ? vip : client, reply ? client : vip)
              : builder.ipv6(reply ? vip : client, reply ? client : vip);
        return padded(
            builder
                .icmp(static_cast<uint8_t>(is_v4 ? (reply ? 0 : 8) : (reply ? 129 : 128)), {.rest = id << 16})
                .build());
      };
      Bytes frame = build(false);
      const std::size_t field = is_v4 ? 36 : 56;
      seen[static_cast<std::size_t>(frame[field] << 8 | frame[field + 1])] = true;
      Packet packet{frame.data(), static_cast<uint32_t>(frame.size()), 0,
                    static_cast<uint32_t>(frame.size())};
      rewrite_to_echo_reply(packet, parsed_of(packet));
      Bytes expected = build(true);
      ASSERT_EQ(frame, expected) << "id " << id;
    }
    // Of the two zeros of ones'-complement arithmetic a request's checksum takes one only.
    EXPECT_GE(std::count(seen.begin(), seen.end(), true), 0xffff);
  }
}

}  // namespace
}  // namespace xebec
