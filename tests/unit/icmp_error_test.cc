// SPDX-License-Identifier: BSD-2-Clause
// ICMP errors: which packets are answered by one, and what it says.
#include "dataplane/icmp_error.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;

constexpr const char* kClient = "192.0.2.1";
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kClient6 = "2001:db8:c::1";
constexpr const char* kVip6 = "2001:db8::10";
constexpr uint64_t kSecond = 1'000'000'000;

Bytes udp4(std::size_t size, test::Ipv4Fields fields = {.dont_fragment = true}) {
  return FrameBuilder()
      .ethernet()
      .ipv4(kClient, kVip, fields)
      .udp(5000, 53)
      .payload(Bytes(size, 'd'))
      .build();
}
Bytes udp6(std::size_t size) {
  return FrameBuilder().ethernet().ipv6(kClient6, kVip6).udp(5000, 53).payload(Bytes(size, 'd')).build();
}

// The error that answers `received`; nothing if it may not be answered.
Bytes answer(const Bytes& received, const IcmpError& error) {
  const HeapFrame frame(received);
  Packet packet = frame.packet();
  ParsedPacket parsed;
  if (parse(received, parsed)) ADD_FAILURE() << "the test's own packet does not parse";
  if (!may_answer_with(error, packet, parsed)) return {};
  EXPECT_TRUE(rewrite_to_icmp_error(error, packet, parsed));
  return test::bytes_of(packet);
}

constexpr IcmpError kTooBig{IcmpErrorKind::too_big, 1480};
constexpr IcmpError kTimeExceeded{IcmpErrorKind::time_exceeded, 0};

TEST(IcmpError, FragmentationNeededIsWhatRfc1191Says) {
  const Bytes received = udp4(1472);
  Bytes quoted = test::ip_packet_of(received);
  quoted.resize(576 - 28);
  const Bytes expected = FrameBuilder()
                             .ethernet(test::kRouterMac, test::kBalancerMac)
                             .ipv4(kVip, kClient, {.tos = 0xc0, .dont_fragment = true})
                             .icmp(3, {.code = 4, .rest = 1480})
                             .payload(quoted)
                             .build();
  EXPECT_EQ(answer(received, kTooBig), expected);
}

TEST(IcmpError, PacketTooBigIsWhatRfc4443Says) {
  const Bytes received = udp6(1452);
  Bytes quoted = test::ip_packet_of(received);
  quoted.resize(1280 - 48);
  const Bytes expected = FrameBuilder()
                             .ethernet(test::kRouterMac, test::kBalancerMac)
                             .ipv6(kVip6, kClient6)
                             .icmp(2, {.rest = 1480})
                             .payload(quoted)
                             .build();
  EXPECT_EQ(answer(received, kTooBig), expected);
}

TEST(IcmpError, TimeExceededQuotesAShortPacketWhole) {
  const Bytes four = udp4(9, {.ttl = 1});
  EXPECT_EQ(answer(four, kTimeExceeded), FrameBuilder()
                                             .ethernet(test::kRouterMac, test::kBalancerMac)
                                             .ipv4(kVip, kClient, {.tos = 0xc0, .dont_fragment = true})
                                             .icmp(11)
                                             .payload(test::ip_packet_of(four))
                                             .build());
  const Bytes six = udp6(9);
  EXPECT_EQ(answer(six, kTimeExceeded), FrameBuilder()
                                            .ethernet(test::kRouterMac, test::kBalancerMac)
                                            .ipv6(kVip6, kClient6)
                                            .icmp(3)
                                            .payload(test::ip_packet_of(six))
                                            .build());
}

