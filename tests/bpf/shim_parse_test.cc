// SPDX-License-Identifier: BSD-2-Clause
// Which packets the shim takes for a service's, by the real program in the real kernel.
#include <gtest/gtest.h>

#include <initializer_list>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/bpf/loaded_shim.h"

namespace xebec::test {
namespace {

constexpr std::string_view kClient4 = "192.0.2.1", kVip4 = "203.0.113.10", kHost4 = "203.0.113.1";
constexpr std::string_view kClient6 = "2001:db8:1::1", kVip6 = "2001:db8:10::10", kHost6 = "2001:db8:10::1";
// A VIP whose only service is GRE, and SCTP by port.
constexpr std::string_view kOtherVip4 = "203.0.113.20";
constexpr uint8_t kTcp = 6, kUdp = 17, kGre = 47, kNoNext = 59, kSctp = 132;
constexpr uint16_t kService = 443, kNoService = 444;
constexpr std::size_t kEthernet = 14, kL4Read = 4;  // the bytes of an L4 header the shim looks at

class Shim : public testing::TestWithParam<VariableReads> {
 protected:
  void SetUp() override {
    shim_.emplace(GetParam());
    for (const std::string_view vip : {kVip4, kVip6}) {
      shim_->add_service(vip, kTcp, kService);
      shim_->add_service(vip, kUdp, 0);
    }
    shim_->add_service(kOtherVip4, kGre, 0);
    shim_->add_service(kOtherVip4, kSctp, 3868);
  }

  bool steers(const FrameBuilder& frame) { return shim_->steers(frame.build()); }

