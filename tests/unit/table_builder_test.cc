// SPDX-License-Identifier: BSD-2-Clause
// Configuration + a made-up network -> table.
#include "control/table_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace xebec {
namespace {

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
MacAddress mac(uint8_t last) {
  return {{2, 0, 0, 0, 0, last}};
}

/// A network with one interface (ifindex 7) in which every address the test names is reachable.
class TableBuilderTest : public ::testing::Test {
 protected:
  TableBuilderTest() : builder_({1, 2, 3}) {
    network_.links = {{7, "eth0", mac(0xee), 1500}};
    network_.find_hop = [this](const IpAddress& a) -> const ResolvedHop* {
      const auto it = hops_.find(a);
      return it == hops_.end() ? nullptr : &it->second;
    };
    ServiceConfig service;
    service.name = "web";
    service.vip = ip("203.0.113.10");
    service.port = 80;
    config_.services.push_back(service);
    for (uint8_t i = 1; i <= 4; ++i) add_backend(i);
  }

  static IpAddress backend(uint8_t i) { return ip("10.0.0." + std::to_string(i)); }
  void add_backend(uint8_t i) {
    BackendConfig b;
    b.address = backend(i);
    config_.services[0].backends.push_back(b);
    ResolvedHop hop;
    hop.state = ResolvedHop::State::reachable;
    hop.ifindex = 7;
    hop.mac = mac(i);
    hop.preferred_source = ip("10.0.0.254");
    hops_[b.address] = hop;
  }
  const Table& build() {
    auto table = builder_.build(config_, network_, now_, health_);
    EXPECT_TRUE(table.has_value()) << (table ? "" : table.error());
    last_ = std::move(*table);
    return *last_;
  }
  const BackendStatus& status(uint8_t i) { return builder_.status().at({"web", backend(i)}); }
  std::set<uint32_t> picked() {
    const Service& s = last_->services()[0];
    std::set<uint32_t> ids;
    for (const uint16_t slot : s.lookup->slots()) ids.insert(s.backend_ids[slot]);
    return ids;
  }

  void set_down(std::set<uint8_t> down) {
    health_.why_down = [down](const ServiceConfig&, const BackendConfig& b) -> std::string {
      return down.contains(b.address.bytes[15]) ? "down: connection refused after 3 of 3" : "";
    };
  }
  void add_fallback(uint8_t i) {
    add_backend(i);
    config_.services[0].fallback = {config_.services[0].backends.back()};
    config_.services[0].backends.pop_back();
  }

