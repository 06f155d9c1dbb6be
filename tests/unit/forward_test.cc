// SPDX-License-Identifier: BSD-2-Clause
// Batches through the heart: where packets go, why others do not, and that every one is accounted for.
#include "dataplane/forward.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/allocation_counter.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;
using test::TableStory;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kVip6 = "2001:db8::10";

class Forward : public testing::Test {
 protected:
  // Two TCP services with three backends each, one UDP service, one IPv6 service in a tunnel.
  void SetUp() override {
    story.service(kVip, kProtoTcp, 443);
    for (const char* a : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) story.backend(a);
    story.service(kVip, kProtoUdp, 53);
    for (const char* a : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) story.backend(a);
    story.service(kVip6, kProtoUdp, 53);
    story.backend("2001:db8:1::1", Mode::ipip);
    table = story.make();
  }

  struct Sent {
    Decision decision;
    Bytes bytes;
  };

  // One batch; every packet judged, the accounts balanced.
  std::vector<Sent> send(const std::vector<Bytes>& received) {
    std::vector<HeapFrame> frames;
    std::vector<Packet> packets;
    for (const Bytes& bytes : received) frames.emplace_back(bytes);
    for (const HeapFrame& frame : frames) packets.push_back(frame.packet());
    std::vector<Decision> decisions(packets.size());
    forward_batch(*table, *state, packets, decisions, now);
    count_sent(state->counters, decisions);
    std::vector<Sent> sent;
    for (std::size_t i = 0; i < packets.size(); ++i) {
      EXPECT_EQ(test::judge(received[i], decisions[i], packets[i], *table), "") << "packet " << i;
      sent.push_back({decisions[i], test::bytes_of(packets[i])});
    }
    EXPECT_TRUE(test::accounts_balance(state->counters));
    return sent;
  }
  Decision send_one(const Bytes& bytes) { return send({bytes}).front().decision; }

  void expect_drop(const Bytes& bytes, DropReason reason) {
    const uint64_t before = state->counters.drops[static_cast<std::size_t>(reason)].read();
    const Decision d = send_one(bytes);
    EXPECT_EQ(d.verdict, Verdict::drop);
    EXPECT_EQ(name_of(d.reason), name_of(reason));
    EXPECT_EQ(state->counters.drops[static_cast<std::size_t>(reason)].read(), before + 1);
  }

  TableStory story;
  std::unique_ptr<const Table> table;
  std::unique_ptr<ForwardState> state =
      std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  uint64_t now = 100 * kSecond;
};

Bytes tcp(uint16_t source_port, uint8_t flags = kTcpAck, uint16_t port = 443) {
  return FrameBuilder()
      .ethernet()
      .ipv4("192.0.2.1", kVip)
      .tcp(source_port, port, {.flags = flags})
      .payload("x")
      .build();
}
Bytes udp_datagram(std::size_t size) {
  return FrameBuilder().ethernet().ipv4("192.0.2.1", kVip).udp(5000, 53).payload(Bytes(size, 'd')).build();
}
Bytes udp6_datagram(std::size_t size) {
  return FrameBuilder()
      .ethernet()
      .ipv6("2001:db8:c::1", kVip6)
      .udp(5000, 53)
      .payload(Bytes(size, 'd'))
      .build();
}
Bytes echo(const char* destination = kVip) {
  return FrameBuilder()
      .ethernet()
      .ipv4("192.0.2.1", destination)
      .icmp(8, {.rest = 1})
      .payload("ping")
      .build();
}
Bytes unreachable_about(uint16_t client_port, uint16_t port = 443) {
  const Bytes quoted = FrameBuilder().ipv4(kVip, "192.0.2.1").tcp(port, client_port).build();
  return FrameBuilder()
      .ethernet()
      .ipv4("198.51.100.7", kVip)
      .icmp(3, {.code = 4, .rest = 1400})
      .payload(quoted)
      .build();
}

