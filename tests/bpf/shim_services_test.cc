// SPDX-License-Identifier: BSD-2-Clause
// Services that are more than a port at an address, by the real program: it must find what the workers' table finds.
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "dataplane/table.h"
#include "tests/bpf/loaded_shim.h"
#include "tests/unit/random_services.h"

namespace xebec::test {
namespace {

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}
IpPrefix prefix(std::string_view text) {
  return *IpPrefix::parse(text);
}

enum class Answer : uint8_t { passed, steered, denied };

Answer ask(LoadedShim& shim, const Bytes& frame) {
  const uint64_t steered = shim.counter(XEBEC_SHIM_NO_SOCKET), denied = shim.counter(XEBEC_SHIM_DENIED);
  const uint32_t verdict = shim.run(frame);
  const uint64_t more_steered = shim.counter(XEBEC_SHIM_NO_SOCKET) - steered;
  const uint64_t more_denied = shim.counter(XEBEC_SHIM_DENIED) - denied;
  if (more_denied == 1 && more_steered == 0 && verdict == XDP_DROP) return Answer::denied;
  if (more_steered == 1 && more_denied == 0 && verdict == XDP_DROP) return Answer::steered;
  EXPECT_EQ(verdict, static_cast<uint32_t>(XDP_PASS));
  EXPECT_EQ(more_steered + more_denied, 0u);
  return Answer::passed;
}

Bytes frame_of(const IpAddress& source, const RandomPacket& packet) {
  FrameBuilder frame = FrameBuilder().ethernet();
  if (packet.destination.is_v4()) {
    Ipv4Fields fields;
    fields.protocol = packet.protocol;
    frame.ipv4(source.to_string(), packet.destination.to_string(), fields);
  } else {
    Ipv6Fields fields;
    fields.next_header = packet.protocol;
    frame.ipv6(source.to_string(), packet.destination.to_string(), fields);
  }
  Bytes payload(20);
  payload[0] = 0x40;
  payload[2] = static_cast<uint8_t>(packet.port >> 8);
  payload[3] = static_cast<uint8_t>(packet.port);
  return frame.payload(payload).build();
}

Answer expected(const Table& table, const IpAddress& source, const RandomPacket& packet) {
  const uint32_t service =
      table.find_service(packet.destination, packet.protocol, Be16::from_host(packet.port));
  if (service == Table::kNone) return Answer::passed;
  const auto& sources = table.services()[service].sources;
  if (sources && !sources->allows(source)) return Answer::denied;
  return table.services()[service].no_backend == NoBackend::pass ? Answer::passed : Answer::steered;
}

IpAddress random_source(std::mt19937& random, bool v4) {
  IpAddress source = address(v4 ? "10.0.0.0" : "2001:db8:9::");
  source.bytes[15] = static_cast<uint8_t>(random() % 16);
  return source;
}

std::shared_ptr<const SourceRules> random_rules(std::mt19937& random, bool v4) {
  std::vector<IpPrefix> allow, deny;
  for (auto n = random() % 5; n > 0; --n) {
    const auto length = static_cast<uint8_t>(124 + random() % 5);
    const IpPrefix rule{masked(random_source(random, v4), length), length};
    const auto has = [&](const std::vector<IpPrefix>& list) {
      return std::find(list.begin(), list.end(), rule) != list.end();
    };
    if (!has(allow) && !has(deny)) (random() % 2 == 0 ? allow : deny).push_back(rule);
  }
  return allow.empty() && deny.empty() ? nullptr : std::make_shared<const SourceRules>(allow, deny);
}

class ShimServices : public testing::TestWithParam<VariableReads> {
 protected:
  ShimServices() : shim_(GetParam()) {}
  LoadedShim shim_;
};
INSTANTIATE_TEST_SUITE_P(Reads, ShimServices,
                         testing::Values(VariableReads::helper, VariableReads::packet_pointer),
                         [](const auto& row) {
                           return row.param == VariableReads::helper ? "Helper" : "PacketPointer";
                         });

TEST_P(ShimServices, AnswerAsTheTableDoesForRandomServicesRulesAndPackets) {
  std::mt19937 random(20260102);
  int seen[3] = {};
  for (int round = 0; round < 120; ++round) {
    std::vector<SteeredService> services;
    for (const ServiceMatch& match : random_services(random)) {
      const bool v4 = match.vip.network.is_v4();
      services.push_back({match, random() % 3 == 0 ? random_rules(random, v4) : nullptr, random() % 5 == 0});
    }
    const auto table = table_of(services);
    shim_.set_services(services);
    std::vector<ServiceMatch> matches;
    for (const SteeredService& s : services) matches.push_back(s.match);
    for (int n = 0; n < 150; ++n) {
      const RandomPacket packet = random_packet(random, matches);
      const IpAddress source = random_source(random, packet.destination.is_v4());
      const Answer wanted = expected(*table, source, packet);
      ASSERT_EQ(ask(shim_, frame_of(source, packet)), wanted)
          << "round " << round << ": " << source.to_string() << " -> " << packet.destination.to_string()
          << ' ' << int{packet.protocol} << ' ' << packet.port;
      ++seen[static_cast<int>(wanted)];
    }
  }
  EXPECT_GT(seen[0], 2'000);
  EXPECT_GT(seen[1], 4'000);
  EXPECT_GT(seen[2], 500);
}

TEST_P(ShimServices, SteerEveryPortOfARangeAndNoOtherOf65536) {
  shim_.set_services({{{prefix("203.0.113.10"), 8001, 8099, kProtoTcp}, nullptr},
                      {{prefix("2001:db8::/64"), 1, 1023, kProtoAny}, nullptr}});
  RandomPacket v4{address("203.0.113.10"), kProtoTcp, 0}, v6{address("2001:db8::5"), kProtoUdp, 0};
  for (uint32_t port = 0; port <= 65535; ++port) {
    v4.port = v6.port = static_cast<uint16_t>(port);
    ASSERT_EQ(shim_.steers(frame_of(address("10.0.0.1"), v4)), port >= 8001 && port <= 8099) << port;
    ASSERT_EQ(shim_.steers(frame_of(address("2001:db8:9::1"), v6)), port >= 1 && port <= 1023) << port;
  }
}

TEST_P(ShimServices, SteerEchoRequestsAndLaterFragmentsToEveryAddressOfAPrefix) {
  shim_.set_services({{{prefix("203.0.113.8/29"), 443, 0, kProtoTcp}, nullptr}});
  const auto echo = [](std::string_view to) {
    return FrameBuilder().ethernet().ipv4("10.0.0.1", to).icmp(8).build();
  };
  const auto later = [](std::string_view to) {
    return FrameBuilder()
        .ethernet()
        .ipv4("10.0.0.1", to, {.fragment_offset = 3, .protocol = kProtoUdp})
        .payload(Bytes(64))
        .build();
  };
  for (const char* vip : {"203.0.113.8", "203.0.113.12", "203.0.113.15"}) {
    EXPECT_TRUE(shim_.steers(echo(vip))) << vip;
    EXPECT_TRUE(shim_.steers(later(vip))) << vip;
  }
  for (const char* other : {"203.0.113.7", "203.0.113.16"}) {
    EXPECT_FALSE(shim_.steers(echo(other))) << other;
    EXPECT_FALSE(shim_.steers(later(other))) << other;
  }
}

TEST_P(ShimServices, SearchAsManyNestedPrefixesAsAreAllowed) {
  std::vector<SteeredService> services;
  for (uint16_t n = 0; n < XEBEC_MAX_NESTED_VIPS; ++n) {
    const auto length = static_cast<uint8_t>(104 + 2 * n);
    services.push_back(
        {{{masked(address("203.0.113.255"), length), length}, static_cast<uint16_t>(100 + n), 0, kProtoTcp},
         nullptr});
  }
  services.push_back({{prefix("203.0.113.255"), 99, 0, kProtoTcp}, nullptr});
  shim_.set_services(services);
  for (uint16_t port = 98; port <= 100 + XEBEC_MAX_NESTED_VIPS; ++port) {
    const bool wanted = port >= 99 && port < 100 + XEBEC_MAX_NESTED_VIPS;
    EXPECT_EQ(shim_.steers(frame_of(address("10.0.0.1"), {address("203.0.113.255"), kProtoTcp, port})),
              wanted)
        << port;
  }
}

TEST_P(ShimServices, PassWhatAServiceWithoutBackendsLeavesToTheHost) {
  const auto rules = std::make_shared<const SourceRules>(std::vector<IpPrefix>{},
                                                         std::vector<IpPrefix>{prefix("10.0.0.0/24")});
  const auto frame = [](std::string_view source, std::string_view to, uint16_t port) {
    return frame_of(address(source), {address(to), kProtoTcp, port});
  };
  const auto echo = FrameBuilder().ethernet().ipv4("10.0.1.7", "203.0.113.10").icmp(8).build();
  const auto later = FrameBuilder()
                         .ethernet()
                         .ipv4("10.0.1.7", "203.0.113.10", {.fragment_offset = 3, .protocol = kProtoUdp})
                         .payload(Bytes(64))
                         .build();
  const SteeredService web{{prefix("203.0.113.10"), 443, 0, kProtoTcp}, rules, true};
  SteeredService range{{prefix("203.0.113.10"), 8000, 8099, kProtoTcp}, nullptr, false};
  SteeredService net{{prefix("203.0.113.0/24"), 0, 0, kProtoAny}, nullptr, false};
  const auto set = [&](bool range_passes, bool net_passes) {
    range.passes = range_passes;
    net.passes = net_passes;
    shim_.set_services({web, range, net});
  };
  const auto passed = [&] { return shim_.counter(XEBEC_SHIM_PASSED); };

  set(false, false);
  EXPECT_EQ(ask(shim_, frame("10.0.1.7", "203.0.113.10", 443)), Answer::passed) << "not to the wider service";
  EXPECT_EQ(passed(), 1u);
  EXPECT_EQ(ask(shim_, frame("10.0.0.7", "203.0.113.10", 443)), Answer::denied);
  EXPECT_EQ(ask(shim_, frame("10.0.1.7", "203.0.113.10", 8050)), Answer::steered);
  EXPECT_EQ(ask(shim_, frame("10.0.1.7", "203.0.113.10", 80)), Answer::steered) << "the prefix's";
  EXPECT_EQ(ask(shim_, echo), Answer::steered) << "other services are at the address";
  EXPECT_EQ(ask(shim_, later), Answer::steered);

  set(true, false);
  EXPECT_EQ(ask(shim_, frame("10.0.1.7", "203.0.113.10", 8050)), Answer::passed);
  EXPECT_EQ(ask(shim_, echo), Answer::steered) << "the prefix is one of them";
  set(true, true);
  EXPECT_EQ(ask(shim_, frame("10.0.1.7", "203.0.113.77", 80)), Answer::passed);
  EXPECT_EQ(passed(), 3u);
  EXPECT_EQ(ask(shim_, echo), Answer::passed);
  EXPECT_EQ(ask(shim_, later), Answer::passed);
  EXPECT_EQ(passed(), 3u) << "what belongs to no service is not counted";
  set(false, true);
  EXPECT_EQ(ask(shim_, echo), Answer::steered);
  EXPECT_EQ(ask(shim_, frame("10.0.1.7", "203.0.113.10", 443)), Answer::passed);
}

TEST_P(ShimServices, DropADeniedSourceOnlyOfFramesSentToTheInterface) {
  const auto rules = std::make_shared<const SourceRules>(std::vector<IpPrefix>{},
                                                         std::vector<IpPrefix>{prefix("10.0.0.0/24")});
  shim_.set_services({{{prefix("203.0.113.10"), 443, 0, kProtoTcp}, rules}});
  const Bytes frame = frame_of(address("10.0.0.7"), {address("203.0.113.10"), kProtoTcp, 443});
  EXPECT_EQ(ask(shim_, frame), Answer::denied);
  EXPECT_EQ(ask(shim_, frame_of(address("10.0.1.7"), {address("203.0.113.10"), kProtoTcp, 443})),
            Answer::steered);
  EXPECT_EQ(ask(shim_, frame_of(address("10.0.0.7"), {address("203.0.113.10"), kProtoTcp, 80})),
            Answer::passed);
  shim_.configure(XDP_DROP, 0, {{2, 9, 9, 9, 9, 9}});
  EXPECT_EQ(ask(shim_, frame), Answer::passed) << "another host's frame, flooded by a switch";
}

}  // namespace
}  // namespace xebec::test