  Config config_;
  NetworkView network_;
  HealthView health_;
  std::map<IpAddress, ResolvedHop> hops_;
  TableBuilder builder_;
  uint64_t now_ = 1'000'000'000'000;
  std::unique_ptr<const Table> last_;
};

TEST_F(TableBuilderTest, ResolvesEveryBackendToItsNextHop) {
  const Table& table = build();
  ASSERT_EQ(table.services().size(), 1u);
  for (uint8_t i = 1; i <= 4; ++i) {
    const Backend& b = table.backends()[status(i).id];
    EXPECT_TRUE(b.usable);
    EXPECT_EQ(b.next_hop.destination, mac(i));
    EXPECT_EQ(b.next_hop.source, mac(0xee));
    EXPECT_EQ(b.next_hop.mtu, 1500);
    EXPECT_NEAR(status(i).share, 0.25, 0.01);
  }
}

TEST_F(TableBuilderTest, LeavesOutABackendWhoseNeighbourDoesNotAnswerAndSaysWhy) {
  hops_[backend(2)].state = ResolvedHop::State::failed;
  build();
  EXPECT_FALSE(status(2).usable);
  EXPECT_EQ(status(2).why, "10.0.0.2 does not answer ARP on eth0");
  EXPECT_FALSE(picked().contains(status(2).id));
  EXPECT_EQ(status(2).share, 0);
}

TEST_F(TableBuilderTest, PushesTheTagOfTheVlanDeviceThatTheRouteLeavesBy) {
  network_.vlans = {{12, 0, 7, mac(0x77), 1496}, {13, 0, 9, mac(0xee), 9000}};
  hops_[backend(1)].ifindex = 12;
  hops_[backend(2)].ifindex = 13;
  hops_[backend(3)].ifindex = 14;
  config_.services[0].backends[1].vlan = 30;
  const Table& table = build();
  const NextHop& by_7 = table.backends()[status(1).id].next_hop;
  EXPECT_EQ(by_7.vlan, 7);
  EXPECT_EQ(by_7.interface, 0);
  EXPECT_EQ(by_7.source, mac(0x77));
  EXPECT_EQ(by_7.destination, mac(1));
  EXPECT_EQ(by_7.mtu, 1496);
  const NextHop& by_9 = table.backends()[status(2).id].next_hop;
  EXPECT_EQ(by_9.vlan, 30) << "the configuration has the last word";
  EXPECT_EQ(by_9.mtu, 1500) << "no more than the interface below";
  EXPECT_FALSE(status(3).usable);
  EXPECT_EQ(status(3).why, "its route leads out of an interface (ifindex 14) that xebec does not serve");
  EXPECT_EQ(table.backends()[status(4).id].next_hop.vlan, kVlanKeep);

  // While the neighbour on another VLAN is asked for, the last one's address is of no use.
  hops_[backend(1)] = {ResolvedHop::State::resolving, 13, {}, {}, {}};
  build();
  EXPECT_FALSE(status(1).usable);
}

TEST_F(TableBuilderTest, GivesTheServersOfQuicIdsTheirBackends) {
  ServiceConfig& service = config_.services[0];
  service.protocol = kProtoUdp;
  service.hash = HashInput::quic;
  service.quic = QuicConfig{QuicFormat::katran, {}};
  for (uint8_t i = 1; i <= 3; ++i) service.backends[i - 1].server_ids = {ServerId{{i}, 1}};
  hops_[backend(2)].state = ResolvedHop::State::failed;
  const Service& built = build().services()[0];
  const auto found = [&](uint8_t server) {
    const uint8_t packet[] = {0x43, 0x80, 0, 0, server, 0, 0, 0, 0};
    return built.quic->find(packet);
  };
  EXPECT_EQ(found(1), status(1).id);
  EXPECT_EQ(found(2), status(2).id) << "whether it takes packets is asked when one comes";
  EXPECT_EQ(found(4), QuicRoutes::kNone);
}

TEST_F(TableBuilderTest, KeepsTheLastAddressOfANeighbourThatIsAskedAgain) {
  build();
  hops_[backend(2)].state = ResolvedHop::State::resolving;
  hops_[backend(2)].mac = {};
  const Table& table = build();
  EXPECT_TRUE(status(2).usable);
  EXPECT_EQ(table.backends()[status(2).id].next_hop.destination, mac(2));
}

TEST_F(TableBuilderTest, DoesNotInventAnAddressForANeighbourNeverSeen) {
  hops_[backend(2)].state = ResolvedHop::State::resolving;
  build();
  EXPECT_FALSE(status(2).usable);
  EXPECT_EQ(status(2).why, "link-layer address not known yet, the kernel is asking");
}

TEST_F(TableBuilderTest, RefusesARouteOutOfAnInterfaceThatIsNotServed) {
  hops_[backend(3)].ifindex = 9;
  build();
  EXPECT_FALSE(status(3).usable);
  EXPECT_NE(status(3).why.find("does not serve"), std::string::npos) << status(3).why;
}

TEST_F(TableBuilderTest, TakesAStaticAddressWithoutRouteIfThereIsOneInterface) {
  hops_.erase(backend(1));
  config_.services[0].backends[0].mac = mac(0x77);
  const Table& table = build();
  EXPECT_TRUE(status(1).usable);
  EXPECT_EQ(table.backends()[status(1).id].next_hop.destination, mac(0x77));
}

TEST_F(TableBuilderTest, TakesTheTunnelSourceOfTheConfigurationElseOfTheRoute) {
  config_.services[0].mode = Mode::ipip;
  EXPECT_EQ(build().backends()[status(1).id].tunnel_source, ip("10.0.0.254"));
  config_.tunnel.source_ipv4 = TunnelSource{ip("192.0.2.99"), 0};
  EXPECT_EQ(build().backends()[status(1).id].tunnel_source, ip("192.0.2.99"));
}

TEST_F(TableBuilderTest, RefusesATunnelWithoutSource) {
  config_.services[0].mode = Mode::ipip;
  hops_[backend(1)].preferred_source.reset();
  build();
  EXPECT_FALSE(status(1).usable);
  EXPECT_NE(status(1).why.find("/tunnel/source_ipv4"), std::string::npos);
}

TEST_F(TableBuilderTest, HandsOnWhatIsSaidOfIcmpAndTheMss) {
  config_.icmp = {5, 6};
  config_.services[0].mss_clamp = 1300;
  EXPECT_EQ(build().icmp(), (IcmpPolicy{5, 6}));
  EXPECT_EQ(last_->services()[0].mss_clamp, 1300);
}

TEST_F(TableBuilderTest, KeepsIdsAndLookupArraysAcrossTables) {
  build();
  const uint32_t id = status(3).id;
  const auto lookup = last_->services()[0].lookup;
  build();
  EXPECT_EQ(status(3).id, id);
  EXPECT_EQ(last_->services()[0].lookup, lookup) << "nothing changed: the array is shared, not built again";
  config_.services[0].backends[0].weight = 50;
  build();
  EXPECT_EQ(status(3).id, id);
  EXPECT_NE(last_->services()[0].lookup, lookup);
}

TEST_F(TableBuilderTest, KeepsReplacedBackendsUntilTheFirstNewOneIsReachable) {
  build();
  const std::set<uint32_t> old = picked();
  config_.services[0].backends.clear();
  add_backend(11);
  add_backend(12);
  for (const uint8_t i : {uint8_t{11}, uint8_t{12}}) hops_[backend(i)].state = ResolvedHop::State::resolving;
  build();
  EXPECT_EQ(picked(), old) << "nobody else can take the packets yet";
  build();
  EXPECT_EQ(picked(), old) << "and so it stays while the kernel asks";
  hops_[backend(12)].state = ResolvedHop::State::reachable;
  build();
  EXPECT_EQ(picked(), std::set<uint32_t>{status(12).id});
  for (const uint32_t id : old) EXPECT_FALSE(last_->backends()[id].usable);
}

TEST_F(TableBuilderTest, KeepsReplacedBackendsThatLeaveUntilTheFirstNewOneIsReachable) {
  build();
  for (BackendConfig& b : config_.services[0].backends) b.admin = Admin::drain;
  health_.removed = [](const ServiceConfig&, const BackendConfig& b) { return b.admin == Admin::drain; };
  add_backend(5);
  hops_[backend(5)].state = ResolvedHop::State::resolving;
  build();
  EXPECT_EQ(picked().size(), 4u) << "new flows go to those of before as long as nobody else can have them";
  EXPECT_TRUE(status(1).removed);
  EXPECT_EQ(builder_.tally().backends, 1u);
  hops_[backend(5)].state = ResolvedHop::State::reachable;
  build();
  EXPECT_EQ(picked(), std::set<uint32_t>{status(5).id});
  EXPECT_TRUE(last_->backends()[status(1).id].usable) << "their flows go on";
  EXPECT_EQ(builder_.tally().usable, 1u);
}

TEST_F(TableBuilderTest, CallsItNoFaultWhenABackendThatLeavesGoesDown) {
  config_.services[0].backends[0].admin = Admin::drain;
  health_.removed = [](const ServiceConfig&, const BackendConfig& b) { return b.admin == Admin::drain; };
  health_.why_down = [](const ServiceConfig&, const BackendConfig& b) -> std::string {
    return b.admin == Admin::drain ? "down: gone" : "";
  };
  build();
  EXPECT_TRUE(status(1).down);
  EXPECT_TRUE(status(1).by_intent);
}

TEST_F(TableBuilderTest, LetsReplacedBackendsGoWhenTheNewOnesDoNotAnswer) {
  build();
  config_.services[0].backends.clear();
  add_backend(11);
  hops_[backend(11)].state = ResolvedHop::State::resolving;
  build();
  hops_[backend(11)].state = ResolvedHop::State::failed;
  EXPECT_TRUE(build().services()[0].lookup->empty());
}

TEST_F(TableBuilderTest, KeepsNoBackendThatTheConfigurationStillHas) {
  build();
  config_.services[0].backends.resize(1);
  config_.services[0].backends[0].admin = Admin::maint;
  add_backend(11);
  hops_[backend(11)].state = ResolvedHop::State::resolving;
  EXPECT_TRUE(build().services()[0].lookup->empty());
}

TEST_F(TableBuilderTest, GivesARemovedBackendsIdToNobodySoon) {
  build();
  const uint32_t id = status(1).id;
  config_.services[0].backends.erase(config_.services[0].backends.begin());
  build();
  EXPECT_FALSE(last_->backends()[id].usable);
  for (uint8_t i = 10; i < 60; ++i) add_backend(i);
  build();
  for (uint8_t i = 10; i < 60; ++i) EXPECT_NE(status(i).id, id);
}

TEST_F(TableBuilderTest, WeightZeroTakesNoNewFlowsButKeepsItsOwn) {
  config_.services[0].backends[0].weight = 0;
  const Table& table = build();
  EXPECT_TRUE(table.backends()[status(1).id].usable);
  EXPECT_FALSE(picked().contains(status(1).id));
}

TEST_F(TableBuilderTest, MaintenanceTakesNothing) {
  config_.services[0].backends[0].admin = Admin::maint;
  const Table& table = build();
  EXPECT_FALSE(table.backends()[status(1).id].usable);
  EXPECT_FALSE(picked().contains(status(1).id));
  EXPECT_EQ(status(1).why, "in maintenance");
}

TEST_F(TableBuilderTest, DrainTakesNoNewFlowsAndKeepsItsOwnUntilItIsDrained) {
  config_.services[0].backends[1].admin = Admin::drain;
  bool drained = false;
  health_.drained = [&](const ServiceConfig&, const BackendConfig&) { return drained; };
  const Table& table = build();
  EXPECT_TRUE(table.backends()[status(2).id].usable);
  EXPECT_FALSE(picked().contains(status(2).id));
  EXPECT_EQ(status(2).share, 0);
  drained = true;
  const Table& after = build();
  EXPECT_FALSE(after.backends()[status(2).id].usable);
  EXPECT_EQ(status(2).why, "drained");
  EXPECT_TRUE(status(2).by_intent);
  EXPECT_TRUE(after.backends()[status(1).id].usable);
  hops_[backend(2)].state = ResolvedHop::State::failed;  // it may be switched off now
  build();
  EXPECT_TRUE(status(2).by_intent);
}

TEST_F(TableBuilderTest, AllInDrainLeavesNewFlowsToTheFallback) {
  add_fallback(5);
  for (BackendConfig& b : config_.services[0].backends) b.admin = Admin::drain;
  build();
  EXPECT_EQ(picked(), std::set{status(5).id});
  EXPECT_TRUE(last_->backends()[status(1).id].usable);
}

TEST_F(TableBuilderTest, BuildsAServiceWithoutBackends) {
  config_.services[0].backends.clear();
  const Table& table = build();
  EXPECT_TRUE(table.services()[0].lookup->empty());
}

constexpr uint64_t kLong =
    10 * kSecondChanceNs;  // an array that stood for so long has placed many connections

// At a start neighbours answer one after the other, and each makes an array that placed nobody.
TEST_F(TableBuilderTest, AsksNoArrayOfWhichThereWasNoTimeToPlaceMuch) {
  for (auto& [address, hop] : hops_) hop.state = ResolvedHop::State::resolving;
  for (uint8_t i = 1; i <= 4; ++i) {
    hops_[backend(i)].state = ResolvedHop::State::reachable;
    EXPECT_EQ(build().services()[0].previous, nullptr) << int{i};
    now_ += 1'000'000'000;
  }
  now_ += kLong;
  add_backend(5);
  EXPECT_NE(build().services()[0].previous, nullptr);
}

TEST_F(TableBuilderTest, KeepsTheLookupArrayOfBeforeAChangeForItsTime) {
  const auto previous = [&]() -> const PreviousLookup* { return build().services()[0].previous.get(); };
  EXPECT_EQ(previous(), nullptr);
  const auto first = last_->services()[0].lookup;
  const auto first_ids = last_->services()[0].backend_ids;
  EXPECT_EQ(previous(), nullptr) << "nothing has changed";
  now_ += kLong;
  add_backend(5);
  ASSERT_NE(previous(), nullptr);
  EXPECT_EQ(last_->services()[0].previous->lookup, first);
  EXPECT_EQ(last_->services()[0].previous->backend_ids, first_ids);
  EXPECT_EQ(last_->services()[0].previous->until_ns, now_ + kSecondChanceNs);
  const uint64_t until = now_ + kSecondChanceNs;
  now_ = until - 1;
  ASSERT_NE(previous(), nullptr) << "a table in between changes nothing";
  EXPECT_EQ(last_->services()[0].previous->until_ns, until);
  now_ = until;
  EXPECT_EQ(previous(), nullptr);
}

// A backend that flaps must not send its connections to where the moment without it would have had them.
TEST_F(TableBuilderTest, AsksNothingOnceTheArrayOfBeforeIsBack) {
  build();
  now_ += kLong;
  hops_[backend(4)].state = ResolvedHop::State::failed;
  EXPECT_NE(build().services()[0].previous, nullptr);
  now_ += 300'000'000;
  hops_[backend(4)].state = ResolvedHop::State::reachable;
  EXPECT_EQ(build().services()[0].previous, nullptr);
}

TEST_F(TableBuilderTest, AsksTheArrayThatStoodForLongWhenChangesFollowEachOther) {
  const auto stood = build().services()[0].lookup;
  now_ += kLong;
  for (uint8_t i = 5; i <= 8; ++i) {
    add_backend(i);
    ASSERT_NE(build().services()[0].previous, nullptr);
    EXPECT_EQ(last_->services()[0].previous->lookup, stood);
    EXPECT_EQ(last_->services()[0].previous->until_ns, now_ + kSecondChanceNs);
    now_ += 1'000'000'000;
  }
}

TEST_F(TableBuilderTest, ForgetsWhatStoodBeforeAStatelessTime) {
  build();
  now_ += kLong;
  config_.services[0].stateless = true;
  build();
  add_backend(5);
  build();
  config_.services[0].stateless = false;
  EXPECT_EQ(build().services()[0].previous, nullptr);
}

TEST_F(TableBuilderTest, TakesNoServiceWithoutBackendsForWhatWasBefore) {
  build();
  const auto first = last_->services()[0].lookup;
  for (auto& [address, hop] : hops_) hop.state = ResolvedHop::State::failed;
  build();
  EXPECT_TRUE(last_->services()[0].lookup->empty());
  EXPECT_EQ(last_->services()[0].previous, nullptr);
  now_ += kLong;
  for (auto& [address, hop] : hops_) hop.state = ResolvedHop::State::reachable;
  hops_[backend(4)].state = ResolvedHop::State::failed;
  build();
  ASSERT_NE(last_->services()[0].previous, nullptr);
  EXPECT_EQ(last_->services()[0].previous->lookup->slots().size(), first->slots().size());
  EXPECT_FALSE(last_->services()[0].previous->lookup->empty());
}

TEST_F(TableBuilderTest, GivesAStatelessServiceNoSecondChance) {
  config_.services[0].stateless = true;
  build();
  now_ += kLong;
  add_backend(5);
  EXPECT_EQ(build().services()[0].previous, nullptr);
}

TEST_F(TableBuilderTest, CountsGenerationsUp) {
  build();
  const uint64_t first = last_->generation();
  build();
  EXPECT_EQ(last_->generation(), first + 1);
}

TEST_F(TableBuilderTest, GivesABackendThatIsDownNoPacketsAndMovesNoOtherSlotThanItsOwn) {
  build();
  const std::vector<uint16_t> before(last_->services()[0].lookup->slots().begin(),
                                     last_->services()[0].lookup->slots().end());
  const std::vector<uint32_t> ids = last_->services()[0].backend_ids;
  const auto old = std::move(last_);
  set_down({2});
  build();
  EXPECT_FALSE(status(2).usable);
  EXPECT_TRUE(status(2).down);
  EXPECT_FALSE(status(2).by_intent);
  EXPECT_EQ(status(2).why, "down: connection refused after 3 of 3");
  EXPECT_FALSE(last_->backends()[status(2).id].usable) << "remembered flows move on as well";
  EXPECT_FALSE(picked().contains(status(2).id));
  EXPECT_EQ(picked().size(), 3u);
  const Service& s = last_->services()[0];
  std::size_t moved = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const uint32_t was = ids[before[i]];
    moved += was != status(2).id && s.backend_ids[s.lookup->slots()[i]] != was ? 1 : 0;
  }
  EXPECT_LT(moved, before.size() / 100);
  set_down({});
  EXPECT_EQ(build().services()[0].lookup->digest(), old->services()[0].lookup->digest()) << "back as it was";
}

