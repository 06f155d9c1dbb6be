// SPDX-License-Identifier: BSD-2-Clause
// What a health check sends to a VIP, and what it takes for an answer.
#include "control/vip_frames.h"

#include <gtest/gtest.h>

#include "control/probe_frames.h"
#include "dataplane/checksum.h"
#include "dataplane/parse.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::address;
using test::Bytes;
using test::FrameBuilder;
using Kind = VipAnswer::Kind;

VipQuestion question(uint8_t protocol, bool v4 = true) {
  return {.protocol = protocol,
          .source = address(v4 ? "10.0.0.9" : "2001:db8::9"),
          .vip = address(v4 ? "203.0.113.10" : "2001:db8::10"),
          .source_port = 40000,
          .port = 80,
          .mark = 0xfedcba98,
          .payload = protocol == kProtoUdp ? "hello" : ""};
}

/// The packet of a frame.
std::span<const uint8_t> packet(const Bytes& frame) {
  return std::span(frame).subspan(sizeof(EthernetHeader));
}

/// Of the packet's TCP, UDP or ICMP header.
bool checksum_is_right(const Bytes& frame, const VipQuestion& q) {
  const bool v4 = q.source.is_v4();
  const std::size_t l4 = sizeof(EthernetHeader) + (v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header));
  const auto length = static_cast<uint32_t>(frame.size() - l4);
  uint64_t sum = checksum_sum(frame.data() + l4, length);
  if (!v4) {
    const uint8_t protocol = q.protocol == kProtoIcmp ? kProtoIcmpv6 : q.protocol;
    sum += pseudo_header_sum_v6(q.source.bytes.data(), q.vip.bytes.data(), protocol, length);
  } else if (q.protocol != kProtoIcmp) {
    sum += pseudo_header_sum_v4(q.source.v4(), q.vip.v4(), q.protocol, length);
  }
  return checksum_fold(sum) == 0xffff;
}

TEST(VipFrames, AreWholePacketsThatNobodyPassesOn) {
  for (const bool v4 : {true, false}) {
    for (const uint8_t protocol : {kProtoTcp, kProtoUdp, kProtoIcmp}) {
      const VipQuestion q = question(protocol, v4);
      const Bytes frame = frame_of(q);
      ParsedPacket parsed;
      ASSERT_FALSE(parse(frame, parsed)) << int{protocol};
      EXPECT_EQ(parsed.ttl, 1) << "a router would say so, and not bring it back to us";
      EXPECT_EQ(parsed.key.source, q.source);
      EXPECT_EQ(parsed.key.destination, q.vip);
      EXPECT_EQ(parsed.kind, protocol == kProtoIcmp ? PacketKind::icmp_echo : PacketKind::transport);
      EXPECT_TRUE(checksum_is_right(frame, q)) << int{protocol} << (v4 ? " IPv4" : " IPv6");
      EXPECT_FALSE(read_vip_answer(packet(frame)) && protocol != kProtoUdp) << "a question is no answer";
    }
  }
}

TEST(VipFrames, AConnectionThatIsAcceptedIsKnownByItsNumberAndReset) {
  const VipQuestion q = question(kProtoTcp);
  const auto from_vip = [&](uint8_t flags, uint32_t acknowledgement) {
    return FrameBuilder()
        .ethernet()
        .ipv4("203.0.113.10", "10.0.0.9")
        .tcp(80, 40000, {.flags = flags, .acknowledgement = acknowledgement})
        .build();
  };
  const Bytes accepted = from_vip(kTcpSyn | kTcpAck, q.mark + 1);
  const auto answer = read_vip_answer(packet(accepted));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, Kind::accepted);
  EXPECT_EQ(answer->mark, q.mark);
  EXPECT_EQ(answer->from, q.vip);
  const Bytes refused = from_vip(kTcpRst | kTcpAck, q.mark + 1);
  EXPECT_EQ(read_vip_answer(packet(refused))->kind, Kind::reset);
  EXPECT_FALSE(read_vip_answer(packet(from_vip(kTcpAck, q.mark + 1)))) << "of another connection";
  const Bytes reset = reset_of(q);
  const auto* tcp = view_as<TcpHeader>(reset.data() + 34);
  EXPECT_EQ(tcp->sequence.host(), q.mark + 1);
  EXPECT_EQ(tcp->flags, kTcpRst);
}