TEST_F(Forward, KeepsAFlowOnItsBackendAndSpreadsFlows) {
  std::map<uint32_t, int> flows;
  for (uint16_t port = 1000; port < 1300; ++port) {
    const auto sent = send({tcp(port, kTcpSyn), tcp(port), tcp(port)});
    EXPECT_EQ(sent[0].decision.origin, FlowOrigin::created);
    EXPECT_EQ(sent[1].decision.origin, FlowOrigin::hit);
    EXPECT_EQ(sent[0].decision.backend, sent[1].decision.backend);
    EXPECT_EQ(sent[1].decision.backend, sent[2].decision.backend);
    EXPECT_EQ(sent[0].decision.interface, 1);
    ++flows[sent[0].decision.backend];
  }
  EXPECT_EQ(flows.size(), 3u);
  for (const auto& [backend, count] : flows) EXPECT_GT(count, 50) << backend;
  const auto& counters = state->counters;
  EXPECT_EQ(counters.forwarded.read(), 900u);
  EXPECT_EQ(counters.flow_hits.read(), 600u);
  EXPECT_EQ(counters.flow_misses.read(), 300u);
  EXPECT_EQ(counters.flow_inserts.read(), 300u);
  EXPECT_EQ(counters.flows_used.read(), 300u);
}

TEST_F(Forward, CountsPacketsBytesAndNewFlowsOfABackend) {
  Bytes frame = tcp(1000, kTcpSyn);
  frame.resize(64, 0);  // bytes count as received, with the link's padding
  const uint32_t id = send_one(frame).backend;
  send_one(tcp(1000));
  const BackendCounters& counters = state->counters.backends[id];
  EXPECT_EQ(counters.packets.read(), 2u);
  EXPECT_EQ(counters.bytes.read(), 64 + tcp(1000).size());
  EXPECT_EQ(counters.new_flows.read(), 1u);
  EXPECT_EQ(state->counters.received_bytes.read(), 64 + tcp(1000).size());
}

TEST_F(Forward, KeepsFlowsWhenTheTableChangesAroundThem) {
  std::map<uint16_t, uint32_t> before;
  for (uint16_t port = 1000; port < 1100; ++port) before[port] = send_one(tcp(port, kTcpSyn)).backend;
  story.service("203.0.113.99", kProtoTcp, 443);
  TableStory larger;
  larger.service(kVip, kProtoTcp, 443);
  for (const char* a : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}) larger.backend(a);
  table = larger.make();
  for (const auto& [port, backend] : before) {
    const Decision d = send_one(tcp(port));
    EXPECT_EQ(d.backend, backend);
    EXPECT_EQ(d.origin, FlowOrigin::hit);
  }
}

TEST_F(Forward, MovesAFlowWhoseBackendTakesNoMorePackets) {
  const uint32_t old = send_one(tcp(1000, kTcpSyn)).backend;
  story.at(old).usable = false;
  table = story.make();
  const Decision moved = send_one(tcp(1000));
  EXPECT_EQ(moved.verdict, Verdict::forward);
  EXPECT_EQ(moved.origin, FlowOrigin::moved);
  EXPECT_NE(moved.backend, old);
  EXPECT_EQ(state->counters.backends[moved.backend].new_flows.read(), 1u);
  // It stays where it went, also when the old one is back.
  story.at(old).usable = true;
  table = story.make();
  const Decision after = send_one(tcp(1000));
  EXPECT_EQ(after.origin, FlowOrigin::hit);
  EXPECT_EQ(after.backend, moved.backend);
}

TEST_F(Forward, MovesAFlowWhoseBackendIdIsGoneOrAnotherServices) {
  const uint32_t old = send_one(tcp(1000, kTcpSyn)).backend;
  TableStory smaller;  // ids 0.. now belong to another service first
  smaller.service("203.0.113.77", kProtoTcp, 80);
  for (int i = 0; i < 3; ++i) smaller.backend("10.9.0." + std::to_string(i + 1));
  smaller.service(kVip, kProtoTcp, 443);
  const uint32_t only = smaller.backend("10.0.0.9");
  table = smaller.make();
  const Decision moved = send_one(tcp(1000));
  EXPECT_NE(old, only);
  EXPECT_EQ(moved.backend, only);
  EXPECT_EQ(moved.origin, FlowOrigin::moved);
  TableStory tiny;
  tiny.service(kVip, kProtoTcp, 443);
  tiny.backend("10.0.0.1");
  table = tiny.make();
  EXPECT_EQ(send_one(tcp(1000)).backend, 0u);
}