TEST_F(TableBuilderTest, DropsWhileAllAreDownUnlessToldOtherwise) {
  set_down({1, 2, 3, 4});
  EXPECT_TRUE(build().services()[0].lookup->empty());
}

TEST_F(TableBuilderTest, TellsWhatBecomesOfPacketsOnlyWhileNoBackendTakesThem) {
  const auto now = [&] { return build().services()[0].no_backend; };
  for (const auto& [fail, then] :
       {std::pair{FailPolicy::drop, NoBackend::drop}, std::pair{FailPolicy::reset, NoBackend::refuse},
        std::pair{FailPolicy::pass, NoBackend::pass}}) {
    config_.services[0].fail = fail;
    set_down({1, 2, 3});
    EXPECT_EQ(now(), NoBackend::drop) << "one is up";
    set_down({1, 2, 3, 4});
    EXPECT_EQ(now(), then);
  }
  const ResolvedHop there = hops_[backend(1)];
  hops_[backend(1)].state = ResolvedHop::State::resolving;
  hops_[backend(1)].ifindex = 7;
  TableBuilder fresh({1, 2, 3});
  const auto table = fresh.build(config_, network_, now_, health_);
  EXPECT_EQ((*table)->services()[0].no_backend, NoBackend::drop) << "a neighbour is being asked";
  hops_[backend(1)] = there;
  add_fallback(9);
  EXPECT_EQ(now(), NoBackend::drop) << "the fallback takes them";
  set_down({1, 2, 3, 4, 9});
  EXPECT_EQ(now(), NoBackend::pass);
}

