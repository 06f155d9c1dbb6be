// SPDX-License-Identifier: BSD-2-Clause
// What the kernel tells of real devices: a pair of veths with four queues, and a bridge.
#include "control/hardware.h"

#include <poll.h>

#include <gmock/gmock.h>

#include "control/hardware_advice.h"
#include "own_network.h"

namespace xebec {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

class HardwareTest : public OwnNetwork {
 protected:
  void SetUp() override {
    OwnNetwork::SetUp();
    run_command(
        "ip link add v0 numrxqueues 4 numtxqueues 4 type veth peer name p0 numrxqueues 4 numtxqueues 4");
  }
};

TEST_F(HardwareTest, TellsDriverQueuesAndFeaturesOfAVeth) {
  const Hardware h = read_hardware("v0");
  EXPECT_EQ(h.driver.driver, "veth");
  EXPECT_EQ(h.receive_queues, 4u);
  EXPECT_EQ(h.mtu, 1500u);
  ASSERT_TRUE(h.channels.has_value());
  EXPECT_EQ(h.channels->rx, 4u);
  EXPECT_EQ(h.channels->max_rx, 4u);
  EXPECT_STREQ(h.channels->receive_word(), "rx");
  ASSERT_TRUE(h.features.has_value());
  EXPECT_THAT(*h.features, Contains("rx-vlan-hw-parse"));
  EXPECT_THAT(*h.features, Not(Contains("rx-lro")));
  EXPECT_FALSE(h.receive_hashing.has_value());  // veth spreads by flow hash, in software
  EXPECT_FALSE(h.numa_node.has_value());
}

TEST_F(HardwareTest, SeesAFeatureSwitchedOff) {
  run_command("ethtool -K v0 rxvlan off");
  EXPECT_FALSE(read_hardware("v0").has("rx-vlan-hw-parse"));
}

TEST_F(HardwareTest, HearsOfAChangedQueueCountAndSeesIt) {
  auto events = ChannelEvents::open();
  ASSERT_TRUE(events.has_value()) << events.error();
  EXPECT_FALSE((*events)->drain());
  run_command("ethtool -K v0 rxvlan off");  // other news of the same group
  EXPECT_FALSE((*events)->drain());
  run_command("ethtool -L v0 rx 2");
  pollfd waiting{(*events)->fd(), POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 2000), 1);
  EXPECT_TRUE((*events)->drain());
  EXPECT_EQ(read_hardware("v0").receive_queues, 2u);
  EXPECT_EQ(Ethtool().channels("v0")->rx, 2u);
}

TEST_F(HardwareTest, RefusesABridgeAndNamesItsPorts) {
  run_command("ip link add br0 type bridge && ip link set v0 master br0");
  const Hardware h = read_hardware("br0");
  EXPECT_EQ(h.driver.driver, "bridge");
  EXPECT_THAT(h.lower, ElementsAre("v0"));
  InterfaceConfig interface;
  interface.name = "br0";
  const auto findings = advise(interface, h);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].level, Finding::Level::fail);
}

TEST_F(HardwareTest, KnowsNothingOfAnInterfaceThatIsNotThere) {
  Ethtool ethtool;
  EXPECT_FALSE(ethtool.channels("absent").has_value());
  EXPECT_FALSE(ethtool.active_features("a-name-too-long-for-the-kernel").has_value());
  EXPECT_EQ(Ethtool::driver_info("absent").driver, "unknown");
}

}  // namespace
}  // namespace xebec