  std::optional<LoadedShim> shim_;
};

INSTANTIATE_TEST_SUITE_P(Reads, Shim, testing::Values(VariableReads::helper, VariableReads::packet_pointer),
                         [](const auto& row) {
                           return row.param == VariableReads::helper ? "Helper" : "PacketPointer";
                         });

FrameBuilder v4(std::string_view destination = kVip4, Ipv4Fields fields = {}) {
  return FrameBuilder().ethernet().ipv4(kClient4, destination, std::move(fields));
}
FrameBuilder v6(std::string_view destination = kVip6, Ipv6Fields fields = {}) {
  return FrameBuilder().ethernet().ipv6(kClient6, destination, fields);
}
FrameBuilder tagged(int tags) {
  FrameBuilder frame = FrameBuilder().ethernet();
  if (tags == 2) frame.vlan(100, 0x88a8);
  if (tags >= 1) frame.vlan(200);
  return frame;
}

TEST_P(Shim, SteersExactlyTheConfiguredPortOf65536) {
  for (const bool ipv6 : {false, true}) {
    Bytes frame = (ipv6 ? v6() : v4()).tcp(40000, 0).build();
    const std::size_t port_at = kEthernet + (ipv6 ? 40 : 20) + 2;
    for (uint32_t port = 0; port <= 65535; port++) {
      frame[port_at] = static_cast<uint8_t>(port >> 8);
      frame[port_at + 1] = static_cast<uint8_t>(port);
      ASSERT_EQ(shim_->steers(frame), port == kService) << "port " << port << (ipv6 ? " IPv6" : " IPv4");
    }
  }
}

TEST_P(Shim, SteersAll65536PortsOfAServiceForAnyPort) {
  for (const bool ipv6 : {false, true}) {
    Bytes frame = (ipv6 ? v6() : v4()).udp(40000, 0).build();
    const std::size_t port_at = kEthernet + (ipv6 ? 40 : 20) + 2;
    for (uint32_t port = 0; port <= 65535; port++) {
      frame[port_at] = static_cast<uint8_t>(port >> 8);
      frame[port_at + 1] = static_cast<uint8_t>(port);
      ASSERT_TRUE(shim_->steers(frame)) << "port " << port << (ipv6 ? " IPv6" : " IPv4");
    }
  }
}

TEST_P(Shim, LooksAtTheDestinationPortOnly) {
  EXPECT_FALSE(steers(v4().tcp(kService, kNoService)));
  EXPECT_FALSE(steers(v6().tcp(kService, kNoService)));
}

TEST_P(Shim, PassesTheHostsOwnTraffic) {
  const Bytes arp =
      FrameBuilder().ethernet("ff:ff:ff:ff:ff:ff", kRouterMac, 0x0806).payload(Bytes(46)).build();
  EXPECT_FALSE(shim_->steers(arp));
  EXPECT_FALSE(
      shim_->steers(FrameBuilder().ethernet(kBalancerMac, kRouterMac, 0x88cc).payload(Bytes(46)).build()));
  EXPECT_FALSE(steers(v4(kHost4).tcp(40000, kService)));
  EXPECT_FALSE(steers(v4(kHost4).udp(40000, 53)));
  EXPECT_FALSE(steers(v4(kHost4).icmp(8)));
  EXPECT_FALSE(steers(v4(kHost4, {.more_fragments = true}).udp(40000, 53)));
  EXPECT_FALSE(steers(v4(kHost4, {.fragment_offset = 100}).payload(Bytes(64))));
  EXPECT_FALSE(steers(v6(kHost6).tcp(40000, kService)));
  EXPECT_FALSE(steers(v6(kHost6).icmp(128)));
  EXPECT_FALSE(steers(v6(kHost6).fragment(100, false, 1).payload(Bytes(64))));
  // From the VIP is not to the VIP.
  EXPECT_FALSE(steers(FrameBuilder().ethernet().ipv4(kVip4, kClient4).tcp(kService, kService)));
  EXPECT_FALSE(steers(FrameBuilder().ethernet().ipv6(kVip6, kClient6).tcp(kService, kService)));
}

TEST_P(Shim, LooksBehindTwoVlanTagsAndPassesThree) {
  for (int tags = 0; tags <= 2; tags++) {
    EXPECT_TRUE(steers(tagged(tags).ipv4(kClient4, kVip4).tcp(40000, kService))) << tags;
    EXPECT_TRUE(steers(tagged(tags).ipv6(kClient6, kVip6).tcp(40000, kService))) << tags;
    EXPECT_FALSE(steers(tagged(tags).ipv4(kClient4, kVip4).tcp(40000, kNoService))) << tags;
    EXPECT_FALSE(steers(tagged(tags).ipv6(kClient6, kVip6).tcp(40000, kNoService))) << tags;
  }
  EXPECT_TRUE(steers(FrameBuilder().ethernet().vlan(1, 0x88a8).ipv4(kClient4, kVip4).tcp(40000, kService)));
  EXPECT_TRUE(steers(FrameBuilder().ethernet().vlan(1).vlan(2).ipv4(kClient4, kVip4).tcp(40000, kService)));
  EXPECT_FALSE(steers(tagged(2).vlan(3).ipv4(kClient4, kVip4).tcp(40000, kService)));
  EXPECT_FALSE(steers(tagged(2).vlan(3).ipv6(kClient6, kVip6).tcp(40000, kService)));
}

struct Truncated {
  std::string name;
  Bytes service;     // steered once its first four L4 bytes are there
  Bytes no_service;  // never steered
  std::size_t l4;    // where they begin
};

std::vector<Truncated> truncation_rows() {
  std::vector<Truncated> rows;
  const auto row = [&rows](std::string name, const Bytes& service, const Bytes& no_service,
                           std::size_t l4_length) {
    rows.push_back({std::move(name), service, no_service, service.size() - l4_length});
  };
  for (int tags = 0; tags <= 2; tags++) {
    const std::string name = std::to_string(tags) + " tags ";
    const auto ip4 = [tags](std::string_view to = kVip4) { return tagged(tags).ipv4(kClient4, to); };
    const auto ip6 = [tags](std::string_view to = kVip6) { return tagged(tags).ipv6(kClient6, to); };
    row(name + "tcp4", ip4().tcp(1, kService).build(), ip4().tcp(1, kNoService).build(), 20);
    row(name + "tcp6", ip6().tcp(1, kService).build(), ip6().tcp(1, kNoService).build(), 20);
    row(name + "udp4", ip4().udp(1, 53).payload("x").build(), ip4(kHost4).udp(1, 53).payload("x").build(), 9);
    row(name + "udp6", ip6().udp(1, 53).payload("x").build(), ip6(kHost6).udp(1, 53).payload("x").build(), 9);
    row(name + "icmp4", ip4().icmp(8).payload("ping").build(), ip4().icmp(0).payload("ping").build(), 12);
    row(name + "icmp6", ip6().icmp(128).payload("ping").build(), ip6().icmp(135).payload("ping").build(), 12);
    const auto options = [tags](uint16_t port) {
      return tagged(tags).ipv4(kClient4, kVip4, {.options = Bytes(40, 1)}).tcp(1, port).build();
    };
    row(name + "options", options(kService), options(kNoService), 20);
    const auto extensions = [&ip6](uint16_t port) {
      return ip6()
          .hop_by_hop(16)
          .routing(24)
          .fragment(0, true, 1)
          .authentication(20)
          .destination_options(8)
          .tcp(1, port);
    };
    row(name + "extensions", extensions(kService).build(), extensions(kNoService).build(), 20);
  }
  return rows;
}

TEST_P(Shim, PassesWhatIsCutBeforeItsPortsAtEveryLength) {
  for (const Truncated& row : truncation_rows()) {
    for (std::size_t length = kEthernet; length <= row.service.size(); length++) {
      const auto end = static_cast<std::ptrdiff_t>(length);
      const Bytes cut(row.service.begin(), row.service.begin() + end);
      EXPECT_EQ(shim_->steers(cut), length >= row.l4 + kL4Read) << row.name << " cut to " << length;
      const Bytes other(row.no_service.begin(), row.no_service.begin() + end);
      EXPECT_FALSE(shim_->steers(other)) << row.name << " without service, cut to " << length;
    }
  }
}

TEST_P(Shim, TakesNoPaddingForPorts) {
  // The frame goes on, the IP length field says it is not the packet's.
  for (uint16_t granted = 0; granted <= 8; granted++) {
    const bool enough = granted >= kL4Read;
    const auto total = static_cast<uint16_t>(20 + granted);
    EXPECT_EQ(steers(v4(kVip4, {.total_length = total}).tcp(1, kService)), enough) << granted;
    EXPECT_EQ(steers(v6(kVip6, {.payload_length = granted}).tcp(1, kService)), enough) << granted;
    const auto extended = static_cast<uint16_t>(8 + granted);
    EXPECT_EQ(steers(v6(kVip6, {.payload_length = extended}).hop_by_hop().tcp(1, kService)), enough)
        << granted;
    const auto with_options = static_cast<uint16_t>(24 + granted);
    EXPECT_EQ(steers(v4(kVip4, {.options = Bytes(4, 1), .total_length = with_options}).tcp(1, kService)),
              enough)
        << granted;
  }
  EXPECT_FALSE(steers(v4(kVip4, {.total_length = 0}).tcp(1, kService)));
  EXPECT_FALSE(steers(v6(kVip6, {.payload_length = 7}).hop_by_hop().tcp(1, kService)));
}

TEST_P(Shim, ReadsPortsBehindIpv4OptionsOfEveryLength) {
  for (std::size_t words = 0; words <= 10; words++) {
    const Bytes options(words * 4, 1);
    EXPECT_TRUE(steers(v4(kVip4, {.options = options}).tcp(1, kService))) << words;
    EXPECT_FALSE(steers(v4(kVip4, {.options = options}).tcp(1, kNoService))) << words;
    EXPECT_TRUE(steers(v4(kVip4, {.options = options}).icmp(8))) << words;
  }
}

TEST_P(Shim, PassesImpossibleIpHeaders) {
  for (uint8_t ihl = 0; ihl < 5; ihl++)
    EXPECT_FALSE(steers(v4(kVip4, {.ihl = ihl}).tcp(1, kService))) << int(ihl);
  for (uint8_t version = 0; version < 16; version++) {
    EXPECT_EQ(steers(v4(kVip4, {.version = version}).tcp(1, kService)), version == 4) << int(version);
    EXPECT_EQ(steers(v6(kVip6, {.version = version}).tcp(1, kService)), version == 6) << int(version);
  }
  EXPECT_FALSE(steers(v4(kVip4, {.fragment_offset = 1, .ihl = 4}).payload(Bytes(64))));
}

TEST_P(Shim, SteersFirstFragmentsByPortAndLaterOnesByAddress) {
  struct Row {
    const char* name;
    Bytes whole;
    bool first;
    bool later;
  };
  const Bytes data(200, 0xbb);
  const Row rows[] = {
      {"udp4", v4().udp(1, 53).payload(data).build(), true, true},
      {"tcp4", v4().tcp(1, kService).payload(data).build(), true, true},
      {"tcp4 without service", v4().tcp(1, kNoService).payload(data).build(), false, true},
      {"udp4 host", v4(kHost4).udp(1, 53).payload(data).build(), false, false},
      {"icmp4", v4().icmp(8).payload(data).build(), true, true},
      {"udp6", v6().udp(1, 53).payload(data).build(), true, true},
      {"tcp6 without service", v6().tcp(1, kNoService).payload(data).build(), false, true},
      {"udp6 host", v6(kHost6).udp(1, 53).payload(data).build(), false, false},
      {"icmp6", v6().icmp(128).payload(data).build(), true, true},
  };
  for (const Row& row : rows) {
    const std::vector<Bytes> fragments = fragments_of(row.whole, 64, 0x12345678);
    ASSERT_GE(fragments.size(), 3u);
    for (std::size_t i = 0; i < fragments.size(); i++)
      EXPECT_EQ(shim_->steers(fragments[i]), i == 0 ? row.first : row.later) << row.name << " fragment " << i;
  }
}

TEST_P(Shim, SteersALaterFragmentBehindOtherExtensionHeaders) {
  EXPECT_TRUE(steers(v6().hop_by_hop().routing().fragment(8, false, 1).payload(Bytes(16))));
  // An atomic fragment (RFC 6946) is whole: its ports count.
  EXPECT_TRUE(steers(v6().fragment(0, false, 1).tcp(1, kService)));
  EXPECT_FALSE(steers(v6().fragment(0, false, 1).tcp(1, kNoService)));
}

TEST_P(Shim, WalksEveryExtensionHeaderAtEveryLength) {
  for (std::size_t length = 8; length <= 1024; length += 8) {
    EXPECT_TRUE(steers(v6().hop_by_hop(length).tcp(1, kService))) << length;
    EXPECT_FALSE(steers(v6().hop_by_hop(length).tcp(1, kNoService))) << length;
    EXPECT_TRUE(steers(v6().routing(length).udp(1, 53))) << length;
    EXPECT_TRUE(steers(v6().destination_options(length).icmp(128))) << length;
  }
  for (std::size_t length = 12; length <= 1028; length += 4) {
    EXPECT_TRUE(steers(v6().authentication(length).tcp(1, kService))) << length;
    EXPECT_FALSE(steers(v6().authentication(length).tcp(1, kNoService))) << length;
  }
  // The longest order of RFC 8200 section 4.1.
  EXPECT_TRUE(steers(v6().hop_by_hop()
                         .destination_options()
                         .routing()
                         .fragment(0, true, 1)
                         .authentication()
                         .destination_options()
                         .tcp(1, kService)));
}

TEST_P(Shim, GivesUpBehindEightExtensionHeaders) {
  for (int count = 0; count <= 12; count++) {
    FrameBuilder frame = v6();
    for (int i = 0; i < count; i++) frame.destination_options();
    EXPECT_EQ(steers(frame.tcp(1, kService)), count <= XEBEC_MAX_IPV6_EXTENSIONS) << count;
  }
  // Not cut short by the bound either: the ninth is a later fragment, and still a header too many.
  FrameBuilder frame = v6();
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS; i++) frame.destination_options();
  EXPECT_FALSE(steers(frame.fragment(8, false, 1).payload(Bytes(16))));
}

TEST_P(Shim, PassesExtensionHeadersThatLeaveThePacket) {
  for (int length = 0; length < 256; length++) {
    Bytes frame = v6().hop_by_hop(8).tcp(1, kService).build();
    frame[kEthernet + 40 + 1] = static_cast<uint8_t>(length);
    EXPECT_EQ(shim_->steers(frame), length == 0) << length;
  }
  EXPECT_FALSE(steers(v6(kVip6, {.next_header = kNoNext}).payload(Bytes(20))));
}

TEST_P(Shim, SteersTheIcmpAWorkerActsOn) {
  for (int type = 0; type < 256; type++) {
    const auto icmp = static_cast<uint8_t>(type);
    const bool error4 = type == 3 || type == 4 || type == 11 || type == 12;
    EXPECT_EQ(steers(v4().icmp(icmp)), error4 || type == 8) << "ICMP type " << type;
    const bool error6 = type >= 1 && type <= 4;
    EXPECT_EQ(steers(v6().icmp(icmp)), error6 || type == 128) << "ICMPv6 type " << type;
  }
  // The other family's ICMP is just a protocol without a service.
  EXPECT_FALSE(steers(v4(kVip4, {.protocol = 58}).payload(Bytes{128, 0, 0, 0, 0, 0, 0, 0})));
  EXPECT_FALSE(steers(v6(kVip6, {.next_header = 1}).payload(Bytes{8, 0, 0, 0, 0, 0, 0, 0})));
}

TEST_P(Shim, PassesUnicastNeighbourDiscoveryAndMldToAVip) {
  for (const uint8_t type : std::initializer_list<uint8_t>{130, 131, 132, 133, 134, 135, 136, 137, 143}) {
    EXPECT_FALSE(steers(v6().icmp(type).payload(Bytes(24)))) << int(type);
    EXPECT_FALSE(steers(v6().hop_by_hop().icmp(type).payload(Bytes(24)))) << int(type);
  }
}

TEST_P(Shim, SteersOtherProtocolsOnlyAsServices) {
  EXPECT_TRUE(steers(v4(kOtherVip4, {.protocol = kGre}).payload(Bytes(8))));
  EXPECT_TRUE(steers(v4(kOtherVip4, {.protocol = kGre})));  // nothing of it is read
  EXPECT_FALSE(steers(v4(kVip4, {.protocol = kGre}).payload(Bytes(8))));
  EXPECT_FALSE(steers(v4(kVip4, {.protocol = 89}).payload(Bytes(44))));
  const Bytes sctp = {0x9c, 0x40, 0x0f, 0x1c, 0, 0, 0, 1, 0, 0, 0, 0};  // 40000 -> 3868
  Bytes other = sctp;
  other[3] = 0x1d;
  EXPECT_TRUE(steers(v4(kOtherVip4, {.protocol = kSctp}).payload(sctp)));
  EXPECT_FALSE(steers(v4(kOtherVip4, {.protocol = kSctp}).payload(other)));
  EXPECT_FALSE(steers(v4(kOtherVip4).tcp(1, 3868)));
}

TEST_P(Shim, NeverTakesAnIpv4MappedIpv6AddressForTheIpv4Vip) {
  const Bytes frame = v6("::ffff:203.0.113.10").tcp(1, kService).build();
  EXPECT_FALSE(shim_->steers(frame));
  EXPECT_FALSE(steers(v6("::ffff:203.0.113.10").fragment(8, false, 1).payload(Bytes(16))));
}

TEST(ShimReads, AgreeOnMutatedPackets) {
  LoadedShim helper(VariableReads::helper), pointer(VariableReads::packet_pointer);
  for (LoadedShim* shim : {&helper, &pointer}) {
    shim->add_service(kVip4, kTcp, kService);
    shim->add_service(kVip6, kTcp, kService);
  }
  const Bytes seeds[] = {
      v4(kVip4, {.options = Bytes(12, 1)}).tcp(1, kService).build(),
      v4().icmp(3).payload(Bytes(28)).build(),
      v6().hop_by_hop(16).fragment(0, true, 1).authentication(16).tcp(1, kService).build(),
      tagged(2).ipv6(kClient6, kVip6).routing(8).destination_options(16).tcp(1, kService).build(),
  };
  std::mt19937 random(20260101);
  uint32_t dropped = 0;
  for (int round = 0; round < 40000; round++) {
    Bytes frame = seeds[static_cast<std::size_t>(round) % std::size(seeds)];
    for (auto flips = 1 + random() % 3; flips > 0; flips--)
      frame[12 + random() % (frame.size() - 12)] = static_cast<uint8_t>(random());
    frame.resize(kEthernet + random() % (frame.size() - kEthernet + 16));
    const uint32_t verdict = helper.run(frame);
    ASSERT_EQ(verdict, pointer.run(frame)) << "round " << round;
    dropped += verdict == 1 ? 1 : 0;
  }
  EXPECT_GT(dropped, 1000u) << "the mutations leave nothing to steer: the test tests nothing";
}

}  // namespace
}  // namespace xebec::test