TEST_F(TableBuilderTest, PassesNothingWhileABackendStillHasConnections) {
  config_.services[0].fail = FailPolicy::pass;
  config_.services[0].backends[1].admin = Admin::drain;
  set_down({1, 3, 4});
  EXPECT_EQ(build().services()[0].no_backend, NoBackend::drop) << "one is in drain";
  health_.drained = [](const ServiceConfig&, const BackendConfig&) { return true; };
  EXPECT_EQ(build().services()[0].no_backend, NoBackend::pass);
  config_.services[0].on_down = OnDown::keep;
  EXPECT_EQ(build().services()[0].no_backend, NoBackend::drop) << "the others keep theirs";
  config_.services[0].backends.clear();
  EXPECT_EQ(build().services()[0].no_backend, NoBackend::pass) << "a service without backends";
}

TEST_F(TableBuilderTest, KeepsConnectionsOnlyOfWhatItsHealthAloneKeepsOut) {
  config_.services[0].on_down = OnDown::keep;
  config_.services[0].backends[1].admin = Admin::maint;
  hops_[backend(3)].state = ResolvedHop::State::failed;
  set_down({1, 2, 3});
  const Table& table = build();
  EXPECT_EQ(table.services()[0].on_down, OnDown::keep);
  const auto keeps = [&](uint8_t i) { return table.backends()[status(i).id].keeps_connections; };
  EXPECT_TRUE(keeps(1));
  EXPECT_FALSE(status(1).usable);
  EXPECT_FALSE(keeps(2)) << "maintenance is the operator's word";
  EXPECT_FALSE(keeps(3)) << "its neighbour does not answer";
  EXPECT_FALSE(keeps(4)) << "it is up";
}

