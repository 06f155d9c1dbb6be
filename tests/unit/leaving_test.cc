// SPDX-License-Identifier: BSD-2-Clause
// Who leaves by which change, and as what.
#include "control/leaving.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/limits.h"

namespace xebec {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}

BackendConfig backend(std::string_view address) {
  BackendConfig b;
  b.address = ip(address);
  return b;
}

/// "web" with these backends.
Config config(std::initializer_list<std::string_view> addresses) {
  Config c;
  ServiceConfig service;
  service.name = "web";
  service.vip = ip("203.0.113.10");
  service.port = 80;
  for (const std::string_view address : addresses) service.backends.push_back(backend(address));
  c.services.push_back(service);
  return c;
}

std::vector<std::string> names(const Leaving& leaving) {
  std::vector<std::string> out;
  for (const auto& [service, address] : leaving.keys()) out.push_back(service + " " + address.to_string());
  return out;
}

TEST(Leaving, IsWhoTheNewConfigurationDoesNotHave) {
  const Leaving leaving =
      Leaving{}.next(config({"10.0.0.1", "10.0.0.2", "10.0.0.3"}), config({"10.0.0.2", "10.0.0.4"}));
  EXPECT_THAT(names(leaving), ElementsAre("web 10.0.0.1", "web 10.0.0.3"));
  EXPECT_THAT(names(Leaving{}.next(config({"10.0.0.1"}), config({"10.0.0.1"}))), IsEmpty());
}

TEST(Leaving, GoesOnOverLaterChangesUntilTheBackendIsBack) {
  Leaving leaving = Leaving{}.next(config({"10.0.0.1", "10.0.0.2"}), config({"10.0.0.2"}));
  leaving = leaving.next(config({"10.0.0.2"}), config({"10.0.0.3"}));
  EXPECT_THAT(names(leaving), ElementsAre("web 10.0.0.1", "web 10.0.0.2"));
  leaving = leaving.next(config({"10.0.0.3"}), config({"10.0.0.1", "10.0.0.3"}));
  EXPECT_THAT(names(leaving), ElementsAre("web 10.0.0.2"));
  leaving.erase({"web", ip("10.0.0.2")});
  EXPECT_TRUE(leaving.empty());
}

TEST(Leaving, IsNobodyWhoCanHaveNoConnections) {
  const Config before = config({"10.0.0.1", "10.0.0.2"});
  struct Row {
    const char* what;
    std::function<void(Config& before, Config& after)> change;
  };
  const Row rows[] = {
      {"the service is gone", [](Config&, Config& after) { after.services.clear(); }},
      {"it has another name", [](Config&, Config& after) { after.services[0].name = "www"; }},
      {"it listens elsewhere", [](Config&, Config& after) { after.services[0].port = 81; }},
      {"it has another VIP", [](Config&, Config& after) { after.services[0].vip = ip("203.0.113.11"); }},
      {"it is stateless", [](Config&, Config& after) { after.services[0].stateless = true; }},
      {"it wants no drain", [](Config&, Config& after) { after.services[0].drain_ms = 0; }},
      {"it was in maintenance", [](Config& b, Config&) { b.services[0].backends[0].admin = Admin::maint; }},
      {"it stands in for the others now",
       [](Config&, Config& after) { after.services[0].fallback = {backend("10.0.0.1")}; }},
  };
  for (const Row& row : rows) {
    Config from = before, to = config({"10.0.0.2"});
    row.change(from, to);
    EXPECT_THAT(names(Leaving{}.next(from, to)), IsEmpty()) << row.what;
  }
}

TEST(Leaving, KeepsWhatTheBackendHadFromItsServiceAndTheDefaults) {
  Config before = config({"10.0.0.1", "10.0.0.2"});
  before.services[0].mode = Mode::ipip;
  before.tunnel.vni = 7;
  before.defaults.health.type = HealthType::tcp;
  before.services[0].health.interval_ms = 500;
  Config after = config({"10.0.0.2"});
  const Leaving leaving = Leaving{}.next(before, after);
  ASSERT_EQ(leaving.of("web").size(), 1u);
  const BackendConfig left = leaving.of("web")[0];
  EXPECT_EQ(left.admin, Admin::drain);
  EXPECT_EQ(left.mode, Mode::ipip);
  EXPECT_EQ(left.tunnel.vni, 7u);
  EXPECT_EQ(left.health.type, HealthType::tcp);
  EXPECT_EQ(left.health.interval_ms, 500u);
  const Config all = leaving.with(after);
  ASSERT_EQ(all.services[0].backends.size(), 2u);
  EXPECT_EQ(all.services[0].backends[1], left);
  EXPECT_THAT(leaving.of("we"), IsEmpty());
}

TEST(Leaving, AFallbackThatNothingCheckedIsNotCheckedOnItsWay) {
  Config before = config({"10.0.0.1"});
  before.services[0].health.type = HealthType::tcp;
  before.services[0].fallback = {backend("10.0.0.9")};
  Config after = before;
  after.services[0].fallback.clear();
  const Leaving leaving = Leaving{}.next(before, after);
  ASSERT_EQ(leaving.of("web").size(), 1u);
  const Config all = leaving.with(after);
  EXPECT_EQ(health_of(all.defaults.health, all.services[0], all.services[0].backends[1]).type,
            HealthType::none);
}

TEST(Leaving, IsNotWhatATableCouldNotHaveBesideTheNewConfiguration) {
  Config before = config({"10.0.0.1", "10.0.0.2"});
  before.services[0].mode = Mode::nat;
  Config after = config({"10.0.0.2"});
  after.services[0].mode = Mode::nat;
  ServiceConfig other = after.services[0];
  other.name = "other";
  other.vip = ip("10.0.0.1");  // nobody may speak from a VIP
  other.backends.clear();
  after.services.push_back(other);
  EXPECT_THAT(names(Leaving{}.next(before, after)), IsEmpty());
}

TEST(Leaving, GivesUpTheServerIdThatAnotherBackendHasByNow) {
  Config before = config({"10.0.0.1", "10.0.0.2"});
  before.services[0].quic = QuicConfig{};
  before.services[0].quic->format = QuicFormat::katran;
  ServerId one, two;
  one.length = two.length = 2;
  two.bytes[0] = 1;
  before.services[0].backends[0].server_ids = {one, two};
  Config after = before;
  after.services[0].backends.erase(after.services[0].backends.begin());
  after.services[0].backends[0].server_ids = {one};
  const Leaving leaving = Leaving{}.next(before, after);
  ASSERT_EQ(leaving.of("web").size(), 1u);
  EXPECT_THAT(leaving.of("web")[0].server_ids, ElementsAre(two));
}

}  // namespace
}  // namespace xebec
