// SPDX-License-Identifier: BSD-2-Clause
// What is said of a tuple: which service, which backend by which slot, and what would leave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/explain_world.h"

namespace xebec {
namespace {

using test::OfflineWorld;
using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

constexpr const char* kConfig = R"({
  "hash_seed": "000102030405060708090a0b0c0d0e0f",
  "interfaces": [{"name": "eth0", "local_mac": "02:00:00:00:00:02"}, {"name": "eth1"}],
  "tunnel": {"source_ipv4": "198.51.100.1"},
  "services": [
    {"name": "web", "vip": "203.0.113.10", "port": 443, "protocol": "tcp",
     "backends": [{"address": "10.0.1.11", "mac": "02:00:00:00:01:0b"}, {"address": "10.0.1.12", "weight": 300},
                  {"address": "10.0.1.13", "admin": "maint"}]},
    {"name": "rest", "vip": "203.0.113.10", "port": "any", "protocol": "udp", "mode": "ipip", "stateless": true,
     "backends": [{"address": "10.0.2.11"}]},
    {"name": "web6", "vip": "2001:db8::10", "port": 443, "protocol": "tcp", "mode": "ipip",
     "backends": [{"address": "2001:db8:2::11"}]},
    {"name": "idle", "vip": "203.0.113.20", "port": 443, "protocol": "tcp",
     "backends": [{"address": "10.0.1.14", "admin": "maint"}]}]})";

TEST(Explain, SaysWhichServiceMatchesAndWhy) {
  const OfflineWorld world(kConfig);
  const Json web = world.explain("10.0.0.1:5555", "203.0.113.10:443/tcp");
  EXPECT_EQ(web["schema"], "xebec.explain/1");
  EXPECT_EQ(web["verdict"], "forward");
  EXPECT_EQ(web["service"]["name"], "web");
  EXPECT_EQ(web["service"]["match"], "exact");
  const Json rest = world.explain("10.0.0.1:5555", "203.0.113.10:443/udp");
  EXPECT_EQ(rest["service"]["name"], "rest");
  EXPECT_EQ(rest["service"]["match"], "any");
  EXPECT_EQ(rest["service"]["stateless"], true);
}

TEST(Explain, NamesTheBackendThatForwardBatchChooses) {
  const OfflineWorld world(kConfig);
  const Service& web = world.table->services()[0];
  std::map<std::string, int> chosen;
  for (int port = 1000; port < 1100; ++port) {
    const Json json = world.explain("10.0.0.1:" + std::to_string(port), "203.0.113.10:443/tcp");
    const auto slot = json["slot"]["index"].get<std::size_t>();
    const uint32_t id = web.backend_ids.at(web.lookup->slots()[slot]);
    EXPECT_EQ(json["backend"]["address"], world.table->backends()[id].address.to_string());
    chosen[json["backend"]["address"]] += 1;
  }
  EXPECT_EQ(chosen.size(), 2u);
  EXPECT_GT(chosen["10.0.1.12"], 50);  // three of four
}

TEST(Explain, SaysWhereTheFrameGoesAndWhoSaidSo) {
  const OfflineWorld world(kConfig);
  std::map<std::string, Json> hops;
  for (int port = 1000; port < 1020; ++port) {
    const Json json = world.explain("10.0.0.1:" + std::to_string(port), "203.0.113.10:443/tcp");
    hops[json["backend"]["address"]] = json["next_hop"];
  }
  const Json expected_static = {{"mac", "02:00:00:00:01:0b"},
                                {"from", "configuration"},
                                {"source_mac", "02:00:00:00:00:02"},
                                {"interface", "eth0"},
                                {"mtu", 1500}};
  EXPECT_EQ(hops.at("10.0.1.11"), expected_static);
  EXPECT_EQ(hops.at("10.0.1.12")["mac"], "02:00:0a:00:01:0c");
  EXPECT_EQ(hops.at("10.0.1.12")["from"], "made-up");
}