TEST_F(TableBuilderTest, UsesAllThatAreDownIfItFailsOpen) {
  config_.services[0].fail = FailPolicy::open;
  config_.services[0].backends[2].weight = 0;
  config_.services[0].backends[3].admin = Admin::maint;
  set_down({1, 2, 3, 4});
  build();
  EXPECT_EQ(picked(), (std::set<uint32_t>{status(1).id, status(2).id}));
  EXPECT_TRUE(status(1).open);
  EXPECT_TRUE(status(1).down);
  EXPECT_TRUE(status(1).usable);
  EXPECT_EQ(status(1).why, "");
  EXPECT_TRUE(last_->backends()[status(3).id].usable) << "weight 0: what is remembered stays";
  EXPECT_FALSE(last_->backends()[status(4).id].usable) << "maintenance is the operator's word";
  set_down({1, 3});
  build();
  EXPECT_EQ(picked(), std::set<uint32_t>{status(2).id}) << "one that is up is enough";
  EXPECT_FALSE(status(1).open);
  EXPECT_FALSE(status(1).usable);
}

TEST_F(TableBuilderTest, OpensOnlyWhatCouldTakePackets) {
  config_.services[0].fail = FailPolicy::open;
  hops_[backend(1)].state = ResolvedHop::State::failed;
  set_down({1, 2, 3, 4});
  build();
  EXPECT_FALSE(status(1).usable);
  EXPECT_EQ(picked().size(), 3u);
}