TEST(IcmpError, KeepsVlanTagsAndLeavesATrailerOut) {
  Bytes received = FrameBuilder()
                       .ethernet()
                       .vlan(5, 0x88a8)
                       .vlan(6)
                       .ipv4(kClient, kVip)
                       .udp(5000, 53)
                       .payload("q")
                       .build();
  const Bytes quoted = test::ip_packet_of(received);
  received.resize(received.size() + 9, 0xee);
  EXPECT_EQ(answer(received, kTimeExceeded), FrameBuilder()
                                                 .ethernet(test::kRouterMac, test::kBalancerMac)
                                                 .vlan(5, 0x88a8)
                                                 .vlan(6)
                                                 .ipv4(kVip, kClient, {.tos = 0xc0, .dont_fragment = true})
                                                 .icmp(11)
                                                 .payload(quoted)
                                                 .build());
}

TEST(IcmpError, QuotesWhatIsInTheFirstFrameOnly) {
  const Bytes whole = udp4(1472);
  const HeapFrame first(Bytes(whole.begin(), whole.begin() + 200));
  std::array<std::span<const uint8_t>, 1> rest = {std::span(whole).subspan(200)};
  Packet packet = first.packet();
  packet.rest = rest;
  packet.rest_length = static_cast<uint32_t>(rest[0].size());
  ParsedPacket parsed;
  ASSERT_FALSE(parse({packet.data, packet.length}, parsed, packet.rest_length));
  ASSERT_TRUE(rewrite_to_icmp_error(kTooBig, packet, parsed));
  EXPECT_TRUE(packet.rest.empty());
  EXPECT_EQ(packet.rest_length, 0u);
  const Bytes quoted(whole.begin() + 14, whole.begin() + 200);
  EXPECT_EQ(test::bytes_of(packet), FrameBuilder()
                                        .ethernet(test::kRouterMac, test::kBalancerMac)
                                        .ipv4(kVip, kClient, {.tos = 0xc0, .dont_fragment = true})
                                        .icmp(3, {.code = 4, .rest = 1480})
                                        .payload(quoted)
                                        .build());
}

TEST(IcmpError, NeedsRoomInFrontAndChangesNothingWithoutIt) {
  for (const auto& [received, needed] : {std::pair(udp4(100), 28u), std::pair(udp6(1300), 48u)}) {
    for (const uint32_t headroom : {needed - 1, needed}) {
      const HeapFrame frame(received, headroom);
      Packet packet = frame.packet();
      ParsedPacket parsed;
      ASSERT_FALSE(parse(received, parsed));
      EXPECT_EQ(rewrite_to_icmp_error(kTooBig, packet, parsed), headroom == needed);
      if (headroom != needed) {
        EXPECT_EQ(test::bytes_of(packet), received);
      }
    }
  }
}

struct Row {
  const char* what;
  Bytes packet;
  bool too_big;        ///< may be answered so
  bool time_exceeded;  ///< and so
};