TEST(Explain, MeasuresWhatLeavesAndHowLongAPacketMayBe) {
  struct Row {
    const char* source;
    const char* destination;
    uint32_t mtu;
    Json leaves;
  };
  const auto leaves = [](int shortest_in, int shortest_out, int longest_in, int overhead, Json source,
                         Json to) {
    return Json{{"shortest_in", shortest_in},
                {"shortest_out", shortest_out},
                {"longest_in", longest_in},
                {"longest_out", longest_in + overhead},
                {"overhead", overhead},
                {"outer_source", std::move(source)},
                {"outer_destination", std::move(to)}};
  };
  const Row rows[] = {
      {"10.0.0.1:1", "203.0.113.10:443/tcp", 1500, leaves(54, 60, 1514, 0, nullptr, nullptr)},
      {"10.0.0.1:1", "203.0.113.10:443/tcp", 9000, leaves(54, 60, 9014, 0, nullptr, nullptr)},
      {"10.0.0.1:1", "203.0.113.10:53/udp", 1500, leaves(42, 62, 1494, 20, "198.51.100.1", "10.0.2.11")},
      {"[2001:db8::7]:1", "[2001:db8::10]:443/tcp", 1500,
       leaves(74, 114, 1474, 40, "2001:db8::1", "2001:db8:2::11")},
      {"10.0.0.1:1", "203.0.113.10:443/tcp", 65535, leaves(54, 60, 65549, 0, nullptr, nullptr)},
  };
  for (const Row& row : rows) {
    const OfflineWorld world(kConfig, row.mtu);
    EXPECT_EQ(world.explain(row.source, row.destination)["leaves"], row.leaves)
        << row.destination << " MTU " << row.mtu;
  }
}

TEST(Explain, MeasuresWhatTellingTheClientsAddressAdds) {
  const std::string config = R"({"interfaces": [{"name": "eth0", "local_mac": "02:00:00:00:00:02"}],
    "nat": {"addresses": ["198.51.100.1", "2001:db8:51::1"]},
    "services": [
      {"name": "t", "vip": "203.0.113.10", "port": 1, "protocol": "tcp", "mode": "nat", "client_address": "toa",
       "backends": [{"address": "10.0.1.11"}]},
      {"name": "p", "vip": "203.0.113.10", "port": 2, "protocol": "tcp", "mode": "nat", "client_address": "proxy-v2",
       "backends": [{"address": "10.0.1.11"}]},
      {"name": "u", "vip": "2001:db8::10", "port": 2, "protocol": "udp", "mode": "nat", "client_address": "proxy-v2",
       "backends": [{"address": "2001:db8:1::11"}]}]})";
  struct Row {
    const char *source, *destination;
    int shortest_out, longest_in, overhead;
  };
  // Of opening packets: a SYN without data has no PROXY header, and one that fills the MTU no TCP option.
  const Row rows[] = {{"10.0.0.1:1", "203.0.113.10:1/tcp", 62, 1514, 0},
                      {"10.0.0.1:1", "203.0.113.10:2/tcp", 60, 1486, 28},
                      {"[2001:db8::7]:1", "[2001:db8::10]:2/udp", 62 + 52, 1462, 52}};
  const OfflineWorld world(config, 1500);
  for (const Row& row : rows) {
    const Json leaves = world.explain(row.source, row.destination)["leaves"];
    EXPECT_EQ(leaves["shortest_out"], row.shortest_out) << row.destination;
    EXPECT_EQ(leaves["longest_in"], row.longest_in) << row.destination;
    EXPECT_EQ(leaves["overhead"], row.overhead) << row.destination;
  }
}

TEST(Explain, SaysWhatAPickDependsOnBesideThePacket) {
  const auto config = [](const std::string& algorithm) {
    return R"({"interfaces": [{"name": "eth0"}], "services": [{"name": "web", "vip": "203.0.113.10", "port": 443,
      "protocol": "tcp", "algorithm": ")" +
           algorithm + R"(", "backends": [{"address": "10.0.1.11"}, {"address": "10.0.1.12"}]}]})";
  };
  struct Row {
    const char* algorithm;
    Json depends_on;
    bool slotted;
  };
  const Row rows[] = {
      {"maglev", nullptr, true}, {"source-hash", nullptr, true}, {"maglev-bounded", "flows", true},
      {"rr", "turns", false},    {"wrr", "turns", false},        {"random", "chance", false},
      {"lc", "flows", false},    {"wlc", "flows", false},        {"p2c", "flows", false}};
  for (const Row& row : rows) {
    const OfflineWorld world(config(row.algorithm));
    const Json json = world.explain("10.0.0.1:5555", "203.0.113.10:443/tcp");
    EXPECT_EQ(json["verdict"], "forward") << row.algorithm;
    EXPECT_EQ(json["service"]["algorithm"], row.algorithm);
    EXPECT_EQ(json["depends_on"], row.depends_on) << row.algorithm;
    EXPECT_EQ(json["slot"].is_object(), row.slotted) << row.algorithm;
    EXPECT_EQ(json["hash"].is_object(), row.slotted) << row.algorithm;
    EXPECT_FALSE(json["backend"].is_null());
  }
}