TEST_F(TableBuilderTest, UsesTheFallbackOnlyWhileNoBackendIsUp) {
  add_fallback(9);
  config_.services[0].fail = FailPolicy::open;  // comes behind it
  build();
  EXPECT_EQ(picked().size(), 4u);
  EXPECT_FALSE(picked().contains(status(9).id));
  EXPECT_TRUE(status(9).fallback);
  EXPECT_FALSE(status(9).stands_in);
  set_down({1, 2, 3, 4});
  build();
  EXPECT_EQ(picked(), std::set<uint32_t>{status(9).id});
  EXPECT_TRUE(status(9).stands_in);
  EXPECT_FALSE(status(1).open);
  const uint32_t id = status(9).id;
  set_down({1, 2, 3});
  build();
  EXPECT_EQ(picked(), std::set<uint32_t>{status(4).id});
  EXPECT_EQ(status(9).id, id);
  EXPECT_TRUE(last_->backends()[id].usable) << "its connections stay with it";
  set_down({1, 2, 3, 4, 9});
  build();
  EXPECT_EQ(picked().size(), 4u) << "the fallback is down, too: fail open";
}

TEST_F(TableBuilderTest, DoesNotUseTheFallbackWhileNeighboursAreBeingAsked) {
  add_fallback(9);
  for (uint8_t i = 1; i <= 4; ++i) hops_[backend(i)].state = ResolvedHop::State::resolving;
  build();
  EXPECT_TRUE(last_->services()[0].lookup->empty()) << "a matter of milliseconds at every start";
  for (uint8_t i = 1; i <= 4; ++i) hops_[backend(i)].state = ResolvedHop::State::failed;
  build();
  EXPECT_EQ(picked(), std::set<uint32_t>{status(9).id});
}

