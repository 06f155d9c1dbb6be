// SPDX-License-Identifier: BSD-2-Clause
// The packet builder of the tests, against bytes written out by hand and by RFC 1071's own check.
#include "tests/support/frame_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace xebec::test {
namespace {

/// A receiver's check: the sum over pseudo header and segment is all ones.
uint16_t verify_transport(const Bytes& frame, std::size_t ip, std::size_t l4, uint8_t protocol) {
  const bool v4 = frame.at(ip) >> 4 == 4;
  const auto addresses = frame.begin() + static_cast<std::ptrdiff_t>(ip + (v4 ? 12 : 8));
  Bytes covered(addresses, addresses + (v4 ? 8 : 32));
  const std::size_t length = frame.size() - l4;
  covered.insert(covered.end(),
                 {0, protocol, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)});
  covered.insert(covered.end(), frame.begin() + static_cast<std::ptrdiff_t>(l4), frame.end());
  return internet_checksum(covered);
}

TEST(FrameBuilder, WritesTheIpv4UdpFrameThatWeWroteByHand) {
  const Bytes expected = {
      0x02, 0,    0,    0,    0,    2,    0x02, 0,    0,   0,   0,    1,    0x08, 0x00,  // Ethernet
      0x45, 0,    0,    30,   0x12, 0x34, 0x40, 0,    64,  17,  0x2a, 0x8f,              // IPv4
      192,  0,    2,    1,    203,  0,    113,  10,                                      //
      0x9c, 0x40, 0x00, 0x35, 0,    10,   0xfc, 0xee, 'h', 'i',                          // UDP 40000 -> 53
  };
  EXPECT_EQ(FrameBuilder()
                .ethernet()
                .ipv4("192.0.2.1", "203.0.113.10", {.id = 0x1234, .dont_fragment = true})
                .udp(40000, 53)
                .payload("hi")
                .build(),
            expected);
}

TEST(FrameBuilder, NamesTheNextLayerInEachHeader) {
  const Bytes frame = FrameBuilder()
                          .ethernet()
                          .vlan(100, 0x88a8)
                          .vlan(200)
                          .ipv6("2001:db8::1", "2001:db8::2")
                          .hop_by_hop(16)
                          .fragment(0, true, 7)
                          .authentication(12)
                          .tcp(1, 2)
                          .build();
  EXPECT_EQ(Bytes(frame.begin() + 12, frame.begin() + 22),
            (Bytes{0x88, 0xa8, 0, 100, 0x81, 0, 0, 200, 0x86, 0xdd}));
  EXPECT_EQ(frame.at(22 + 6), 0);            // IPv6 -> hop-by-hop
  EXPECT_EQ(frame.at(22 + 40), 44);          // -> fragment
  EXPECT_EQ(frame.at(22 + 40 + 1), 1);       // 16 bytes long
  EXPECT_EQ(frame.at(22 + 40 + 16), 51);     // -> AH
  EXPECT_EQ(frame.at(22 + 40 + 16 + 3), 1);  // offset 0, more to come
  EXPECT_EQ(frame.at(22 + 40 + 16 + 8), 6);  // -> TCP
  EXPECT_EQ(frame.at(22 + 40 + 16 + 9), 1);  // 12 bytes long, RFC 4302 counts
  EXPECT_EQ(frame.size(), 22u + 40 + 16 + 8 + 12 + 20);
}