TEST(Explain, SaysWhyAServiceHasNoBackend) {
  const OfflineWorld world(kConfig);
  const Json idle = world.explain("10.0.0.1:5555", "203.0.113.20:443/tcp");
  EXPECT_EQ(idle["verdict"], "drop");
  EXPECT_EQ(idle["reason"], "no_backend");
  EXPECT_EQ(idle["service"]["name"], "idle");
  EXPECT_TRUE(idle["backend"].is_null());
  EXPECT_TRUE(idle["leaves"].is_null());
  EXPECT_EQ(idle["not_usable"], (Json::array({{{"address", "10.0.1.14"}, {"why", "in maintenance"}}})));
}

TEST(Explain, SaysWhatTheCoreDropsWhateverTheServiceIs) {
  const OfflineWorld world(kConfig);
  const Json json = world.explain("203.0.113.20:5555", "203.0.113.10:443/tcp");  // from a VIP
  EXPECT_EQ(json["verdict"], "drop");
  EXPECT_EQ(json["reason"], "martian");
  EXPECT_EQ(json["service"]["name"], "web");
}

TEST(Explain, NamesTheNearestServicesWhereNoneMatches) {
  const OfflineWorld world(kConfig);
  const auto near = [&](const std::string& destination) {
    const Json json = world.explain(destination[0] == '[' ? "[2001:db8::7]:1" : "10.0.0.1:1", destination);
    EXPECT_EQ(json["verdict"], "pass") << destination;
    EXPECT_TRUE(json["service"].is_null()) << destination;
    std::vector<std::string> out;
    for (const Json& row : json["nearest"])
      out.push_back(row["name"].get<std::string>() + row["differs"].dump());
    return out;
  };
  EXPECT_THAT(near("203.0.113.10:444/tcp"), ElementsAre("web[\"port\"]", "rest[\"protocol\"]"));
  EXPECT_THAT(near("203.0.113.21:443/tcp"), ElementsAre("idle[\"address\"]", "web[\"address\"]"));
  EXPECT_THAT(near("203.0.113.20:80/udp"), ElementsAre("idle[\"protocol\",\"port\"]", "rest[\"address\"]"));
  EXPECT_THAT(near("[2001:db8::11]:443/tcp"), ElementsAre("web6[\"address\"]"));
  EXPECT_THAT(near("[2001:db8::11]:80/tcp"), ElementsAre());
}

// What a worker does with the middle of a connection after a change of backends is part of the explanation.
TEST(Explain, SaysWhereAnUnknownConnectionGoesAfterAChange) {
  OfflineWorld world(kConfig);
  constexpr uint64_t kMinute = 60'000'000'000;
  Config changed = world.config;
  changed.services[0].backends.push_back({*IpAddress::parse("10.0.1.11"), 0, 100, Admin::ready, {}, {}});
  changed.services[0].backends.back().address = *IpAddress::parse("10.0.1.15");
  const OfflineNetwork network(changed);
  const auto table = world.builder.build(changed, network.view(), test::kStartNs + kMinute).value();
  int second = 0;
  for (int port = 1000; port < 1200; ++port) {
    const Tuple tuple = parse_tuple("10.0.0.1:" + std::to_string(port), "203.0.113.10:443/tcp").value();
    const ExplainWorld now{changed,       *table,
                           world.builder, [](uint16_t) { return std::string(); },
                           "made-up",     test::kStartNs + kMinute};
    const Json after = explain_tuple(now, tuple);
    const Json before = world.explain("10.0.0.1:" + std::to_string(port), "203.0.113.10:443/tcp");
    if (after["second_chance"].is_null()) {
      EXPECT_EQ(after["backend"]["address"], before["backend"]["address"]) << port;
    } else {
      EXPECT_EQ(after["second_chance"], before["backend"]["address"]) << port;
      EXPECT_NE(after["backend"]["address"], before["backend"]["address"]) << port;
      ++second;
    }
  }
  EXPECT_GT(second, 10);
}

