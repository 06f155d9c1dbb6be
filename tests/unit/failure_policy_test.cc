// SPDX-License-Identifier: BSD-2-Clause
// What no backend takes: how its sender is told (fail: reset), and what becomes of connections whose backend is down (on_down).
#include <gtest/gtest.h>

#include <map>

#include "dataplane/tcp_reset.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;
using test::TableStory;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr const char* kClient = "192.0.2.1";
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kClient6 = "2001:db8:c::1";
constexpr const char* kVip6 = "2001:db8::10";

FrameBuilder from_client() {
  return FrameBuilder().ethernet().ipv4(kClient, kVip);
}
Bytes tcp(uint16_t port, uint8_t flags, test::TcpFields fields = {}) {
  fields.flags = flags;
  return from_client().tcp(port, 443, fields).payload("abc").build();
}
FrameBuilder to_client() {
  return FrameBuilder()
      .ethernet(test::kRouterMac, test::kBalancerMac)
      .ipv4(kVip, kClient, {.dont_fragment = true});
}
Bytes padded(Bytes frame) {
  frame.resize(std::max<std::size_t>(frame.size(), kMinFrameLength));
  return frame;
}

// Nothing if it may not be answered.
Bytes reset_of(const Bytes& received) {
  const HeapFrame frame(received);
  Packet packet = frame.packet();
  ParsedPacket parsed;
  if (parse(received, parsed)) ADD_FAILURE() << "the test's own packet does not parse";
  if (!may_answer_with_reset(packet, parsed)) return {};
  rewrite_to_reset(packet, parsed);
  return test::bytes_of(packet);
}

TEST(TcpReset, OfASegmentThatAcknowledgesHasTheNumberItsSenderExpects) {
  EXPECT_EQ(reset_of(tcp(40000, kTcpAck, {.sequence = 7000, .acknowledgement = 0xfffffff0})),
            padded(to_client()
                       .tcp(443, 40000,
                            {.flags = kTcpRst, .sequence = 0xfffffff0, .acknowledgement = 0, .window = 0})
                       .build()));
}

TEST(TcpReset, OfASynAcknowledgesAllThatItTakesUp) {
  const Bytes plain = from_client().tcp(40000, 443, {.flags = kTcpSyn, .sequence = 0xffffffff}).build();
  EXPECT_EQ(reset_of(plain),
            padded(to_client()
                       .tcp(443, 40000,
                            {.flags = kTcpRst | kTcpAck, .sequence = 0, .acknowledgement = 0, .window = 0})
                       .build()));
  const Bytes with_data = from_client()
                              .tcp(40000, 443, {.flags = kTcpSyn, .sequence = 100, .options = Bytes(20, 1)})
                              .payload("fast open")
                              .build();
  EXPECT_EQ(reset_of(with_data),
            padded(to_client()
                       .tcp(443, 40000,
                            {.flags = kTcpRst | kTcpAck, .sequence = 0, .acknowledgement = 110, .window = 0})
                       .build()));
}

TEST(TcpReset, KeepsVlanTagsAndLeavesOptionsExtensionsAndTrailersOut) {
  Bytes four = FrameBuilder()
                   .ethernet()
                   .vlan(5)
                   .ipv4(kClient, kVip, {.options = Bytes(8, 1)})
                   .tcp(1, 443, {.acknowledgement = 9})
                   .payload(Bytes(900, 'x'))
                   .build();
  four.resize(four.size() + 13, 0xee);
  EXPECT_EQ(reset_of(four),
            padded(FrameBuilder()
                       .ethernet(test::kRouterMac, test::kBalancerMac)
                       .vlan(5)
                       .ipv4(kVip, kClient, {.dont_fragment = true})
                       .tcp(443, 1, {.flags = kTcpRst, .sequence = 9, .acknowledgement = 0, .window = 0})
                       .build()));
  const Bytes six = FrameBuilder()
                        .ethernet()
                        .ipv6(kClient6, kVip6)
                        .hop_by_hop()
                        .destination_options(16)
                        .tcp(1, 443, {.flags = kTcpSyn, .sequence = 41})
                        .build();
  EXPECT_EQ(reset_of(six),
            FrameBuilder()
                .ethernet(test::kRouterMac, test::kBalancerMac)
                .ipv6(kVip6, kClient6)
                .tcp(443, 1, {.flags = kTcpRst | kTcpAck, .sequence = 0, .acknowledgement = 42, .window = 0})
                .build());
}