TEST(IcmpError, AnswersOnlyWhatRfc1122AndRfc4443Allow) {
  const auto to = [](std::string_view mac) {
    return FrameBuilder().ethernet(mac).ipv4(kClient, kVip, {.dont_fragment = true}).udp(1, 53).build();
  };
  const auto from = [](const char* source) {
    return FrameBuilder().ethernet().ipv4(source, kVip, {.dont_fragment = true}).udp(1, 53).build();
  };
  const Bytes quoted4 = FrameBuilder().ipv4(kVip, kClient).udp(53, 1).build();
  const Bytes quoted6 = FrameBuilder().ipv6(kVip6, kClient6).udp(53, 1).build();
  const Bytes fragmented =
      FrameBuilder().ethernet().ipv4(kClient, kVip).udp(1, 53).payload(Bytes(64)).build();
  const auto pieces = test::fragments_of(fragmented, 64, 7);
  const std::vector<Row> rows = {
      {"DF", udp4(100), true, true},
      {"no DF", udp4(100, {}), false, true},
      {"the first fragment", pieces.front(), false, true},
      {"a later fragment", pieces.back(), false, false},
      {"IPv6", udp6(1240), true, true},
      {"IPv6 that every link carries", udp6(1232), false, true},
      {"a group on the link", to("01:00:5e:00:00:01"), false, false},
      {"everybody on the link", to("ff:ff:ff:ff:ff:ff"), false, false},
      {"a source of class E", from("240.0.0.1"), false, false},
      {"a source below class D", from("223.0.0.1"), true, true},
      {"an ICMP error",
       FrameBuilder()
           .ethernet()
           .ipv4(kClient, kVip, {.dont_fragment = true})
           .icmp(3)
           .payload(quoted4)
           .build(),
       false, false},
      {"an ICMPv6 error", FrameBuilder().ethernet().ipv6(kClient6, kVip6).icmp(1).payload(quoted6).build(),
       false, false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(!answer(row.packet, kTooBig).empty(), row.too_big) << row.what;
    EXPECT_EQ(!answer(row.packet, kTimeExceeded).empty(), row.time_exceeded) << row.what;
  }
}

/// Through the heart: tunnels of MTU 1500.
class TooBig : public testing::Test {
 protected:
  void SetUp() override {
    story.service(kVip, kProtoUdp, 53);
    story.backend("10.0.0.1", Mode::ipip);
    story.service(kVip6, kProtoUdp, 53);
    story.backend("2001:db8:1::1", Mode::ipip);
    table = story.make();
  }

  Decision send(const Bytes& received) {
    const HeapFrame frame(received);
    Packet packet = frame.packet();
    Decision decision;
    forward_batch(*table, *state, {&packet, 1}, {&decision, 1}, now);
    count_sent(state->counters, {&decision, 1});
    EXPECT_EQ(test::judge(received, decision, packet, *table), "");
    EXPECT_TRUE(test::accounts_balance(state->counters));
    return decision;
  }
  uint64_t answered() const { return state->counters.icmp_errors[0].read(); }

  test::TableStory story;
  std::unique_ptr<const Table> table;
  std::unique_ptr<ForwardState> state =
      std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  uint64_t now = 100 * kSecond;
};

TEST_F(TooBig, IsAnsweredFromTheFirstByteTooMany) {
  EXPECT_EQ(send(udp4(1452)).verdict, Verdict::forward);
  EXPECT_EQ(send(udp6(1412)).verdict, Verdict::forward);
  EXPECT_EQ(answered(), 0u);
  for (const Bytes& packet : {udp4(1453), udp6(1413)}) {
    const Decision d = send(packet);
    EXPECT_EQ(d.verdict, Verdict::reply);
    EXPECT_EQ(d.reason, DropReason::too_big);
  }
  EXPECT_EQ(answered(), 2u);
  EXPECT_EQ(state->counters.replied.read(), 2u);
}

TEST_F(TooBig, IsDroppedByItsNameWhereItMayNotBeAnswered) {
  const Decision d = send(udp4(1453, {}));
  EXPECT_EQ(d.verdict, Verdict::drop);
  EXPECT_EQ(d.reason, DropReason::too_big);
  EXPECT_EQ(answered(), 0u);
}

TEST_F(TooBig, IsAnsweredNoMoreOftenThanTheTableSays) {
  story.icmp({.errors_per_s = 20});
  table = story.make();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(send(udp4(1453)).verdict, Verdict::reply);
  EXPECT_EQ(send(udp4(1453)).verdict, Verdict::drop);
  now += kSecond / 20;
  EXPECT_EQ(send(udp4(1453)).verdict, Verdict::reply);
  EXPECT_EQ(send(udp4(1453)).reason, DropReason::too_big);
  EXPECT_EQ(state->counters.drops[static_cast<std::size_t>(DropReason::too_big)].read(), 2u);
  story.icmp({.errors_per_s = 0});
  table = story.make();
  now += 10 * kSecond;
  EXPECT_EQ(send(udp4(1453)).verdict, Verdict::drop);
}

TEST_F(TooBig, OffersIpv6NoLessThanEveryLinkCarries) {
  story.at(1).next_hop.mtu = 1300;
  table = story.make();
  EXPECT_EQ(send(udp6(1300)).verdict, Verdict::reply);  // the judge knows the MTU it has to name
  EXPECT_EQ(send(udp6(1230)).verdict, Verdict::drop);
}

}  // namespace
}  // namespace xebec
