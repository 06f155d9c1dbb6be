// SPDX-License-Identifier: BSD-2-Clause
// Drains as a table of moments, and what of them outlives a reload.
#include "control/drains.h"

#include <gtest/gtest.h>

#include "control/admin_orders.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}

const Drains::Key kWeb{"web", ip("10.0.0.1")};
const Drains::Key kOther{"web", ip("10.0.0.2")};

/// "web" with 10.0.0.1 and 10.0.0.2.
Config config(Admin first, Admin second = Admin::ready) {
  Config c;
  ServiceConfig service;
  service.name = "web";
  for (const auto& [address, admin] : {std::pair{"10.0.0.1", first}, {"10.0.0.2", second}}) {
    BackendConfig backend;
    backend.address = ip(address);
    backend.admin = admin;
    service.backends.push_back(backend);
  }
  c.services.push_back(service);
  return c;
}

Admin admin_of(const Config& c, std::size_t backend) {
  return c.services[0].backends[backend].admin;
}

class DrainsTest : public ::testing::Test {
 protected:
  /// What is drained at this moment after the start.
  std::vector<Drains::Key> at(std::chrono::milliseconds after, uint64_t flows) {
    return drains_.observe([&](const Drains::Key&) { return flows; }, start_ + after);
  }
  const Drains::Time start_{1h};
  Drains drains_;
};

TEST_F(DrainsTest, IsDrainedOnceNoFlowHasBeenOpenForTheTimeOfLastSegments) {
  drains_.follow(config(Admin::drain), start_);
  drains_.order(kWeb, {.by = "me"}, 7, start_);
  EXPECT_TRUE(at(1s, 7).empty());
  EXPECT_TRUE(at(2s, 0).empty());
  EXPECT_TRUE(at(4s, 1).empty());  // a new one after all: the time begins anew
  EXPECT_TRUE(at(5s, 0).empty());
  EXPECT_TRUE(at(5s + Drains::kLinger - 1ms, 0).empty());
  EXPECT_FALSE(drains_.is_drained(kWeb));
  EXPECT_EQ(at(5s + Drains::kLinger, 0), std::vector{kWeb});
  EXPECT_TRUE(drains_.is_drained(kWeb));
  EXPECT_EQ(drains_.find(kWeb)->flows_at_start, 7u);
  EXPECT_FALSE(drains_.any_active());
}

TEST_F(DrainsTest, LetsGoOfWhatIsLeftAtTheDeadlineAndSaysHowMuch) {
  drains_.follow(config(Admin::drain), start_);
  drains_.order(kWeb, {.deadline = 60s, .by = "me"}, 7, start_);
  EXPECT_TRUE(at(60s - 1ms, 5).empty());
  EXPECT_EQ(at(60s, 5), std::vector{kWeb});
  EXPECT_EQ(drains_.find(kWeb)->flows, 5u);
  EXPECT_TRUE(at(61s, 0).empty());
  EXPECT_EQ(drains_.find(kWeb)->flows, 5u);
}

TEST_F(DrainsTest, WaitsForEverWithoutADeadline) {
  drains_.follow(config(Admin::drain), start_);
  EXPECT_TRUE(at(24h * 365, 1).empty());
}

TEST_F(DrainsTest, GoesOnByANewOrderWithoutForgettingWhenItBegan) {
  drains_.follow(config(Admin::drain), start_);
  drains_.order(kWeb, {.deadline = 60s, .by = "me"}, 7, start_);
  drains_.order(kWeb, {.deadline = 60s, .then_remove = true, .by = "her"}, 3, start_ + 30s);
  EXPECT_EQ(drains_.find(kWeb)->since, start_);
  EXPECT_EQ(drains_.find(kWeb)->flows_at_start, 7u);
  EXPECT_TRUE(at(60s, 3).empty());
  EXPECT_EQ(at(90s, 3), std::vector{kWeb});
  EXPECT_EQ(drains_.to_remove(), std::vector{kWeb});
}

TEST_F(DrainsTest, FollowsSeveralAtOnceAndForgetsWhatIsBackAtWork) {
  drains_.follow(config(Admin::drain, Admin::drain), start_);
  drains_.order(kOther, {.deadline = 10s, .by = "me"}, 1, start_);
  EXPECT_EQ(at(10s, 1), std::vector{kOther});
  EXPECT_FALSE(drains_.is_drained(kWeb));
  drains_.follow(config(Admin::drain, Admin::ready), start_ + 11s);
  EXPECT_EQ(drains_.find(kOther), nullptr);
  ASSERT_NE(drains_.find(kWeb), nullptr);
  EXPECT_EQ(drains_.find(kWeb)->since, start_);  // a reload that says the same changes nothing of it
}

TEST(AdminOrders, StandAgainstAFileThatSaysWhatItSaidBefore) {
  AdminOrders orders;
  orders.set(kWeb, Admin::ready, Admin::drain);
  Config file = config(Admin::ready);
  const auto standing = orders.merge(file);
  EXPECT_EQ(admin_of(file, 0), Admin::drain);
  EXPECT_EQ(admin_of(file, 1), Admin::ready);
  ASSERT_EQ(standing, std::set{kWeb});
  EXPECT_EQ(
      orders.sentence(kWeb),
      "web: backend 10.0.0.1 stays in drain, as it was told; xebec backend ready web 10.0.0.1 ends that");
  orders.settle(file, &standing);
  Config again = config(Admin::ready);
  EXPECT_EQ(orders.merge(again), std::set{kWeb});
}

TEST(AdminOrders, EndWhereTheFileHasAWordOfItsOwn) {
  AdminOrders orders;
  orders.set(kWeb, Admin::ready, Admin::drain);
  for (const Admin word : {Admin::maint, Admin::drain}) {
    Config file = config(word);
    const auto standing = orders.merge(file);
    EXPECT_EQ(admin_of(file, 0), word);
    orders.settle(file, &standing);
    Config back = config(Admin::ready);
    EXPECT_TRUE(orders.merge(back).empty());
    EXPECT_EQ(admin_of(back, 0), Admin::ready);
    orders.set(kWeb, Admin::ready, Admin::drain);
  }
}

TEST(AdminOrders, AreNoneOnceTheBackendIsAsBeforeOrGone) {
  AdminOrders orders;
  orders.set(kWeb, Admin::ready, Admin::drain);
  orders.set(kWeb, Admin::drain, Admin::maint);
  orders.set(kWeb, Admin::maint, Admin::ready);
  Config file = config(Admin::ready);
  EXPECT_TRUE(orders.merge(file).empty());

  orders.set(kWeb, Admin::ready, Admin::drain);
  Config without = config(Admin::ready);
  without.services[0].backends.erase(without.services[0].backends.begin());
  orders.settle(without, nullptr);
  EXPECT_TRUE(orders.merge(file).empty());
}

}  // namespace
}  // namespace xebec