TEST(VipFrames, AnErrorTellsWhichQuestionItIsAbout) {
  struct Row {
    uint8_t protocol, type, code;
    Kind kind;
  };
  for (const Row& row :
       {Row{kProtoTcp, 11, 0, Kind::passed_on}, Row{kProtoUdp, 3, 3, Kind::port_unreachable},
        Row{kProtoIcmp, 11, 0, Kind::passed_on}, Row{kProtoTcp, 3, 2, Kind::protocol_unreachable}}) {
    const VipQuestion q = question(row.protocol);
    const Bytes asked = frame_of(q);
    const Bytes error = FrameBuilder()
                            .ethernet()
                            .ipv4("10.0.0.1", "10.0.0.9")
                            .icmp(row.type, {.code = row.code})
                            .payload(Bytes(asked.begin() + 14, asked.begin() + 14 + 28))
                            .build();
    const auto answer = read_vip_answer(packet(error));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->kind, row.kind);
    EXPECT_EQ(answer->protocol, row.protocol);
    EXPECT_EQ(answer->quoted, q.vip);
    EXPECT_EQ(answer->to, q.source);
    EXPECT_EQ(answer->quoted_protocol, row.protocol);
    if (row.protocol == kProtoUdp) {
      EXPECT_EQ(answer->source_port, q.source_port);
      EXPECT_EQ(answer->quoted_port, q.port);
    } else {
      EXPECT_EQ(answer->mark, q.mark);
    }
  }
}

TEST(VipFrames, ADatagramIsReadWithoutThePaddingOfItsFrame) {
  Bytes frame =
      FrameBuilder().ethernet().ipv4("203.0.113.10", "10.0.0.9").udp(80, 40000).payload("hi").build();
  frame.resize(60);
  const auto answer = read_vip_answer(packet(frame));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, Kind::datagram);
  EXPECT_EQ(answer->source_port, 40000);
  EXPECT_EQ(answer->payload, "hi");
  EXPECT_EQ(answer->to, address("10.0.0.9"));
}

TEST(VipFrames, ALaterFragmentIsNoAnswer) {
  Bytes frame =
      FrameBuilder().ethernet().ipv4("203.0.113.10", "10.0.0.9").udp(80, 40000).payload("hi").build();
  auto* ip = view_as<Ipv4Header>(frame.data() + sizeof(EthernetHeader));
  ip->fragment = Be16::from_host(185);
  EXPECT_FALSE(read_vip_answer(packet(frame)));
  ip->fragment = Be16::from_host(kIpv4MoreFragments);
  EXPECT_TRUE(read_vip_answer(packet(frame)));
}

TEST(VipFrames, NothingIsReadBehindAPacketThatIsCut) {
  const Bytes asked = frame_of(question(kProtoTcp));
  for (const Bytes& frame : {frame_of(question(kProtoUdp)), frame_of(question(kProtoIcmp, false)),
                             FrameBuilder()
                                 .ethernet()
                                 .ipv4("10.0.0.1", "10.0.0.9")
                                 .icmp(11)
                                 .payload(Bytes(asked.begin() + 14, asked.end()))
                                 .build()}) {
    for (std::size_t length = 0; length < frame.size() - 14; ++length) {
      const Bytes cut(frame.begin() + 14,
                      frame.begin() + 14 + static_cast<std::ptrdiff_t>(length));  // ASan sees its end
      (void)read_vip_answer(cut);
    }
  }
}

}  // namespace
}  // namespace xebec