TEST(TcpReset, IsNoAnswerToAResetAFragmentOrAGroup) {
  EXPECT_TRUE(reset_of(tcp(1, kTcpRst)).empty());
  EXPECT_TRUE(reset_of(tcp(1, kTcpRst | kTcpAck)).empty());
  EXPECT_TRUE(
      reset_of(test::fragments_of(from_client().tcp(1, 443).payload(Bytes(200)).build(), 64, 1).front())
          .empty());
  EXPECT_TRUE(reset_of(from_client().udp(1, 53).payload("q").build()).empty());
  EXPECT_TRUE(
      reset_of(FrameBuilder().ethernet("01:00:5e:00:00:01").ipv4(kClient, kVip).tcp(1, 443).build()).empty());
}

// A TCP service with three backends, a UDP and an SCTP one.
class FailurePolicy : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [protocol, port] :
         {std::pair<uint8_t, uint16_t>{kProtoTcp, 443}, {kProtoUdp, 53}, {kProtoSctp, 3868}}) {
      story.service(kVip, protocol, port);
      for (const char* a : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) story.backend(a);
    }
    table = story.make();
  }
  void rule(NoBackend no_backend, OnDown on_down = OnDown::rehash) {
    for (uint32_t s = 0; s < 3; ++s) {
      story.service_at(s).no_backend = no_backend;
      story.service_at(s).on_down = on_down;
    }
    table = story.make();
  }
  void take_down(uint32_t id) {
    story.at(id).usable = false;
    story.at(id).keeps_connections = story.service_at(story.at(id).service).on_down == OnDown::keep;
    table = story.make();
  }
  void take_all_down() {
    for (uint32_t id = 0; id < 9; ++id) take_down(id);
  }
  Decision send(const Bytes& bytes, Bytes* out = nullptr) {
    const HeapFrame frame(bytes);
    Packet packet = frame.packet();
    Decision decision;
    forward_batch(*table, *state, {&packet, 1}, {&decision, 1}, now);
    count_sent(state->counters, {&decision, 1});
    EXPECT_TRUE(test::accounts_balance(state->counters));
    if (out != nullptr) *out = test::bytes_of(packet);
    return decision;
  }
  uint64_t dropped(DropReason reason) const {
    return state->counters.drops[static_cast<std::size_t>(reason)].read();
  }
  // A client's port whose flow is at that backend, open.
  uint16_t open_flow_to(uint32_t id) {
    for (uint16_t port = 1000; port < 2000; ++port) {
      const uint32_t at = send(tcp(port, kTcpSyn)).backend;
      send(tcp(port, kTcpAck));
      if (at == id) return port;
    }
    throw std::runtime_error("no flow got there");
  }

  TableStory story;
  std::unique_ptr<const Table> table;
  std::unique_ptr<ForwardState> state =
      std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  uint64_t now = 100 * kSecond;
};

Bytes sctp(uint8_t chunk) {
  Bytes packet(28);
  packet[1] = 9;
  packet[2] = 3868 >> 8;
  packet[3] = 3868 & 0xff;
  packet[12] = chunk;
  packet[15] = 16;
  return FrameBuilder().ethernet().ipv4(kClient, kVip, {.protocol = kProtoSctp}).payload(packet).build();
}

TEST_F(FailurePolicy, DropsWithoutAWordByDefault) {
  take_all_down();
  const Decision d = send(tcp(1, kTcpSyn));
  EXPECT_EQ(d.verdict, Verdict::drop);
  EXPECT_EQ(d.reason, DropReason::no_backend);
  EXPECT_EQ(state->counters.resets.read(), 0u);
}

TEST_F(FailurePolicy, RefusesTcpByAResetAndOthersByPortUnreachable) {
  take_all_down();
  rule(NoBackend::refuse);
  Bytes out;
  const Bytes syn = tcp(1, kTcpSyn);
  const Decision d = send(syn, &out);
  EXPECT_EQ(d.verdict, Verdict::reply);
  EXPECT_EQ(d.reason, DropReason::no_backend);
  EXPECT_EQ(out, reset_of(syn));
  EXPECT_EQ(state->counters.resets.read(), 1u);

  const Bytes udp = from_client().udp(5, 53).payload("query").build();
  EXPECT_EQ(send(udp, &out).verdict, Verdict::reply);
  EXPECT_EQ(out, FrameBuilder()
                     .ethernet(test::kRouterMac, test::kBalancerMac)
                     .ipv4(kVip, kClient, {.tos = 0xc0, .dont_fragment = true})
                     .icmp(3, {.code = 3})
                     .payload(test::ip_packet_of(udp))
                     .build());
  EXPECT_EQ(send(sctp(kSctpInit)).verdict, Verdict::reply);
  EXPECT_EQ(state->counters.icmp_errors[static_cast<std::size_t>(IcmpErrorKind::port_unreachable)].read(),
            2u);
  EXPECT_EQ(state->counters.replied.read(), 3u);
  EXPECT_EQ(dropped(DropReason::no_backend), 0u);
}