TEST_F(Forward, DropsWithTheReasonThatHolds) {
  expect_drop(tcp(1000, kTcpSyn, 80), DropReason::no_service);
  expect_drop(FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.113.99").tcp(1, 443).build(),
              DropReason::no_service);
  expect_drop(FrameBuilder().ethernet().ipv4("203.0.113.10", "203.0.113.11").tcp(1, 443).build(),
              DropReason::martian);
  for (uint32_t id = 0; id < 3; ++id) story.at(id).usable = false;
  table = story.make();
  expect_drop(tcp(1000, kTcpSyn), DropReason::no_backend);
}

TEST_F(Forward, DropsWhatItCannotAddressYetAndRemembersNothing) {
  for (uint32_t id = 0; id < 3; ++id) story.at(id).next_hop.resolved = false;
  table = story.make();
  expect_drop(tcp(1000, kTcpSyn), DropReason::next_hop_unresolved);
  EXPECT_EQ(state->counters.flow_inserts.read(), 0u);
  for (uint32_t id = 0; id < 3; ++id) story.at(id).next_hop.resolved = true;
  table = story.make();
  EXPECT_EQ(send_one(tcp(1000, kTcpSyn)).origin, FlowOrigin::created);
}

TEST_F(Forward, DropsAKnownFlowWhoseBackendCannotBeAddressedAndKeepsIt) {
  const uint32_t backend = send_one(tcp(1000, kTcpSyn)).backend;
  EXPECT_EQ(send_one(tcp(1000, kTcpAck)).origin, FlowOrigin::hit);
  story.at(backend).next_hop.resolved = false;
  table = story.make();
  expect_drop(tcp(1000, kTcpAck), DropReason::next_hop_unresolved);
  story.at(backend).next_hop.resolved = true;
  table = story.make();
  const Decision again = send_one(tcp(1000, kTcpAck));
  EXPECT_EQ(again.origin, FlowOrigin::hit);
  EXPECT_EQ(again.backend, backend);
}

TEST_F(Forward, ForwardsUnrememberedWhatTheFlowTableRefuses) {
  state = std::make_unique<ForwardState>(
      FlowTableConfig{.capacity = 4096, .timeouts = {}, .max_inserts_per_s = 0});
  const Decision first = send_one(tcp(1000, kTcpSyn));
  const Decision second = send_one(tcp(1000));
  EXPECT_EQ(first.verdict, Verdict::forward);
  EXPECT_EQ(first.origin, FlowOrigin::unremembered);
  EXPECT_EQ(second.origin, FlowOrigin::unremembered);
  EXPECT_EQ(first.backend, second.backend);
  EXPECT_EQ(state->counters.flow_refused.read(), 2u);
}

TEST_F(Forward, RemembersNothingOfAStatelessService) {
  TableStory stateless;
  stateless.service(kVip, kProtoTcp, 443, true);
  for (const char* a : {"10.0.0.1", "10.0.0.2"}) stateless.backend(a);
  table = stateless.make();
  const auto sent = send({tcp(1000, kTcpSyn), tcp(1000)});
  EXPECT_EQ(sent[0].decision.origin, FlowOrigin::stateless);
  EXPECT_EQ(sent[0].decision.backend, sent[1].decision.backend);
  EXPECT_EQ(state->counters.flow_inserts.read(), 0u);
  EXPECT_EQ(state->counters.flow_misses.read(), 0u);
}

TEST_F(Forward, SendsLaterFragmentsAfterTheirFirst) {
  for (const Bytes& whole : {udp_datagram(200), udp6_datagram(200)}) {
    const auto fragments = test::fragments_of(whole, 64, 4711);
    const auto sent = send(fragments);
    for (const Sent& one : sent) {
      EXPECT_EQ(one.decision.verdict, Verdict::forward);
      EXPECT_EQ(one.decision.backend, sent[0].decision.backend);
      EXPECT_EQ(one.decision.service, sent[0].decision.service);
    }
    EXPECT_EQ(send_one(fragments[1]).backend, sent[0].decision.backend) << "in a batch of its own";
    now += FragmentTable::kLifetimeNs + 1;
    expect_drop(fragments[1], DropReason::fragment_unknown);
  }
}

TEST_F(Forward, DropsFragmentsItCannotPlace) {
  const auto fragments = test::fragments_of(udp_datagram(200), 64, 4711);
  expect_drop(fragments[1], DropReason::fragment_unknown);
  const uint32_t id = send_one(fragments[0]).backend;
  story.at(id).usable = false;
  table = story.make();
  expect_drop(fragments[1], DropReason::no_backend);
  table = Table::make({});
  expect_drop(fragments[1], DropReason::no_backend);
}