TEST(FrameBuilder, ChecksumsSatisfyAReceiver) {
  struct Row {
    const char* name;
    Bytes frame;
    std::size_t l4;
    uint8_t protocol;
  };
  const auto v4 = [] { return FrameBuilder().ethernet().ipv4("10.0.0.1", "10.0.0.2"); };
  const auto v6 = [] { return FrameBuilder().ethernet().ipv6("2001:db8::1", "2001:db8::2"); };
  const Row rows[] = {
      {"tcp4", v4().tcp(1000, 80).payload("odd").build(), 34, 6},
      {"udp4", v4().udp(1000, 53).payload("even").build(), 34, 17},
      {"tcp6", v6().tcp(1000, 80, {.options = {2, 4, 5, 0xb4}}).build(), 54, 6},
      {"udp6", v6().udp(1000, 53).payload("odd").build(), 54, 17},
      {"icmp6", v6().icmp(128, {.rest = 0x00010002}).payload("ping").build(), 54, 58},
  };
  for (const Row& row : rows) EXPECT_EQ(verify_transport(row.frame, 14, row.l4, row.protocol), 0) << row.name;
  const Bytes echo = v4().icmp(8, {.rest = 1}).payload("ping").build();
  EXPECT_EQ(internet_checksum(Bytes(echo.begin() + 34, echo.end())), 0);
  const Bytes options = FrameBuilder().ipv4("10.0.0.1", "10.0.0.2", {.options = {7, 3, 4}}).udp(1, 2).build();
  EXPECT_EQ(options.at(0), 0x46);
  EXPECT_EQ(internet_checksum(Bytes(options.begin(), options.begin() + 24)), 0);
}

TEST(FrameBuilder, LeavesThePartialChecksumOfAnOffloadingSender) {
  const auto field = [](ChecksumField checksum) {
    const Bytes frame = FrameBuilder().ipv4("1.2.3.4", "5.6.7.8").udp(1, 2, {.checksum = checksum}).build();
    return static_cast<uint16_t>(frame.at(26) << 8 | frame.at(27));
  };
  // 0102 + 0304 + 0506 + 0708 + protocol 17 + length 8
  EXPECT_EQ(field(ChecksumField::partial), 0x0102 + 0x0304 + 0x0506 + 0x0708 + 17 + 8);
  EXPECT_EQ(field(ChecksumField::zero), 0);
  EXPECT_EQ(field(ChecksumField::wrong), static_cast<uint16_t>(~field(ChecksumField::right)));
}

TEST(FrameBuilder, CutsADatagramIntoFragmentsThatJoinToTheSameBytes) {
  const Bytes data(100, 0x5a);
  const Bytes v4 =
      FrameBuilder().ethernet().vlan(5).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(data).build();
  const Bytes v6 =
      FrameBuilder().ethernet().ipv6("2001:db8::1", "2001:db8::2").udp(1, 2).payload(data).build();
  struct Row {
    const Bytes& whole;
    std::size_t l4;
    std::size_t cut_l4;
  };
  for (const Row& row : {Row{v4, 38, 38}, Row{v6, 54, 62}}) {
    Bytes joined;
    const std::vector<Bytes> fragments = fragments_of(row.whole, 48, 9);
    ASSERT_EQ(fragments.size(), 3u);
    for (const Bytes& one : fragments)
      joined.insert(joined.end(), one.begin() + static_cast<std::ptrdiff_t>(row.cut_l4), one.end());
    EXPECT_EQ(joined, Bytes(row.whole.begin() + static_cast<std::ptrdiff_t>(row.l4), row.whole.end()));
  }
  const std::vector<Bytes> fragments = fragments_of(v4, 48, 9);
  EXPECT_EQ(fragments[0].at(18 + 6), 0x20);  // more fragments, offset 0
  EXPECT_EQ(fragments[2].at(18 + 6), 0x00);
  EXPECT_EQ(fragments[2].at(18 + 7), 12);  // 96 bytes
  EXPECT_EQ(internet_checksum(Bytes(fragments[2].begin() + 18, fragments[2].begin() + 38)), 0);
}

TEST(FrameBuilder, RefusesStacksWithoutMeaning) {
  EXPECT_THROW(FrameBuilder().ethernet().tcp(1, 2).build(), std::invalid_argument);
  EXPECT_THROW(FrameBuilder().ipv4("10.0.0.1", "10.0.0.2").ethernet().build(), std::invalid_argument);
  EXPECT_THROW(FrameBuilder().ipv4("10.0.0.1", "2001:db8::1"), std::invalid_argument);
  EXPECT_THROW(FrameBuilder().hop_by_hop(9), std::invalid_argument);
}

}  // namespace
}  // namespace xebec::test