TEST_F(TableBuilderTest, KeepsTheIdOfAFallbackFromTableToTable) {
  add_fallback(9);
  build();
  const uint32_t id = status(9).id;
  config_.services[0].backends.pop_back();
  for (int i = 0; i < 3; ++i) build();
  EXPECT_EQ(status(9).id, id);
  config_.services[0].fallback.clear();
  build();
  EXPECT_FALSE(builder_.status().contains({"web", backend(9)}));
}

TEST_F(TableBuilderTest, GivesWhoStartsSlowlyPartOfItsWeightWhateverTheWeightsAre) {
  for (const uint32_t weight : {1u, 7u, 1000u}) {
    for (BackendConfig& b : config_.services[0].backends) b.weight = weight;
    health_.weight_permille = [](const ServiceConfig&, const BackendConfig& b) {
      return b.address == backend(4) ? 100u : 1000u;
    };
    build();
    EXPECT_NEAR(status(4).share, 0.1 / 3.1, 0.001) << weight;
    EXPECT_NEAR(status(1).share, 1 / 3.1, 0.01) << weight;
    EXPECT_EQ(status(4).weight_permille, 100u);
    EXPECT_TRUE(status(4).taking);
  }
  health_.weight_permille = nullptr;
  build();
  EXPECT_NEAR(status(4).share, 0.25, 0.01);
}