// The first fragment's walk goes on to UDP, the later one only sees that destination options come first.
TEST_F(Forward, RecognisesIpv6FragmentsWhateverHeaderTheyName) {
  const Bytes first = FrameBuilder()
                          .ethernet()
                          .ipv6("2001:db8:c::1", kVip6)
                          .fragment(0, true, 9)
                          .destination_options()
                          .udp(5000, 53, {.length = uint16_t{100}})
                          .payload(Bytes(16, 'd'))
                          .build();
  Bytes later = FrameBuilder()
                    .ethernet()
                    .ipv6("2001:db8:c::1", kVip6)
                    .fragment(4, false, 9)
                    .payload(Bytes(16, 'd'))
                    .build();
  later[14 + 40] = kProtoDestination;
  const auto sent = send({first, later});
  EXPECT_EQ(sent[1].decision.verdict, Verdict::forward);
}

TEST_F(Forward, SendsIcmpErrorsToTheBackendOfTheirFlow) {
  for (uint16_t port = 1000; port < 1050; ++port) {
    const uint32_t backend = send_one(tcp(port, kTcpSyn)).backend;
    const uint64_t packets = state->counters.backends[backend].packets.read();
    const Decision d = send_one(unreachable_about(port));
    EXPECT_EQ(d.verdict, Verdict::forward);
    EXPECT_EQ(d.backend, backend);
    EXPECT_EQ(state->counters.backends[backend].packets.read(), packets + 1);
  }
  EXPECT_EQ(state->counters.flow_misses.read(), 50u);
  EXPECT_EQ(state->counters.flow_hits.read(), 0u) << "an error is no packet of the flow";
}

TEST_F(Forward, SendsIcmpErrorsOfUnknownFlowsWhereTheFlowWouldGo) {
  const Decision d = send_one(unreachable_about(1000));
  EXPECT_EQ(d.verdict, Verdict::forward);
  EXPECT_EQ(state->counters.flow_inserts.read(), 0u);
  EXPECT_EQ(d.backend, send_one(tcp(1000, kTcpSyn)).backend);
  EXPECT_EQ(state->counters.backends[d.backend].new_flows.read(), 1u) << "the error opened none";
  expect_drop(unreachable_about(1000, 80), DropReason::icmp_unhandled);
}

// A half-open flow lives 10 s; errors about it, which anybody can send, must not keep it alive or establish
// it.
TEST_F(Forward, DoesNotLetIcmpErrorsKeepAFlowAlive) {
  send_one(tcp(1000, kTcpSyn));
  for (int i = 0; i < 30; ++i) {
    now += kSecond;
    send_one(unreachable_about(1000));
  }
  EXPECT_EQ(send_one(tcp(1000, kTcpSyn)).origin, FlowOrigin::created);
}

TEST_F(Forward, AnswersEchoRequestsOfServedVipsOnly) {
  EXPECT_EQ(send_one(echo()).verdict, Verdict::reply);
  EXPECT_EQ(state->counters.replied.read(), 1u);
  expect_drop(echo("203.0.113.99"), DropReason::no_service);
  for (uint32_t id = 0; id < 6; ++id) story.at(id).usable = false;
  table = story.make();
  expect_drop(echo(), DropReason::no_backend);
}

TEST_F(Forward, LimitsEchoReplies) {
  story.icmp({.echo_replies_per_s = 30});
  table = story.make();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(send_one(echo()).verdict, Verdict::reply);
  expect_drop(echo(), DropReason::icmp_echo_limited);
  now += kSecond / 30 + 1;
  EXPECT_EQ(send_one(echo()).verdict, Verdict::reply);
  expect_drop(echo(), DropReason::icmp_echo_limited);
}

TEST_F(Forward, AnswersNoEchoRequestWhereTheTableSaysNone) {
  story.icmp({.echo_replies_per_s = 0});
  table = story.make();
  expect_drop(echo(), DropReason::icmp_echo_limited);
  story.icmp({});
  table = story.make();
  EXPECT_EQ(send_one(echo()).verdict, Verdict::reply) << "a limit that is raised is raised at once";
}

