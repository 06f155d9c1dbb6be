// SPDX-License-Identifier: BSD-2-Clause
// VLAN devices and bonds on served interfaces, of links that no kernel has.
#include "control/stacked_links.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int kEth0 = 3, kEth1 = 4, kBond = 10, kBridge = 11, kVlan = 20;

MacAddress mac(uint8_t last) {
  return {{2, 0, 0, 0, 0, last}};
}

LinkState link(int ifindex, uint32_t mtu = 1500) {
  LinkState state;
  state.ifindex = ifindex;
  state.mtu = mtu;
  state.up = state.carrier = true;
  return state;
}

LinkState member(int ifindex, int master, bool backup = false) {
  LinkState state = link(ifindex);
  state.master = master;
  state.backup = backup;
  return state;
}

LinkState vlan(int ifindex, int lower, uint16_t id) {
  LinkState state = link(ifindex, 1496);
  state.lower = lower;
  state.vlan = id;
  state.mac = mac(0x20);
  return state;
}

LinkState bond(int ifindex, uint32_t mtu = 1500) {
  LinkState state = link(ifindex, mtu);
  state.bond = true;
  return state;
}

class StackedLinksTest : public ::testing::Test {
 protected:
  void have(std::initializer_list<LinkState> links) {
    links_.clear();
    for (const LinkState& l : links) links_[l.ifindex] = l;
    StackedLinks stacked = stacked_links(links_, view_.links);
    view_.vlans = std::move(stacked.vlans);
    view_.bonds = std::move(stacked.bonds);
  }
  std::optional<Egress> egress(int ifindex, const char* destination = "10.0.0.1") {
    return find_egress(view_, ifindex, IpAddress::parse(destination).value());
  }
  /// Of 1000 destinations, by which interface they leave.
  std::vector<uint16_t> spread(int ifindex) {
    std::vector<uint16_t> out;
    for (int i = 0; i < 1000; ++i) {
      const auto address = "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
      const auto found = egress(ifindex, address.c_str());
      out.push_back(found ? found->interface : UINT16_MAX);
    }
    return out;
  }

  std::map<int, LinkState> links_;
  NetworkView view_{
      .own = {}, .links = {{kEth0, "eth0", mac(1), 1500}, {kEth1, "eth1", mac(1), 1500}}, .find_hop = {}};
};

TEST_F(StackedLinksTest, ServedInterfaceIsItsOwnWayOut) {
  have({link(kEth0), link(kEth1)});
  EXPECT_EQ(egress(kEth1)->interface, 1);
  EXPECT_EQ(egress(kEth1)->vlan, nullptr);
  EXPECT_FALSE(egress(99));
}

TEST_F(StackedLinksTest, OfAnActiveBackupBondTheActiveMemberSends) {
  have({member(kEth0, kBond), member(kEth1, kBond, true), bond(kBond)});
  EXPECT_THAT(view_.bonds, ElementsAre(BondMember{kBond, 0, 1500}));
  EXPECT_EQ(egress(kBond)->interface, 0);
  have({member(kEth0, kBond, true), member(kEth1, kBond), bond(kBond)});
  EXPECT_EQ(egress(kBond)->interface, 1);
}

TEST_F(StackedLinksTest, MemberWithoutCarrierOrDownSendsNothing) {
  for (bool LinkState::*what : {&LinkState::carrier, &LinkState::up}) {
    LinkState dead = member(kEth0, kBond);
    dead.*what = false;
    have({dead, member(kEth1, kBond), bond(kBond)});
    EXPECT_EQ(egress(kBond)->interface, 1);
    have({dead, bond(kBond)});
    EXPECT_FALSE(egress(kBond));
  }
}

TEST_F(StackedLinksTest, DestinationsSpreadOverMembersAndOnlyTheLostMembersMove) {
  have({member(kEth0, kBond), member(kEth1, kBond), bond(kBond)});
  const auto both = spread(kBond);
  const auto by_first = std::count(both.begin(), both.end(), 0);
  EXPECT_GT(by_first, 400);
  EXPECT_LT(by_first, 600);
  EXPECT_EQ(both, spread(kBond));
  view_.links.push_back({5, "eth2", mac(1), 1500});
  have({member(kEth0, kBond), member(kEth1, kBond), member(5, kBond), bond(kBond)});
  const auto three = spread(kBond);
  for (std::size_t i = 0; i < both.size(); ++i) EXPECT_TRUE(three[i] == both[i] || three[i] == 2) << i;
}

TEST_F(StackedLinksTest, SmallestMtuOnTheWayDownCounts) {
  have({member(kEth0, kBond), bond(kBond, 1400)});
  EXPECT_EQ(egress(kBond)->mtu, 1400u);
  view_.links[0].mtu = 1300;
  EXPECT_EQ(egress(kBond)->mtu, 1300u);
}

TEST_F(StackedLinksTest, VlanDeviceOnABondLeavesByItsMembersWithTheTag) {
  have({member(kEth0, kBond, true), member(kEth1, kBond), bond(kBond), vlan(kVlan, kBond, 7)});
  const auto found = egress(kVlan);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->interface, 1);
  EXPECT_EQ(found->mtu, 1496u);
  ASSERT_NE(found->vlan, nullptr);
  EXPECT_EQ(found->vlan->vlan, 7);
  EXPECT_EQ(found->vlan->mac, mac(0x20));
}

TEST_F(StackedLinksTest, BridgeIsNoBond) {
  have({member(kEth0, kBridge), link(kBridge), vlan(kVlan, kBridge, 7)});
  EXPECT_THAT(view_.bonds, IsEmpty());
  EXPECT_FALSE(egress(kBridge));
  EXPECT_FALSE(egress(kVlan)) << "nobody said that the bridge would send it by this port";
}

TEST_F(StackedLinksTest, BondOfOthersMembersIsNoWayOut) {
  have({link(kEth0), link(kEth1), member(30, kBond), bond(kBond)});
  EXPECT_FALSE(egress(kBond));
}

}  // namespace
}  // namespace xebec