TEST_F(FailurePolicy, RefusesIpv6DatagramsByCode4OfUnreachable) {
  TableStory six;
  six.service(kVip6, kProtoUdp, 53);
  six.service_at(0).no_backend = NoBackend::refuse;
  table = six.make();
  const Bytes udp = FrameBuilder().ethernet().ipv6(kClient6, kVip6).udp(5, 53).payload("query").build();
  Bytes out;
  EXPECT_EQ(send(udp, &out).verdict, Verdict::reply);
  EXPECT_EQ(out, FrameBuilder()
                     .ethernet(test::kRouterMac, test::kBalancerMac)
                     .ipv6(kVip6, kClient6)
                     .icmp(1, {.code = 4})
                     .payload(test::ip_packet_of(udp))
                     .build());
}

TEST_F(FailurePolicy, LeavesPingsErrorsAndFragmentsUnanswered) {
  take_all_down();
  rule(NoBackend::refuse);
  EXPECT_EQ(send(from_client().icmp(8).payload("ping").build()).verdict, Verdict::drop);
  const Bytes quoted = FrameBuilder().ipv4(kVip, kClient).tcp(443, 1).build();
  EXPECT_EQ(send(from_client().icmp(3, {.code = 1}).payload(quoted).build()).verdict, Verdict::drop);
  EXPECT_EQ(send(tcp(1, kTcpRst)).verdict, Verdict::drop);
  const auto pieces = test::fragments_of(from_client().tcp(1, 443).payload(Bytes(200)).build(), 64, 1);
  EXPECT_EQ(send(pieces[0]).verdict, Verdict::drop);
  EXPECT_EQ(dropped(DropReason::no_backend), 4u);
  EXPECT_EQ(state->counters.resets.read(), 0u);
}

TEST_F(FailurePolicy, SendsAtMostSoManyResetsASecond) {
  take_all_down();
  rule(NoBackend::refuse);
  story.icmp({.resets_per_s = 20});
  table = story.make();
  for (int i = 0; i < 10; ++i) send(tcp(1, kTcpSyn));
  EXPECT_EQ(state->counters.resets.read(), 2u) << "a tenth at once";
  EXPECT_EQ(dropped(DropReason::no_backend), 8u);
  now += kSecond / 10;
  for (int i = 0; i < 10; ++i) send(tcp(1, kTcpSyn));
  EXPECT_EQ(state->counters.resets.read(), 4u);
  story.icmp({.resets_per_s = 0});
  table = story.make();
  now += kSecond;
  EXPECT_EQ(send(tcp(1, kTcpSyn)).verdict, Verdict::drop);
}

TEST_F(FailurePolicy, MovesConnectionsToAnotherBackendByDefault) {
  const uint16_t port = open_flow_to(1);
  take_down(1);
  const Decision d = send(tcp(port, kTcpAck));
  EXPECT_EQ(d.verdict, Verdict::forward);
  EXPECT_EQ(d.origin, FlowOrigin::moved);
  EXPECT_NE(d.backend, 1u);
}

TEST_F(FailurePolicy, KeepsConnectionsWithABackendThatIsDown) {
  rule(NoBackend::drop, OnDown::keep);
  const uint16_t port = open_flow_to(1);
  take_all_down();
  for (const uint8_t flags : {kTcpAck, kTcpFin}) {
    const Decision d = send(tcp(port, static_cast<uint8_t>(flags | kTcpAck)));
    EXPECT_EQ(d.verdict, Verdict::forward);
    EXPECT_EQ(d.backend, 1u);
  }
  const Bytes quoted = FrameBuilder().ipv4(kVip, kClient).tcp(443, port).build();
  EXPECT_EQ(send(from_client().icmp(3, {.code = 4, .rest = 1400}).payload(quoted).build()).backend, 1u)
      << "an error about it";
  story.at(0).usable = true;
  table = story.make();
  EXPECT_EQ(send(tcp(port, kTcpSyn)).backend, 0u) << "a new connection with the old one's ports";
  EXPECT_EQ(send(tcp(999, kTcpSyn)).backend, 0u);
}

