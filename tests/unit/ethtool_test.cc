// SPDX-License-Identifier: BSD-2-Clause
// Ethtool's netlink messages, well-formed and not.
#include "control/ethtool.h"

#include <linux/ethtool_netlink.h>

#include <array>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xebec {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A message under construction.
class Message {
 public:
  Message() {
    header_ = mnl_nlmsg_put_header(buffer_.data());
    mnl_nlmsg_put_extra_header(header_, sizeof(genlmsghdr));
  }
  Message& u32(uint16_t type, uint32_t value) {
    mnl_attr_put_u32(header_, type, value);
    return *this;
  }
  Message& bytes(uint16_t type, const void* data, std::size_t size) {
    mnl_attr_put(header_, type, size, data);
    return *this;
  }
  template <typename F>
  Message& nest(uint16_t type, F&& fill) {
    nlattr* nest = mnl_attr_nest_start(header_, type);
    fill(*this);
    mnl_attr_nest_end(header_, nest);
    return *this;
  }
  Message& bit(const char* name, bool valued = false) {
    return nest(ETHTOOL_A_BITSET_BITS_BIT, [&](Message& m) {
      mnl_attr_put_u32(m.header_, ETHTOOL_A_BITSET_BIT_INDEX, 1);
      mnl_attr_put_strz(m.header_, ETHTOOL_A_BITSET_BIT_NAME, name);
      if (valued) mnl_attr_put(m.header_, ETHTOOL_A_BITSET_BIT_VALUE, 0, nullptr);
    });
  }
  Message& flag(uint16_t type) { return bytes(type, nullptr, 0); }
  nlmsghdr* header() { return header_; }

 private:
  alignas(nlmsghdr) std::array<char, 8192> buffer_{};
  nlmsghdr* header_;
};

TEST(Ethtool, ReadsQueueCountsAndTheirMaximum) {
  Message m;
  m.u32(ETHTOOL_A_CHANNELS_COMBINED_MAX, 63).u32(ETHTOOL_A_CHANNELS_COMBINED_COUNT, 8);
  m.u32(ETHTOOL_A_CHANNELS_RX_COUNT, 2).u32(ETHTOOL_A_CHANNELS_RX_MAX, 4);
  const Channels c = read_channels(m.header());
  EXPECT_EQ(c, (Channels{.rx = 2, .combined = 8, .max_rx = 4, .max_combined = 63}));
  EXPECT_EQ(c.receive(), 10u);
  EXPECT_STREQ(c.receive_word(), "combined");
  EXPECT_STREQ((Channels{.rx = 4, .tx = 4, .max_rx = 4, .max_tx = 4}.receive_word()), "rx");  // veth
}

TEST(Ethtool, ReadsKeyAndIndirectionTable) {
  const std::array<uint32_t, 4> table{0, 1, 2, 1};
  const std::array<uint8_t, 3> key{0x6d, 0x5a, 0x56};
  Message m;
  m.u32(3, 1).bytes(4, table.data(), sizeof table).bytes(5, key.data(), sizeof key);
  const ReceiveHashing hashing = read_receive_hashing(m.header());
  EXPECT_EQ(hashing.functions, 1u);
  EXPECT_THAT(hashing.indirection, ElementsAre(0, 1, 2, 1));
  EXPECT_THAT(hashing.key, ElementsAre(0x6d, 0x5a, 0x56));
}

TEST(Ethtool, ReadsTheNamesOfActiveFeatures) {
  Message m;
  m.nest(ETHTOOL_A_FEATURES_HW, [](Message& set) {
    set.flag(ETHTOOL_A_BITSET_NOMASK);
    set.nest(ETHTOOL_A_BITSET_BITS, [](Message& bits) { bits.bit("rx-gro-hw"); });
  });
  m.nest(ETHTOOL_A_FEATURES_ACTIVE, [](Message& set) {
    set.flag(ETHTOOL_A_BITSET_NOMASK);
    set.nest(ETHTOOL_A_BITSET_BITS, [](Message& bits) { bits.bit("rx-lro").bit("rx-vlan-hw-parse"); });
  });
  EXPECT_THAT(read_active_features(m.header()), ElementsAre("rx-lro", "rx-vlan-hw-parse"));
}

TEST(Ethtool, TakesOnlyTheValuedBitsOfASetWithAMask) {
  Message m;
  m.nest(ETHTOOL_A_FEATURES_ACTIVE, [](Message& set) {
    set.nest(ETHTOOL_A_BITSET_BITS, [](Message& bits) { bits.bit("rx-lro").bit("rx-gro", true); });
  });
  EXPECT_THAT(read_active_features(m.header()), ElementsAre("rx-gro"));
}

TEST(Ethtool, ReadsRingSizes) {
  Message m;
  m.u32(ETHTOOL_A_RINGS_RX, 512).u32(ETHTOOL_A_RINGS_TX, 256);
  m.u32(ETHTOOL_A_RINGS_RX_MAX, 4096).u32(ETHTOOL_A_RINGS_TX_MAX, 2048);
  EXPECT_EQ(read_ring_sizes(m.header()), (RingSizes{512, 256, 4096, 2048}));
}

TEST(Ethtool, DoesNotBelieveAttributesOfTheWrongSize) {
  Message m;
  const std::array<uint8_t, 7> odd{};
  m.bytes(ETHTOOL_A_CHANNELS_COMBINED_COUNT, odd.data(), 2);
  EXPECT_EQ(read_channels(m.header()), Channels{});
  Message rss;
  rss.bytes(4, odd.data(), odd.size());
  EXPECT_THAT(read_receive_hashing(rss.header()).indirection, IsEmpty());
  Message features;
  features.bytes(ETHTOOL_A_FEATURES_ACTIVE, odd.data(), odd.size());
  EXPECT_THAT(read_active_features(features.header()), IsEmpty());
}

TEST(Ethtool, SurvivesEveryTruncationOfAnAnswer) {
  Message m;
  m.u32(ETHTOOL_A_CHANNELS_COMBINED_COUNT, 8).nest(ETHTOOL_A_FEATURES_ACTIVE, [](Message& set) {
    set.flag(ETHTOOL_A_BITSET_NOMASK);
    set.nest(ETHTOOL_A_BITSET_BITS, [](Message& bits) { bits.bit("rx-lro"); });
  });
  const uint32_t whole = m.header()->nlmsg_len;
  for (uint32_t length = sizeof(nlmsghdr); length < whole; ++length) {
    m.header()->nlmsg_len = length;
    const GenericMessage copy(m.header());  // on the heap: ASan watches its borders
    (void)read_channels(copy.header());
    (void)read_receive_hashing(copy.header());
    EXPECT_LE(read_active_features(copy.header()).size(), 1u) << length;
  }
}

}  // namespace
}  // namespace xebec
