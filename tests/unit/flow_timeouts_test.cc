// SPDX-License-Identifier: BSD-2-Clause
// Services with timeouts of their own: in the configuration, as classes of a table, in the workers' flow tables.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include <fmt/format.h>

#include "control/config_reader.h"
#include "control/timeout_classes.h"
#include "dataplane/forward.h"
#include "tests/unit/forward_world.h"

namespace xebec::test {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

std::string services(const std::string& keys, const std::string& defaults = "{}") {
  return fmt::format(R"({{ "version": 1, "interfaces": [ {{ "name": "eth0" }} ], "defaults": {},
  "services": [ {{ "name": "dns", "vip": "203.0.113.10", "port": 53, "protocol": "udp", "backends": [ {{ "address": "10.0.1.11" }} ] {} }} ] }})",
                     defaults, keys);
}

std::string first_error(const std::string& text) {
  const auto read = read_config(text, "f");
  return read ? "" : read.error().front().pointer + ": " + read.error().front().message;
}

TEST(FlowTimeouts, OfAServiceAreItsOwnAndTheRestIsInherited) {
  const auto read =
      read_config(services(R"(, "timeouts": { "udp_s": 5 })", R"({ "timeouts": { "tcp_syn_s": 7 } })"), "f");
  ASSERT_TRUE(read);
  const FlowTimeouts wanted{.established_s = 3600, .syn_s = 7, .fin_s = 10, .udp_s = 5};
  EXPECT_EQ(read->services[0].timeouts, wanted);
  const auto again = read_config(write_config(*read, true).dump(), "again");
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *read);
  EXPECT_FALSE(read_config(services(""), "f").value().services[0].timeouts.has_value());
}

TEST(FlowTimeouts, ThatCannotBeMeantAreRefusedWhereTheyStand) {
  EXPECT_EQ(first_error(services(R"(, "timeouts": { "udp_s": 0 })")),
            "/services/0/timeouts/udp_s: 0 is out of range 1..604800");
  EXPECT_EQ(first_error(services(R"(, "stateless": true, "timeouts": {})")),
            "/services/0/timeouts: the service is stateless, no flow of it is remembered");
}

TEST(FlowTimeouts, ThirtyOneSetsAreTakenAndNotOneMore) {
  for (const std::size_t sets : {std::size_t{31}, std::size_t{32}}) {
    Config config;
    config.interfaces = {InterfaceConfig{"eth0", 0, {}}};
    std::string text = R"({ "version": 1, "interfaces": [ { "name": "eth0" } ], "services": [)";
    for (std::size_t i = 0; i < sets + 1; ++i) {  // the last one has the set of the one before
      text += fmt::format(R"({}{{ "name": "s{}", "vip": "203.0.113.10", "port": {}, "protocol": "udp",
          "timeouts": {{ "udp_s": {} }} }})",
                          i == 0 ? "" : ",", i, i + 1, 100 + std::min(i, sets - 1));
    }
    const std::string error = first_error(text + "] }");
    if (sets == 31) {
      EXPECT_EQ(error, "");
    } else {
      EXPECT_EQ(error, "/services/31/timeouts: more than 31 different sets of timeouts beside the defaults");
    }
  }
}

TEST(TimeoutClasses, KeepWhoIsWantedAndReuseTheOneUnusedForLongest) {
  TimeoutClasses classes;
  const auto set = [](uint32_t udp_s) { return FlowTimeouts{.udp_s = udp_s}; };
  classes.assign({}, {set(1), set(2)});
  const uint8_t one = classes.of(set(1)), two = classes.of(set(2));
  EXPECT_EQ(classes.of({}), 0);
  EXPECT_NE(one, 0);
  EXPECT_NE(two, 0);
  EXPECT_NE(one, two);
  classes.assign({}, {set(2)});
  std::set<FlowTimeouts> many;
  for (uint32_t i = 0; i < 30; ++i) many.insert(set(1000 + i));
  many.insert(set(2));
  classes.assign({}, many);
  EXPECT_EQ(classes.of(set(2)), two);
  EXPECT_EQ(classes.all().size(), kTimeoutClasses);
  EXPECT_EQ(classes.of(set(1)), 0) << "its class was needed";
  for (const FlowTimeouts& t : many) EXPECT_EQ(classes.all().at(classes.of(t)), t);
  classes.assign(set(77), {});
  EXPECT_EQ(classes.all().at(0), set(77));
}

Bytes datagram(const char* vip, uint16_t source_port) {
  return FrameBuilder().ethernet().ipv4("192.0.2.1", vip).udp(source_port, 53).payload("x").build();
}

