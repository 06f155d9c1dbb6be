// SPDX-License-Identifier: BSD-2-Clause
// The shim said in C++ (control/shim_view.h) against the real program in the real kernel, over the same frames.
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <random>
#include <string>
#include <vector>

#include "control/shim_view.h"
#include "dataplane/ip_address.h"
#include "tests/bpf/loaded_shim.h"

namespace xebec::test {
namespace {

constexpr std::string_view kClient4 = "192.0.2.1", kVip4 = "203.0.113.10", kHost4 = "203.0.113.1";
constexpr std::string_view kClient6 = "2001:db8:1::1", kVip6 = "2001:db8:10::10";
constexpr std::string_view kPassedVip4 =
    "203.0.113.30";  // its service has no backend, and leaves packets to the host
constexpr std::string_view kOtherVip4 = "203.0.113.20";  // its services: any protocol, and SCTP by port
constexpr uint8_t kTcp = 6, kUdp = 17, kGre = 47, kSctp = 132;
constexpr uint16_t kService = 443, kNoService = 444, kPassedService = 445;
// Bytes behind these are payload, which neither reads.
constexpr std::size_t kMutatedBytes = 120;
constexpr std::size_t kShortest = 14;  // the kernel runs no shorter frame

SteeredService service(std::string_view vip, uint8_t protocol, uint16_t port) {
  const bool passes = vip == kPassedVip4 || port == kPassedService;
  return {{*IpPrefix::parse(vip), port, 0, protocol}, nullptr, passes};
}

FrameBuilder v4(std::string_view destination = kVip4, Ipv4Fields fields = {}) {
  return FrameBuilder().ethernet().ipv4(kClient4, destination, std::move(fields));
}
FrameBuilder v6(std::string_view destination = kVip6) {
  return FrameBuilder().ethernet().ipv6(kClient6, destination);
}

void add_ipv4(std::vector<Bytes>& out) {
  const Bytes data(40, 'd');
  out.push_back(v4().tcp(1, kService).build());
  out.push_back(v4().tcp(1, kNoService).payload(data).build());
  out.push_back(v4(kVip4, {.options = Bytes(12, 1)}).tcp(1, kService).build());
  out.push_back(v4().tcp(1, kPassedService).payload(data).build());
  out.push_back(v4(kPassedVip4).tcp(1, kService).build());
  out.push_back(v4(kPassedVip4).icmp(8).payload(data).build());
  out.push_back(v4(kPassedVip4, {.fragment_offset = 3, .protocol = kUdp}).payload(data).build());
  out.push_back(v4().udp(1, 53).payload(data).build());
  out.push_back(v4().icmp(8).payload(data).build());
  out.push_back(v4().icmp(3).payload(FrameBuilder().ipv4(kVip4, kClient4).tcp(kService, 1).build()).build());
  out.push_back(v4(kHost4).tcp(1, kService).build());
  out.push_back(v4(kOtherVip4, {.protocol = kGre}).payload(data).build());
  out.push_back(
      v4(kOtherVip4, {.protocol = kSctp}).payload(Bytes{0x9c, 0x40, 0x0f, 0x1c, 0, 0, 0, 1}).build());
  out.push_back(
      FrameBuilder().ethernet().vlan(1, 0x88a8).vlan(2).ipv4(kClient4, kVip4).tcp(1, kService).build());
  out.push_back(FrameBuilder().ethernet().vlan(1).vlan(2).vlan(3).ipv4(kClient4, kVip4).udp(1, 2).build());
  out.push_back(FrameBuilder().ethernet("ff:ff:ff:ff:ff:ff", kRouterMac, 0x0806).payload(Bytes(46)).build());
  for (const Bytes& fragment : fragments_of(v4().tcp(1, kService).payload(Bytes(120)).build(), 64, 99))
    out.push_back(fragment);
}

void add_ipv6(std::vector<Bytes>& out) {
  const Bytes data(40, 'd');
  out.push_back(v6().tcp(1, kService).build());
  out.push_back(v6().udp(1, 53).payload(data).build());
  out.push_back(v6().icmp(128).payload(data).build());
  out.push_back(v6().icmp(135).payload(Bytes(24)).build());
  out.push_back(v6().icmp(2).payload(FrameBuilder().ipv6(kVip6, kClient6).tcp(kService, 1).build()).build());
  out.push_back(v6("::ffff:203.0.113.10").tcp(1, kService).build());
  out.push_back(v6().hop_by_hop().routing().destination_options(16).tcp(1, kService).build());
  out.push_back(v6().authentication(24).tcp(1, kService).build());
  out.push_back(v6().fragment(0, true, 9).tcp(1, kService).build());
  out.push_back(v6().hop_by_hop().fragment(8, false, 9).payload(data).build());
  FrameBuilder nine = v6();
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS + 1; ++i) nine.destination_options();
  out.push_back(nine.tcp(1, kService).build());
  out.push_back(FrameBuilder().ethernet().vlan(7).ipv6(kClient6, kVip6).hop_by_hop().udp(1, 2).build());
}

class ShimViewAgainstShim : public testing::Test {
 protected:
  ShimViewAgainstShim() {
    add(kVip4, kTcp, kService);
    add(kVip4, kUdp, 0);
    add(kVip6, kTcp, kService);
    add(kVip6, kUdp, 0);
    add(kOtherVip4, kProtoAny, 0);
    add(kOtherVip4, kSctp, 3868);
    add(kPassedVip4, kTcp, kService);
    add(kVip4, kTcp, kPassedService);
    add_ipv4(base_);
    add_ipv6(base_);
  }

