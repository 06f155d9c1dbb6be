// SPDX-License-Identifier: BSD-2-Clause
// Who may speak to a service, how often, and what of a packet chooses its backend: alone and through forward_batch().
#include "dataplane/source_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "dataplane/source_rates.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::address;
using test::FrameBuilder;
using test::HeapFrame;
using test::TableStory;

constexpr uint64_t kSecond = 1'000'000'000;

std::vector<IpPrefix> prefixes(std::initializer_list<const char*> texts) {
  std::vector<IpPrefix> list;
  for (const char* text : texts) list.push_back(*IpPrefix::parse(text));
  return list;
}

TEST(SourceRules, LetTheLongestPrefixDecide) {
  const SourceRules rules(prefixes({"10.0.0.0/8", "10.1.2.0/24"}),
                          prefixes({"10.1.0.0/16", "10.1.2.128/25"}));
  const struct {
    const char* source;
    bool allowed;
  } rows[] = {{"10.0.0.1", true},  {"10.0.255.255", true},  {"10.1.0.0", false},   {"10.1.1.255", false},
              {"10.1.2.0", true},  {"10.1.2.127", true},    {"10.1.2.128", false}, {"10.1.2.255", false},
              {"10.1.3.0", false}, {"10.1.255.255", false}, {"10.2.0.0", true},    {"10.255.255.255", true},
              {"11.0.0.0", false}, {"9.255.255.255", false}};
  for (const auto& row : rows) EXPECT_EQ(rules.allows(address(row.source)), row.allowed) << row.source;
  const SourceRules only_deny({}, prefixes({"255.255.255.255", "0.0.0.0/1"}));
  EXPECT_TRUE(only_deny.allows(address("128.0.0.0")));
  EXPECT_TRUE(only_deny.allows(address("255.255.255.254")));
  EXPECT_FALSE(only_deny.allows(address("255.255.255.255")));
  EXPECT_FALSE(only_deny.allows(address("127.255.255.255")));
  const SourceRules nobody({}, prefixes({"::/0"}));
  EXPECT_FALSE(nobody.allows(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
}

TEST(SourceRules, DecideAsASearchOfAllPrefixesDoes) {
  std::mt19937 random(5);
  for (int round = 0; round < 400; ++round) {
    std::vector<IpPrefix> lists[2];
    std::set<IpPrefix> seen;
    for (auto n = random() % 12; n > 0; --n) {
      IpPrefix p{address("10.0.0.0"), static_cast<uint8_t>(120 + random() % 9)};
      p.network.bytes[15] = static_cast<uint8_t>(random());
      p.network = masked(p.network, p.length);
      if (seen.insert(p).second) lists[random() % 2].push_back(p);
    }
    const SourceRules rules(lists[0], lists[1]);
    for (int last = 0; last < 256; ++last) {
      IpAddress source = address("10.0.0.0");
      source.bytes[15] = static_cast<uint8_t>(last);
      int longest = -1;
      bool allowed = lists[0].empty();
      for (int list = 0; list < 2; ++list) {
        for (const IpPrefix& p : lists[list]) {
          if (!p.contains(source) || p.length <= longest) continue;
          longest = p.length;
          allowed = list == 0;
        }
      }
      ASSERT_EQ(rules.allows(source), allowed) << "round " << round << " .." << last;
    }
  }
}

TEST(SourceRates, GiveSoManyTokensASecondAndNoMore) {
  SourceRates rates;
  const struct {
    uint64_t at_ns;
    int taken;
  } rows[] = {{10 * kSecond, 10},
              {10 * kSecond, 0},
              {10 * kSecond + kSecond / 10, 1},
              {10 * kSecond + kSecond / 2, 4},
              {11 * kSecond, 5},
              {30 * kSecond, 10},
              {29 * kSecond, 0}};
  for (const auto& row : rows) {
    int taken = 0;
    while (taken < 20 && rates.take(7, 10, row.at_ns)) ++taken;
    EXPECT_EQ(taken, row.taken) << row.at_ns;
  }
  EXPECT_TRUE(rates.take(8, 10, 30 * kSecond)) << "another key has tokens of its own";
  EXPECT_TRUE(rates.take(7, 1, 40 * kSecond)) << "a lower limit";
  EXPECT_FALSE(rates.take(7, 1, 40 * kSecond)) << "is in force at once";
}

TEST(SourceRates, CountAnIpv6NetworkAsOneSource) {
  const HashSecret secret;
  const auto key = [&](const char* source) { return SourceRates::key_of(secret, 1, address(source)); };
  EXPECT_EQ(key("2001:db8::1"), key("2001:db8::ffff:ffff:ffff:ffff"));
  EXPECT_NE(key("2001:db8::1"), key("2001:db8:0:1::1"));
  EXPECT_NE(key("10.0.0.1"), key("10.0.0.2"));
  EXPECT_NE(key("10.0.0.1"), SourceRates::key_of(secret, 2, address("10.0.0.1")));
}

TEST(SourceRates, ShareALimitSoThatNoWorkerGetsNothing) {
  EXPECT_EQ(share_of_limit(100, 1), 100u);
  EXPECT_EQ(share_of_limit(100, 3), 34u);
  EXPECT_EQ(share_of_limit(1, 8), 1u);
}

Decision forward_one(const Table& table, ForwardState& state, const test::Bytes& bytes, uint64_t now_ns) {
  const HeapFrame frame(bytes);
  Packet packet = frame.packet();
  Decision decision;
  forward_batch(table, state, {&packet, 1}, {&decision, 1}, now_ns);
  return decision;
}

test::Bytes tcp(std::string_view source, std::string_view vip, uint16_t source_port, uint8_t flags) {
  return FrameBuilder().ethernet().ipv4(source, vip).tcp(source_port, 443, {.flags = flags}).build();
}

struct World {
  explicit World(uint32_t backends = 8) {
    story.service("203.0.113.10", kProtoTcp, 443);
    for (uint32_t i = 1; i <= backends; ++i) story.backend("10.0.0." + std::to_string(i));
    parts = story.parts();
  }
  std::unique_ptr<const Table> make() const { return Table::make(parts); }
  TableStory story;
  TableParts parts;
  ForwardState state{FlowTableConfig{}};
};

TEST(ForwardWithSourceRules, DropsDeniedSourcesOfStandingFlowsToo) {
  World world;
  const auto open = world.make();
  const auto syn = tcp("192.0.2.1", "203.0.113.10", 1000, kTcpSyn),
             data = tcp("192.0.2.1", "203.0.113.10", 1000, kTcpAck);
  EXPECT_EQ(forward_one(*open, world.state, syn, kSecond).verdict, Verdict::forward);
  EXPECT_EQ(forward_one(*open, world.state, data, kSecond).origin, FlowOrigin::hit);
  world.parts.services[0].sources =
      std::make_shared<const SourceRules>(prefixes({}), prefixes({"192.0.2.0/24"}));
  for (const bool stateless : {false, true}) {
    world.parts.services[0].stateless = stateless;
    const auto closed = world.make();
    for (const auto& packet : {syn, data}) {
      const Decision decision = forward_one(*closed, world.state, packet, kSecond);
      EXPECT_EQ(decision.verdict, Verdict::drop);
      EXPECT_EQ(name_of(decision.reason), "denied_source");
    }
    EXPECT_EQ(
        forward_one(*closed, world.state, tcp("192.0.3.1", "203.0.113.10", 1, kTcpSyn), kSecond).verdict,
        Verdict::forward);
  }
  EXPECT_EQ(world.state.counters.drops[static_cast<std::size_t>(DropReason::denied_source)].read(), 4u);
}

TEST(ForwardWithRateLimit, DropsNewFlowsBeyondItAndNothingOfThoseThatStand) {
  for (const auto per : {NewFlowLimit::Per::service, NewFlowLimit::Per::source}) {
    World world;
    world.parts.services[0].limit = {3, per};
    const auto table = world.make();
    int opened = 0;
    for (uint16_t port = 1; port <= 20; ++port) {
      const Decision decision =
          forward_one(*table, world.state, tcp("192.0.2.1", "203.0.113.10", port, kTcpSyn), kSecond);
      if (decision.verdict == Verdict::forward) {
        ++opened;
      } else {
        EXPECT_EQ(name_of(decision.reason), "rate_limited");
      }
    }
    EXPECT_EQ(opened, 3);
    EXPECT_EQ(forward_one(*table, world.state, tcp("192.0.2.1", "203.0.113.10", 1, kTcpAck), kSecond).origin,
              FlowOrigin::hit);
    EXPECT_EQ(forward_one(*table, world.state, tcp("192.0.2.1", "203.0.113.10", 1, kTcpSyn), kSecond).origin,
              FlowOrigin::hit)
        << "a SYN that is sent again";
    EXPECT_EQ(
        forward_one(*table, world.state, tcp("192.0.2.1", "203.0.113.10", 99, kTcpAck), kSecond).verdict,
        Verdict::forward)
        << "a connection that stood before a restart opens nothing";
    const bool other =
        forward_one(*table, world.state, tcp("192.0.2.2", "203.0.113.10", 1, kTcpSyn), kSecond).verdict ==
        Verdict::forward;
    EXPECT_EQ(other, per == NewFlowLimit::Per::source);
  }
}

TEST(ForwardByHashInput, SendsAllFlowsOfASourceToOneBackend) {
  const struct {
    HashInput input;
    bool by_source, by_destination;
  } rows[] = {{HashInput::five_tuple, false, false},
              {HashInput::source, true, true},
              {HashInput::source_destination, true, false}};
  for (const auto& row : rows) {
    World world;
    world.parts.services[0].vip = address("203.0.113.0");
    world.parts.services[0].vip_length = 120;
    world.parts.services[0].hash_input = row.input;
    const auto table = world.make();
    std::set<uint32_t> of_one_source, of_one_port, over_destinations;
    for (uint16_t n = 1; n <= 60; ++n) {
      const auto backend = [&](const std::string& source, const std::string& vip, uint16_t port) {
        const Decision decision = forward_one(*table, world.state, tcp(source, vip, port, kTcpSyn), kSecond);
        EXPECT_EQ(decision.verdict, Verdict::forward);
        return decision.backend;
      };
      of_one_source.insert(backend("192.0.2.1", "203.0.113.10", n));
      of_one_port.insert(backend("192.0.2." + std::to_string(n), "203.0.113.10", 999));
      over_destinations.insert(backend("192.0.2.1", "203.0.113." + std::to_string(n), 999));
    }
    EXPECT_EQ(of_one_source.size() == 1, row.by_source);
    EXPECT_EQ(over_destinations.size() == 1, row.by_destination);
    EXPECT_GT(of_one_port.size(), 4u) << "sources are spread";
  }
}

TEST(ForwardToAPrefix, AnswersEchoAndRefusesItsAddressesAsSources) {
  World world;
  world.parts.services[0].vip = address("203.0.113.0");
  world.parts.services[0].vip_length = 120;
  const auto table = world.make();
  const auto echo = FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.113.77").icmp(8).build();
  EXPECT_EQ(forward_one(*table, world.state, echo, kSecond).verdict, Verdict::reply);
  const auto outside = FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.114.1").icmp(8).build();
  EXPECT_EQ(name_of(forward_one(*table, world.state, outside, kSecond).reason), "no_service");
  const Decision spoofed =
      forward_one(*table, world.state, tcp("203.0.113.5", "203.0.113.10", 1, kTcpSyn), kSecond);
  EXPECT_EQ(name_of(spoofed.reason), "martian");
}

}  // namespace
}  // namespace xebec