TEST_F(TableBuilderTest, SaysWhoTakesNewFlows) {
  config_.services[0].backends[0].weight = 0;
  config_.services[0].backends[1].admin = Admin::drain;
  hops_[backend(3)].state = ResolvedHop::State::failed;
  build();
  for (const uint8_t i : std::initializer_list<uint8_t>{1, 2, 3}) EXPECT_FALSE(status(i).taking) << int{i};
  EXPECT_TRUE(status(4).taking);
}

TEST_F(TableBuilderTest, HandsOnTheAlgorithmWithWeightsAndTurns) {
  ServiceConfig& service = config_.services[0];
  service.algorithm = Algorithm::wrr;
  service.backends[1].weight = 300;
  service.backends[2].weight = 0;
  const Service& built = build().services()[0];
  EXPECT_EQ(built.algorithm, Algorithm::wrr);
  EXPECT_EQ(built.backend_ids, (std::vector<uint32_t>{status(1).id, status(2).id, status(4).id}));
  EXPECT_EQ(built.weights, (std::vector<uint32_t>{100, 300, 100}));
  EXPECT_EQ(built.weight_sum, 500u);
  ASSERT_EQ(built.turns->size(), 5u);
  EXPECT_EQ(std::count(built.turns->begin(), built.turns->end(), 1), 3);
  const auto turns = built.turns;
  EXPECT_EQ(build().services()[0].turns, turns) << "nothing has changed";
  service.algorithm = Algorithm::maglev;
  EXPECT_EQ(build().services()[0].turns, nullptr);
}

TEST_F(TableBuilderTest, GivesNoSecondChanceWhereTheArrayPlacedNothing) {
  for (const bool by_hash : {true, false}) {
    config_.services[0].algorithm = by_hash ? Algorithm::maglev : Algorithm::lc;
    build();
    now_ += 60'000'000'000;
    config_.services[0].backends[0].admin = Admin::maint;
    EXPECT_EQ(build().services()[0].previous != nullptr, by_hash);
    config_.services[0].backends[0].admin = Admin::ready;
    now_ += 600'000'000'000;
    build();
    now_ += 600'000'000'000;
  }
}

}  // namespace
}  // namespace xebec