  void add(std::string_view vip, uint8_t protocol, uint16_t port) {
    services_.push_back(service(vip, protocol, port));
    shim_.set_services(services_);
    table_ = table_of(services_);
  }

  /// XDP_DROP is what a frame to steer gets here, for want of a socket.
  void compare(ShimView& view, const Bytes& frame) {
    const bool steered = shim_.run(frame) == XDP_DROP;
    (steered ? steered_ : passed_) += 1;
    if (view.steers(frame) != steered && ++faults_ <= 10)
      ADD_FAILURE() << (steered ? "the shim steers " : "the shim passes ") << testing::PrintToString(frame);
  }

  LoadedShim shim_;
  std::vector<SteeredService> services_;
  std::unique_ptr<const Table> table_;
  std::vector<Bytes> base_;
  int steered_ = 0, passed_ = 0, faults_ = 0;
};

TEST_F(ShimViewAgainstShim, AgreesOnEveryTruncationOfEveryPacket) {
  ShimView view(*table_);
  for (const Bytes& packet : base_) {
    for (std::size_t length = kShortest; length <= packet.size(); ++length)
      compare(view, Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(length)));
  }
  EXPECT_GE(base_.size(), 25u);
  EXPECT_GT(steered_, 300);
  EXPECT_GT(passed_, 1000);
}

TEST_F(ShimViewAgainstShim, AgreesOnEveryChangeOfOneByte) {
  ShimView view(*table_);
  for (const Bytes& packet : base_) {
    for (std::size_t at = 0; at < std::min(packet.size(), kMutatedBytes); ++at) {
      Bytes changed = packet;
      for (unsigned value = 0; value <= 0xff; ++value) {
        changed[at] = static_cast<uint8_t>(value);
        compare(view, changed);
      }
    }
  }
  EXPECT_GT(steered_, 100'000);
  EXPECT_GT(passed_, 100'000);
}

TEST_F(ShimViewAgainstShim, AgreesOnManyChangesAtOnce) {
  ShimView view(*table_);
  std::mt19937 random(20261121);
  for (int round = 0; round < 100'000; ++round) {
    Bytes frame = base_[static_cast<std::size_t>(round) % base_.size()];
    for (auto changes = 1 + random() % 4; changes > 0; --changes)
      frame[12 + random() % (frame.size() - 12)] = static_cast<uint8_t>(random());
    frame.resize(kShortest + random() % frame.size());
    compare(view, frame);
  }
  EXPECT_GT(steered_, 5'000);
}

TEST_F(ShimViewAgainstShim, AgreesOnWhomAFrameIsSentTo) {
  const MacAddress mac = *parse_mac(kBalancerMac);
  shim_.configure(XDP_DROP, 0, mac);
  ShimView view(*table_, {mac});
  for (const char* to : {"02:00:00:00:00:02", "02:00:00:00:00:03", "03:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"})
    compare(view, FrameBuilder().ethernet(to).ipv4(kClient4, kVip4).tcp(1, kService).build());
  EXPECT_EQ(steered_, 1);
  EXPECT_EQ(passed_, 3);
}

TEST(ShimView, TakesFramesToAnyOfItsAddresses) {
  const auto table = table_of({service(kVip4, kTcp, kService)});
  const Bytes frame = v4().tcp(1, kService).build();
  const MacAddress mine = *parse_mac(kBalancerMac), another{{2, 9, 9, 9, 9, 9}};
  EXPECT_TRUE(ShimView(*table).steers(frame));
  EXPECT_TRUE(ShimView(*table, {another, mine}).steers(frame));
  EXPECT_FALSE(ShimView(*table, {another}).steers(frame));
  EXPECT_TRUE(ShimView(*table, {another, MacAddress{}}).steers(frame)) << "all zero stands for any";
}

TEST(ShimView, PassesWhatIsShorterThanAnEthernetHeader) {
  const auto table = table_of({service(kVip4, kTcp, kService)});
  ShimView view(*table);
  for (std::size_t length = 0; length < kShortest; ++length) EXPECT_FALSE(view.steers(Bytes(length)));
}

}  // namespace
}  // namespace xebec::test