TEST(ParseTuple, RefusesWhatIsNoTupleAndSaysWhatWouldBe) {
  struct Row {
    const char* source;
    const char* destination;
    const char* error;
  };
  const Row rows[] = {
      {"10.0.0.1", "203.0.113.10:443/tcp", "10.0.0.1: not of the form ADDR:PORT"},
      {"2001:db8::1:5", "[2001:db8::1]:443/tcp", "2001:db8::1:5: not of the form ADDR:PORT"},
      {"10.0.0.1:0", "203.0.113.10:443/tcp", "10.0.0.1:0: not of the form ADDR:PORT"},
      {"10.0.0.1:1", "203.0.113.10:443", "203.0.113.10:443: not of the form VIP:PORT/PROTO"},
      {"10.0.0.1:1", "203.0.113.10/tcp", "203.0.113.10/tcp: not of the form VIP:PORT/PROTO"},
      {"10.0.0.1:1", "203.0.113.10:70000/tcp", "203.0.113.10:70000/tcp: not of the form VIP:PORT/PROTO"},
      {"10.0.0.1:1", "203.0.113.10:443/icmp", "203.0.113.10:443/icmp: the protocol is one of: tcp, udp"},
      {"10.0.0.1:1", "[2001:db8::1]:443/tcp", "the addresses are of different families"},
      {"", "", ": not of the form ADDR:PORT"},
  };
  for (const Row& row : rows) {
    const auto tuple = parse_tuple(row.source, row.destination);
    ASSERT_FALSE(tuple) << row.error;
    EXPECT_THAT(tuple.error(), HasSubstr(row.error));
  }
  EXPECT_EQ(parse_tuple("[2001:db8::7]:5", "[2001:db8::1]:53/udp").value(),
            (Tuple{*IpAddress::parse("2001:db8::7"), *IpAddress::parse("2001:db8::1"), 5, 53, kProtoUdp}));
}

// ---- The network it is asked in ----

TEST(OfflineNetwork, TakesWhatTheConfigurationSaysAndMakesUpTheRest) {
  const OfflineWorld world(kConfig);
  EXPECT_THAT(
      world.network.notes(*world.table),
      ElementsAre("without a kernel's routes every packet leaves by the first interface, eth0",
                  HasSubstr("5 backends without \"mac\", taken to be at made-up addresses: 10.0.1.12 is "
                            "02:00:0a:00:01:0c, "),
                  "no \"tunnel\": \"source_ipv6\": a placeholder, 2001:db8::1, is the outer source"));
  // eth1 has no local_mac, so nothing is known of the address a frame should be sent to.
  EXPECT_TRUE(world.network.local_macs().empty());
}

TEST(OfflineNetwork, SaysThatASeedAnInterfaceAndAddressesAreMissing) {
  const OfflineWorld world(R"({"services": [{"name": "s", "vip": "192.0.2.9", "port": 1, "protocol": "tcp",
                              "backends": [{"address": "10.0.0.1", "mac": "02:00:00:00:01:0b"}]}]})");
  EXPECT_THAT(
      world.network.notes(*world.table),
      ElementsAre("the configuration has no interface: one is assumed",
                  HasSubstr("has no \"local_mac\": it is taken to be 0a:"), HasSubstr("no \"hash_seed\"")));
  EXPECT_EQ(world.explain("10.0.0.1:1", "192.0.2.9:1/tcp")["backend"]["usable"], true);
}

TEST(OfflineNetwork, HasNothingToSayOfACompleteConfiguration) {
  const OfflineWorld world(R"({"hash_seed": "000102030405060708090a0b0c0d0e0f",
      "interfaces": [{"name": "e", "local_mac": "02:00:00:00:00:02"}], "tunnel": {"source_ipv4": "198.51.100.1"},
      "services": [{"name": "s", "vip": "192.0.2.9", "port": 1, "protocol": "tcp", "mode": "ipip",
                    "backends": [{"address": "10.0.0.1", "mac": "02:00:00:00:01:0b"}]}]})");
  EXPECT_THAT(world.network.notes(*world.table), ElementsAre());
  EXPECT_THAT(world.network.local_macs(), ElementsAre(MacAddress{{2, 0, 0, 0, 0, 2}}));
}

TEST(MadeUpMac, IsLocallyAdministeredUnicastAndOfTheAddressAlone) {
  EXPECT_EQ(to_string(made_up_mac(*IpAddress::parse("10.1.2.3"))), "02:00:0a:01:02:03");
  const IpAddress six = *IpAddress::parse("2001:db8::1"), other = *IpAddress::parse("2001:db8::2");
  for (const MacAddress& mac : {made_up_mac(six), made_up_mac(std::string("eth0"))}) {
    EXPECT_EQ(mac.bytes[0] & 3, 2) << to_string(mac);
  }
  EXPECT_EQ(made_up_mac(six), made_up_mac(six));
  EXPECT_FALSE(made_up_mac(six) == made_up_mac(other));
  EXPECT_FALSE(made_up_mac(std::string("eth0")) == made_up_mac(std::string("eth1")));
}

}  // namespace
}  // namespace xebec
