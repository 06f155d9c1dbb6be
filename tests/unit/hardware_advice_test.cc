// SPDX-License-Identifier: BSD-2-Clause
// What the preflight says to an interface's hardware, and how to mend it.
#include "control/hardware_advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using Level = Finding::Level;

/// A healthy NIC of four queues.
Hardware nic() {
  Hardware h;
  h.driver.driver = "ice";
  h.receive_queues = 4;
  h.mtu = 1500;
  h.channels = Channels{.combined = 4, .max_combined = 64};
  h.receive_hashing = ReceiveHashing{1, std::vector<uint8_t>(52), {0, 1, 2, 3, 0, 1, 2, 3}};
  h.features = FeatureNames{"rx-gro", "rx-hashing"};
  return h;
}

std::vector<std::string> lines(const Hardware& hardware, uint32_t queues = 0) {
  InterfaceConfig interface;
  interface.name = "eth0";
  interface.queues = queues;
  std::vector<std::string> out;
  for (const Finding& finding : advise(interface, hardware)) out.push_back(to_string(finding));
  return out;
}

MATCHER_P2(Says, text, mend, "") {
  return arg.find(text) != std::string::npos &&
         arg.find(std::string("(mend: ") + mend + ")") != std::string::npos;
}

TEST(HardwareAdvice, FindsNothingWrongWithAHealthyNic) {
  EXPECT_THAT(lines(nic()), testing::ElementsAre("ok    eth0: driver ice, receive queues: 4, MTU 1500"));
}

TEST(HardwareAdvice, NamesTheOffloadThatHidesBytesAndTheCommandThatMendsIt) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"rx-lro", "large receive offload", "ethtool -K eth0 lro off"},
      {"rx-gro-hw", "hardware GRO", "ethtool -K eth0 rx-gro-hw off"},
      {"rx-vlan-hw-parse", "strips VLAN tags", "ethtool -K eth0 rxvlan off"},
      {"rx-vlan-stag-hw-parse", "strips 802.1ad tags", "ethtool -K eth0 rx-vlan-stag-hw-parse off"}};
  for (const auto& [feature, text, mend] : cases) {
    Hardware h = nic();
    h.features->insert(feature);
    EXPECT_THAT(lines(h), Contains(Says(text, mend)));
  }
}

TEST(HardwareAdvice, IsSilentAboutTheTagFlagsOfVeth) {
  Hardware h = nic();
  h.driver.driver = "veth";
  h.features = FeatureNames{"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"};
  EXPECT_THAT(lines(h), Each(Not(HasSubstr("warn"))));
}

TEST(HardwareAdvice, WarnsOfHashingToQueuesThatNobodyServes) {
  EXPECT_THAT(lines(nic(), 2), Contains(Says("sends 50 % of the flows to queues that nobody serves",
                                             "ethtool -X eth0 equal 2")));
}

TEST(HardwareAdvice, LeavesQueuesAloneThatHashingDoesNotReach) {
  Hardware h = nic();
  h.receive_hashing->indirection = {0, 1, 0, 1};
  EXPECT_THAT(lines(h, 2), Each(Not(HasSubstr("warn"))));
}

TEST(HardwareAdvice, WarnsOfUnservedQueuesWhereHashingIsUnknown) {
  Hardware h = nic();
  h.receive_hashing.reset();
  EXPECT_THAT(lines(h, 2), Contains(Says("2 of 4 receive queues are served",
                                         "\"queues\": \"auto\", or ethtool -L eth0 combined 2")));
  h.channels = Channels{.rx = 4, .tx = 4, .max_rx = 4, .max_tx = 4};
  EXPECT_THAT(lines(h, 2), Contains(HasSubstr("ethtool -L eth0 rx 2")));
}

TEST(HardwareAdvice, WarnsOfIdleAndOfOverloadedQueues) {
  Hardware h = nic();
  h.receive_hashing->indirection = {0, 1, 0, 1};
  EXPECT_THAT(lines(h),
              Contains(Says("leaves 2 of 4 served queues without flows", "ethtool -X eth0 equal 4")));
  h.receive_hashing->indirection = {0, 0, 0, 0, 0, 1, 2, 3};
  EXPECT_THAT(lines(h),
              Contains(Says("gives one queue 62 % of the flows, fair were 25 %", "ethtool -X eth0 equal 4")));
}

TEST(HardwareAdvice, AcceptsTheUnevennessOfATableThatQueuesDoNotDivide) {
  Hardware h = nic();
  h.receive_queues = 6;
  h.receive_hashing->indirection.resize(128);
  for (uint32_t i = 0; i < 128; ++i) h.receive_hashing->indirection[i] = i % 6;
  EXPECT_THAT(lines(h), Each(Not(HasSubstr("warn"))));
}

TEST(HardwareAdvice, RefusesMoreQueuesThanThereAre) {
  EXPECT_THAT(lines(nic(), 8),
              Contains(Says("8 queues are configured, the interface has 4", "ethtool -L eth0 combined 8")));
}

TEST(HardwareAdvice, RefusesAnMtuThatNoPacketOfFramesHolds) {
  Hardware h = nic();
  h.mtu = kMaxMtu + 1;
  EXPECT_THAT(lines(h), Contains(HasSubstr("fail  eth0: MTU")));
}

TEST(HardwareAdvice, RefusesABondAndNamesItsMembers) {
  Hardware h = nic();
  h.driver.driver = "bonding";
  h.lower = {"eth1", "eth2"};
  EXPECT_THAT(lines(h), testing::ElementsAre(testing::AllOf(
                            HasSubstr("fail  eth0: it is a bond"), HasSubstr("its members: eth1, eth2"),
                            HasSubstr("(mend: name the members under \"interfaces\" instead of eth0)"))));
}

TEST(HardwareAdvice, RefusesAVlanAndNamesItsParent) {
  Hardware h = nic();
  h.driver.driver = "802.1Q VLAN Support";
  h.lower = {"eth7"};
  EXPECT_THAT(lines(h), testing::ElementsAre(
                            Says("it is a VLAN of eth7", "name eth7 under \"interfaces\" instead of eth0")));
}

TEST(QueueShares, AreTheIndirectionTableCounted) {
  EXPECT_THAT(queue_shares({1, {}, {0, 0, 2, 0}}), testing::ElementsAre(0.75, 0.0, 0.25));
  EXPECT_THAT(queue_shares({}), testing::IsEmpty());
}

}  // namespace
}  // namespace xebec