TEST_F(FailurePolicy, KeepsTheFragmentsOfAKeptConnectionTogether) {
  rule(NoBackend::drop, OnDown::keep);
  const uint16_t port = open_flow_to(1);
  take_down(1);
  const auto pieces = test::fragments_of(from_client().tcp(port, 443).payload(Bytes(200)).build(), 64, 1);
  for (const Bytes& piece : pieces) EXPECT_EQ(send(piece).backend, 1u);
}

TEST_F(FailurePolicy, ResetsConnectionsOfABackendThatTakesNoPacketsAnyMore) {
  rule(NoBackend::drop, OnDown::reset);
  const uint16_t port = open_flow_to(1);
  const uint32_t open = state->flows.counts().of(1).open;
  take_down(1);
  Bytes out;
  const Bytes segment = tcp(port, kTcpAck, {.acknowledgement = 4711});
  const Decision d = send(segment, &out);
  EXPECT_EQ(d.verdict, Verdict::reply);
  EXPECT_EQ(state->flows.counts().of(1).open, open - 1) << "drains and least connections wait for it no more";
  EXPECT_EQ(d.reason, DropReason::backend_down);
  EXPECT_EQ(out, reset_of(segment));
  EXPECT_EQ(send(tcp(port, kTcpRst)).verdict, Verdict::drop) << "his own reset";
  EXPECT_EQ(dropped(DropReason::backend_down), 1u);
  EXPECT_EQ(send(tcp(998, kTcpAck)).verdict, Verdict::forward) << "one that is not remembered";
  const Decision again = send(tcp(port, kTcpSyn));
  EXPECT_EQ(again.verdict, Verdict::forward);
  EXPECT_NE(again.backend, 1u);
  EXPECT_EQ(send(tcp(port, kTcpAck)).backend, again.backend) << "the new connection stays";
}

TEST_F(FailurePolicy, ResetsAlsoWhereNoOtherBackendIs) {
  rule(NoBackend::drop, OnDown::reset);
  const uint16_t port = open_flow_to(1);
  take_all_down();
  EXPECT_EQ(send(tcp(port, kTcpAck)).verdict, Verdict::reply);
  EXPECT_EQ(send(tcp(port, kTcpSyn)).reason, DropReason::no_backend);
}

TEST_F(FailurePolicy, UdpLeavesADeadBackendAtOnceWhateverIsSaid) {
  for (const OnDown on_down : {OnDown::rehash, OnDown::keep, OnDown::reset}) {
    story = {};
    SetUp();
    rule(NoBackend::drop, on_down);
    const Bytes query = from_client().udp(7, 53).payload("q").build();
    const uint32_t first = send(query).backend;
    take_down(first);
    const Decision d = send(query);
    EXPECT_EQ(d.verdict, Verdict::forward);
    EXPECT_NE(d.backend, first);
    state = std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  }
}

TEST_F(FailurePolicy, SctpIsKeptAndIsMovedWhereTcpIsReset) {
  for (const OnDown on_down : {OnDown::keep, OnDown::reset}) {
    story = {};
    SetUp();
    rule(NoBackend::drop, on_down);
    const uint32_t first = send(sctp(kSctpInit)).backend;
    EXPECT_EQ(send(sctp(10)).backend, first);
    take_down(first);
    const Decision d = send(sctp(10));
    EXPECT_EQ(d.verdict, Verdict::forward);
    EXPECT_EQ(d.backend == first, on_down == OnDown::keep);
    state = std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  }
}

// The kept backend of a translating mode: the mapping is found for packets of both ways.
TEST_F(FailurePolicy, TranslatedConnectionsAreKeptBothWays) {
  story = {};
  story.service(kVip, kProtoTcp, 443);
  story.service_at(0).on_down = OnDown::keep;
  story.backend("10.0.0.1", Mode::dnat);
  table = story.make();
  send(tcp(7, kTcpSyn));
  take_down(0);
  EXPECT_EQ(send(tcp(7, kTcpAck)).verdict, Verdict::forward);
  const Bytes reply =
      FrameBuilder().ethernet().ipv4("10.0.0.1", kClient).tcp(443, 7).payload("hello").build();
  const Decision d = send(reply);
  EXPECT_EQ(d.verdict, Verdict::forward);
  EXPECT_TRUE(d.to_client);
  EXPECT_EQ(d.service, 0u);
}

}  // namespace
}  // namespace xebec