TEST_F(Forward, CompletesPartialChecksumsAndLeavesDroppedPacketsAlone) {
  const auto partial = [](std::size_t size) {
    return FrameBuilder()
        .ethernet()
        .ipv4("192.0.2.1", kVip)
        .udp(5000, 53, {.checksum = test::ChecksumField::partial})
        .payload(Bytes(size, 'd'))
        .build();
  };
  EXPECT_EQ(send_one(partial(100)).verdict, Verdict::forward);
  EXPECT_EQ(state->counters.checksums_completed.read(), 1u);
  expect_drop(partial(1500), DropReason::too_big);  // the judge checks that it is unchanged
  EXPECT_EQ(state->counters.checksums_completed.read(), 1u);
}

TEST_F(Forward, TakesTheMostSpecificServiceAndMovesFlowsToANewOne) {
  TableStory any;
  any.service(kVip, kProtoTcp, 0);
  any.backend("10.0.0.1");
  table = any.make();
  EXPECT_EQ(send_one(tcp(1000)).backend, 0u);
  any.service(kVip, kProtoTcp, 443);
  const uint32_t exact = any.backend("10.0.0.2");
  table = any.make();
  const Decision d = send_one(tcp(1000));
  EXPECT_EQ(d.backend, exact);
  EXPECT_EQ(d.origin, FlowOrigin::moved);
  EXPECT_EQ(send_one(tcp(1000, kTcpAck, 444)).backend, 0u);
}

TEST_F(Forward, TakesBatchesOfEverySizeFromNoneToAll) {
  for (std::size_t size = 0; size <= kBatchSize; ++size) {
    const auto sent = send(std::vector<Bytes>(size, tcp(1000)));
    EXPECT_EQ(sent.size(), size);
  }
  EXPECT_EQ(state->counters.received.read(), kBatchSize * (kBatchSize + 1) / 2);
}

TEST_F(Forward, AllocatesNothing) {
  const std::vector<Bytes> kinds = {
      tcp(1000, kTcpSyn),      tcp(1001),    udp_datagram(100),  udp6_datagram(100), echo(),
      unreachable_about(1000), Bytes(20, 0), tcp(1, kTcpSyn, 80)};
  std::vector<Bytes> received;
  for (std::size_t i = 0; i < kBatchSize - 4; ++i) received.push_back(kinds[i % kinds.size()]);
  for (const Bytes& fragment : test::fragments_of(udp_datagram(200), 64, 1)) received.push_back(fragment);
  ASSERT_EQ(received.size(), kBatchSize);
  std::vector<HeapFrame> frames;
  std::vector<Packet> packets;
  for (const Bytes& bytes : received) frames.emplace_back(bytes);
  for (const HeapFrame& frame : frames) packets.push_back(frame.packet());
  std::vector<Decision> decisions(packets.size());
  {
    const test::AllocationCounter counter;
    forward_batch(*table, *state, packets, decisions, now);
    EXPECT_EQ(counter.count(), 0u);
  }
  const test::AllocationCounter counter;
  const auto one = std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  EXPECT_GT(counter.count(), 0u) << "the counter does not count";
}

TEST(RateLimit, GivesItsBurstThenItsRate) {
  RateLimit limit(1000, 100);
  uint64_t now = 5 * kSecond;
  const auto taken = [&](int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += limit.take(now) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(taken(1000), 100);
  now += kSecond / 1000;
  EXPECT_EQ(taken(1000), 1);
  now += kSecond / 20;
  EXPECT_EQ(taken(1000), 50);
  now += 3600 * kSecond;
  EXPECT_EQ(taken(1000), 100);
}

TEST(RateLimit, LosesAndInventsNoTimeWhenAskedOften) {
  RateLimit limit(3, 1);
  uint64_t count = 0;
  const uint64_t start = 1000 * kSecond;
  for (uint64_t t = 0; t < 10 * kSecond + kSecond / 10; t += 1'234'567)
    count += limit.take(start + t) ? 1 : 0;
  EXPECT_EQ(count, 31u);  // the burst, and three a second
}

TEST(RateLimit, OfZeroGivesItsBurstOnly) {
  RateLimit limit(0, 2);
  EXPECT_TRUE(limit.take(1));
  EXPECT_TRUE(limit.take(kSecond));
  EXPECT_FALSE(limit.take(1000 * kSecond));
}

}  // namespace
}  // namespace xebec