/// Two UDP services, the second with a class of its own.
struct World {
  TableStory story;
  uint32_t plain = story.service("203.0.113.10", kProtoUdp, 53);
  uint32_t backend = story.backend("10.0.1.11");
  uint32_t other = story.service("203.0.113.11", kProtoUdp, 53);
  uint32_t other_backend = story.backend("10.0.1.12");
  ForwardState state{FlowTableConfig{.capacity = 1024, .timeouts = {}}};
  uint64_t now = 100 * kSecond;

  std::unique_ptr<const Table> table(uint64_t generation, std::vector<FlowTimeouts> timeouts,
                                     uint8_t of_other) {
    story.service_at(other).timeout_class = of_other;
    TableParts parts = story.parts();
    parts.generation = generation;
    parts.timeouts = std::move(timeouts);
    return Table::make(std::move(parts));
  }
  FlowOrigin send(const Table& table, const char* vip) {
    const HeapFrame frame(datagram(vip, 4000));
    Packet packet = frame.packet();
    Decision decision;
    forward_batch(table, state, {&packet, 1}, {&decision, 1}, now);
    return decision.origin;
  }
};

TEST(FlowTimeouts, ExpireEachServicesFlowsByItsOwn) {
  World w;
  const auto table = w.table(1, {{.udp_s = 30}, {.udp_s = 5}}, 1);
  EXPECT_EQ(w.send(*table, "203.0.113.10"), FlowOrigin::created);
  EXPECT_EQ(w.send(*table, "203.0.113.11"), FlowOrigin::created);
  w.now += 4 * kSecond;
  EXPECT_EQ(w.send(*table, "203.0.113.11"), FlowOrigin::hit);
  w.now += 6 * kSecond;
  EXPECT_EQ(w.send(*table, "203.0.113.11"), FlowOrigin::created);
  EXPECT_EQ(w.send(*table, "203.0.113.10"), FlowOrigin::hit);
}

TEST(FlowTimeouts, OfTheNextTableHoldForFlowsThatAreThere) {
  World w;
  const auto before = w.table(1, {{.udp_s = 30}}, 0);
  EXPECT_EQ(w.send(*before, "203.0.113.10"), FlowOrigin::created);
  w.now += 20 * kSecond;
  const auto after = w.table(2, {{.udp_s = 10}}, 0);
  EXPECT_EQ(w.send(*after, "203.0.113.10"), FlowOrigin::created);
}

TEST(FlowTimeouts, AreSweptByThoseOfTheirClass) {
  World w;
  const auto table = w.table(1, {{.udp_s = 30}, {.udp_s = 5}}, 1);
  w.send(*table, "203.0.113.10");
  w.send(*table, "203.0.113.11");
  for (int i = 0; i < 100; ++i) housekeep(*table, w.state, w.now += kSecond / 10);
  EXPECT_EQ(w.state.flows.stats().used, 1u);
  EXPECT_EQ(w.state.flows.counts().of(w.backend).flows, 1u);
  EXPECT_EQ(w.state.flows.counts().of(w.other_backend).flows, 0u);
}

TEST(FlowTimeouts, OfAClassOutliveEveryStateOfAConnection) {
  FlowTable flows({.capacity = 16, .timeouts = {}});
  const FlowTimeouts classes[] = {{}, {.established_s = 100, .syn_s = 2, .fin_s = 4, .udp_s = 1}};
  flows.set_timeouts(classes);
  FlowKey key{};
  key.protocol = kProtoTcp;
  const FlowProbe probe = flows.probe(0x123456789abcdef0);
  uint64_t now = 100 * kSecond;
  ASSERT_TRUE(flows.insert(key, probe, 3, kTcpSyn, now, 1));
  EXPECT_FALSE(flows.peek(key, probe, now + 3 * kSecond).found()) << "half open for 2 s";
  EXPECT_TRUE(flows.lookup(key, probe, kTcpAck, now += kSecond).found());
  EXPECT_TRUE(flows.peek(key, probe, now + 99 * kSecond).found());
  EXPECT_FALSE(flows.peek(key, probe, now + 101 * kSecond).found()) << "established for 100 s";
  EXPECT_TRUE(flows.lookup(key, probe, kTcpFin | kTcpAck, now += kSecond).found());
  EXPECT_TRUE(flows.peek(key, probe, now + 3 * kSecond).found());
  EXPECT_FALSE(flows.peek(key, probe, now + 5 * kSecond).found()) << "closing for 4 s";
  EXPECT_EQ(flows.counts().of(3).flows, 1u);
  EXPECT_EQ(flows.counts().of(3).open, 0u);
}

TEST(FlowTimeouts, ATableWithAClassThatHasNoTimeoutsIsRefused) {
  World w;
  EXPECT_THROW(w.table(1, {{}}, 1), std::invalid_argument);
  EXPECT_THROW(w.table(1, std::vector<FlowTimeouts>(kTimeoutClasses + 1), 0), std::invalid_argument);
}

}  // namespace
}  // namespace xebec::test
