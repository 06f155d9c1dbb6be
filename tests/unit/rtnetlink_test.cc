// SPDX-License-Identifier: BSD-2-Clause
// What the kernel says of a link, written byte for byte: of VLAN devices, which not every kernel has.
#include "control/rtnetlink.h"

#include <linux/if.h>
#include <linux/if_bonding.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstring>
#include <optional>

#include <gtest/gtest.h>

#include "dataplane/wire.h"

namespace xebec {
namespace {

struct Device {
  const char* kind = "vlan";
  uint16_t id = 7;
  uint16_t protocol = kEtherVlan;
  bool with_protocol = true;
};

/// RTM_NEWLINK of eth0.7 (index 12) on the interface of index 3.
class LinkMessage {
 public:
  explicit LinkMessage(const Device& device) {
    message_ = mnl_nlmsg_put_header(bytes_.data());
    message_->nlmsg_type = RTM_NEWLINK;
    auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message_, sizeof(ifinfomsg)));
    header->ifi_index = 12;
    header->ifi_flags = IFF_UP | IFF_LOWER_UP;
    mnl_attr_put_strz(message_, IFLA_IFNAME, "eth0.7");
    mnl_attr_put_u32(message_, IFLA_MTU, 1496);
    const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
    mnl_attr_put(message_, IFLA_ADDRESS, sizeof mac, mac);
    mnl_attr_put_u32(message_, IFLA_LINK, 3);
    nlattr* information = mnl_attr_nest_start(message_, IFLA_LINKINFO);
    mnl_attr_put_strz(message_, IFLA_INFO_KIND, device.kind);
    nlattr* data = mnl_attr_nest_start(message_, IFLA_INFO_DATA);
    const Be16 protocol = Be16::from_host(device.protocol);
    if (device.with_protocol) mnl_attr_put(message_, IFLA_VLAN_PROTOCOL, sizeof protocol, &protocol);
    mnl_attr_put_u16(message_, IFLA_VLAN_ID, device.id);
    mnl_attr_nest_end(message_, data);
    mnl_attr_nest_end(message_, information);
  }
  nlmsghdr* get() { return message_; }

 private:
  alignas(nlmsghdr) std::array<char, 1024> bytes_{};
  nlmsghdr* message_;
};

LinkState read(const Device& device) {
  LinkMessage message(device);
  LinkState link;
  EXPECT_TRUE(read_link(message.get(), link));
  return link;
}

TEST(Rtnetlink, KnowsAVlanDeviceAndWhatItIsOn) {
  const LinkState expected{12, "eth0.7", MacAddress{{2, 0, 0, 0, 0, 7}}, 1496, true, true, 7, 3};
  EXPECT_EQ(read({}), expected);
  EXPECT_EQ(read({.with_protocol = false}), expected);
  EXPECT_EQ(read({.id = 4094}).vlan, 4094);
}

TEST(Rtnetlink, TakesNothingElseForOne) {
  EXPECT_EQ(read({.protocol = kEtherQinq}).vlan, 0) << "802.1ad tags are not pushed";
  EXPECT_EQ(read({.kind = "macvlan"}).vlan, 0);
  EXPECT_EQ(read({.kind = "vlanx"}).vlan, 0);
}

/// RTM_NEWLINK of a veth of index 5; master 0: of no bond.
LinkState read_member(LinkState link, uint32_t master, std::optional<uint8_t> state, bool whole = true) {
  alignas(nlmsghdr) std::array<char, 1024> bytes{};
  nlmsghdr* message = mnl_nlmsg_put_header(bytes.data());
  message->nlmsg_type = RTM_NEWLINK;
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header->ifi_index = 5;
  if (whole) mnl_attr_put_u32(message, IFLA_MTU, 1500);
  if (master != 0) mnl_attr_put_u32(message, IFLA_MASTER, master);
  if (whole) {
    nlattr* information = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
    if (state) {
      mnl_attr_put_strz(message, IFLA_INFO_SLAVE_KIND, "bond");
      nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_SLAVE_DATA);
      mnl_attr_put_u8(message, IFLA_BOND_SLAVE_STATE, *state);
      mnl_attr_nest_end(message, data);
    }
    mnl_attr_nest_end(message, information);
  }
  EXPECT_TRUE(read_link(message, link));
  return link;
}

TEST(Rtnetlink, KnowsABondAndItsMembersByWhatTheyDo) {
  EXPECT_TRUE(read({.kind = "bond"}).bond);
  EXPECT_FALSE(read({}).bond);
  const LinkState active = read_member({}, 9, BOND_STATE_ACTIVE);
  EXPECT_EQ(active.master, 9);
  EXPECT_FALSE(active.backup);
  EXPECT_FALSE(active.bond);
  const LinkState backup = read_member(active, 9, BOND_STATE_BACKUP);
  EXPECT_TRUE(backup.backup);
  const LinkState told_of_something_else = read_member(backup, 0, std::nullopt, false);
  EXPECT_EQ(told_of_something_else.master, 9);
  EXPECT_TRUE(told_of_something_else.backup);
  const LinkState left = read_member(backup, 0, std::nullopt);
  EXPECT_EQ(left.master, 0);
  EXPECT_FALSE(left.backup);
}

TEST(Rtnetlink, ReadsNoFurtherThanTheMessage) {
  LinkMessage message({});
  const uint32_t whole = message.get()->nlmsg_len;
  for (uint32_t length = NLMSG_HDRLEN; length < whole; ++length) {
    message.get()->nlmsg_len = length;
    LinkState link;
    if (!read_link(message.get(), link)) continue;
    EXPECT_TRUE(link.vlan == 0 || link.vlan == 7) << length;
  }
}

}  // namespace
}  // namespace xebec
