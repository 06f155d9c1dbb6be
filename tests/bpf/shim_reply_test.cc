// SPDX-License-Identifier: BSD-2-Clause
// Which packets the shim takes for replies of translating services: exactly those of their backends' endpoints to what stands
// for a client, and never the host's own.
#include <gtest/gtest.h>

#include "control/shim_view.h"
#include "dataplane/ip_address.h"
#include "tests/bpf/loaded_shim.h"

namespace xebec::test {
namespace {

constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

struct Family {
  bool v6;
  const char *backend, *other, *source, *client, *own, *router;
};
constexpr Family kFamilies[] = {
    {false, "10.0.0.1", "10.0.0.9", "198.51.100.1", "192.0.2.1", "198.51.100.7", "192.0.2.254"},
    {true, "2001:db8:1::1", "2001:db8:1::9", "2001:db8:51::1", "2001:db8:c::1", "2001:db8:51::7",
     "2001:db8:c::fe"}};

FrameBuilder ip(const Family& f, const char* from, const char* to,
                FrameBuilder frame = FrameBuilder().ethernet()) {
  return f.v6 ? frame.ipv6(from, to) : frame.ipv4(from, to);
}

class ShimReply : public testing::TestWithParam<VariableReads> {
 protected:
  LoadedShim shim_{GetParam()};
};

TEST_P(ShimReply, IsNotLookedForWithoutATranslatingService) {
  for (const Family& f : kFamilies)
    EXPECT_FALSE(shim_.steers(ip(f, f.backend, f.source).tcp(8443, 10000).build()));
}

TEST_P(ShimReply, OfModeNatIsForTheSourcesPortsFromTheBackendsEndpointOnly) {
  for (const Family& f : kFamilies) {
    shim_.add_nat_backend(f.backend, kTcp, 8443, XEBEC_NAT);
    shim_.add_nat_source(f.source, 10000, 32767);
    for (uint32_t port = 0; port < 65536; ++port) {
      ASSERT_EQ(shim_.steers(ip(f, f.backend, f.source).tcp(8443, static_cast<uint16_t>(port)).build()),
                port >= 10000 && port <= 32767)
          << port;
    }
    EXPECT_FALSE(shim_.steers(ip(f, f.backend, f.source).udp(8443, 10000).build())) << "another protocol";
    EXPECT_FALSE(shim_.steers(ip(f, f.backend, f.source).tcp(8444, 10000).build()))
        << "another port of the backend";
    EXPECT_FALSE(shim_.steers(ip(f, f.other, f.source).tcp(8443, 10000).build())) << "another host";
    EXPECT_FALSE(shim_.steers(ip(f, f.backend, f.client).tcp(8443, 10000).build())) << "to another address";
    EXPECT_TRUE(
        shim_.steers(ip(f, f.backend, f.source, FrameBuilder().ethernet().vlan(7)).tcp(8443, 10000).build()));
  }
}

TEST_P(ShimReply, OfModeDnatIsForEverybodyButThisHost) {
  for (const Family& f : kFamilies) {
    shim_.add_nat_backend(f.backend, kTcp, 8443, XEBEC_DNAT);
    shim_.add_own_address(f.own);
    EXPECT_TRUE(shim_.steers(ip(f, f.backend, f.client).tcp(8443, 1).build()));
    EXPECT_FALSE(shim_.steers(ip(f, f.backend, f.own).tcp(8443, 1).build())) << "the host's own health check";
    EXPECT_FALSE(shim_.steers(ip(f, f.backend, f.client).tcp(22, 1).build())) << "not the service's port";
    EXPECT_FALSE(shim_.steers(ip(f, f.backend, f.client).icmp(f.v6 ? 128 : 8).build()))
        << "the backend pings somebody";
  }
}

TEST_P(ShimReply, OfAnyPortIsThatOfEveryPort) {
  for (const Family& f : kFamilies) {
    shim_.add_nat_backend(f.backend, kUdp, 0, XEBEC_NAT | XEBEC_DNAT);
    shim_.add_nat_source(f.source, 20000, 20000);
    shim_.add_own_address(f.source);
    EXPECT_TRUE(shim_.steers(ip(f, f.backend, f.source).udp(5, 20000).build()));
    EXPECT_FALSE(shim_.steers(ip(f, f.backend, f.source).udp(5, 20001).build())) << "the host's own port";
    EXPECT_TRUE(shim_.steers(ip(f, f.backend, f.client).udp(6, 20001).build()));
  }
}

TEST_P(ShimReply, IsAlsoAnErrorThatQuotesWhatWasSentToABackend) {
  for (const Family& f : kFamilies) {
    shim_.add_nat_backend(f.backend, kTcp, 8443, XEBEC_NAT);
    shim_.add_nat_backend(f.backend, kUdp, 53, XEBEC_DNAT);
    shim_.add_nat_source(f.source, 10000, 32767);
    shim_.add_own_address(f.source);
    const auto error = [&](uint8_t type, const char* to, const Bytes& quoted) {
      return ip(f, f.router, to).icmp(type).payload(quoted).build();
    };
    const auto packet = [&](const char* from) { return ip(f, from, f.backend, FrameBuilder()); };
    const uint8_t unreachable = f.v6 ? 1 : 3;
    EXPECT_TRUE(shim_.steers(error(unreachable, f.source, packet(f.source).tcp(10000, 8443).build())));
    EXPECT_TRUE(shim_.steers(error(f.v6 ? 2 : 11, f.source, packet(f.source).tcp(10000, 8443).build())));
    EXPECT_TRUE(shim_.steers(error(unreachable, f.client, packet(f.client).udp(4000, 53).build())));
    EXPECT_FALSE(shim_.steers(error(unreachable, f.source, packet(f.source).tcp(9999, 8443).build())));
    EXPECT_FALSE(shim_.steers(error(unreachable, f.source, packet(f.source).tcp(10000, 8444).build())));
    EXPECT_FALSE(shim_.steers(error(unreachable, f.source, packet(f.source).udp(10000, 53).build())))
        << "a question of the host's own";
    EXPECT_FALSE(shim_.steers(error(unreachable, f.client, packet(f.source).tcp(10000, 8443).build())))
        << "to another than the sender of what it quotes";
    EXPECT_FALSE(shim_.steers(error(f.v6 ? 128 : 8, f.source, packet(f.source).tcp(10000, 8443).build())));
    Bytes cut = error(unreachable, f.source, packet(f.source).tcp(10000, 8443).build());
    for (std::size_t length = 14; length < cut.size() - 16; ++length)
      EXPECT_FALSE(shim_.steers(Bytes(cut.begin(), cut.begin() + static_cast<std::ptrdiff_t>(length))))
          << length;
  }
}

TEST_P(ShimReply, IsAnErrorAboutSctpAndBehindExtensionHeadersToo) {
  constexpr uint8_t kSctp = 132;
  ReplyRules rules;
  rules.first_port = 10000;
  rules.last_port = 32767;
  for (const Family& f : kFamilies) {
    for (const uint8_t protocol : {kUdp, kSctp}) {
      shim_.add_nat_backend(f.backend, protocol, 53, XEBEC_NAT);
      rules.backends[{*IpAddress::parse(f.backend), 53, protocol}] = XEBEC_NAT;
    }
    shim_.add_nat_source(f.source, rules.first_port, rules.last_port);
    rules.sources.insert(*IpAddress::parse(f.source));
  }
  const auto table = table_of({});
  ShimView view(*table, {}, rules);
  const auto steers = [&](const Bytes& frame) {
    const bool by_kernel = shim_.steers(frame);
    EXPECT_EQ(view.steers(frame), by_kernel) << "said in C++";
    return by_kernel;
  };
  const Bytes ports = {0x27, 0x10, 0, 53, 1, 2, 3, 4};  // 10000 to 53, and a verification tag
  for (const Family& f : kFamilies) {
    FrameBuilder quoted;
    f.v6 ? quoted.ipv6(f.source, f.backend, {.next_header = kSctp})
         : quoted.ipv4(f.source, f.backend, {.protocol = kSctp});
    EXPECT_TRUE(
        steers(ip(f, f.router, f.source).icmp(f.v6 ? 1 : 3).payload(quoted.payload(ports).build()).build()));
  }
  const Family& f = kFamilies[1];
  const auto error = [&](FrameBuilder quoted) {
    return ip(f, f.router, f.source).icmp(2).payload(quoted.build()).build();
  };
  const auto packet = [&] { return FrameBuilder().ipv6(f.source, f.backend); };
  EXPECT_TRUE(steers(error(packet().hop_by_hop().destination_options(16).udp(10000, 53))));
  EXPECT_TRUE(steers(error(packet().authentication(24).udp(10000, 53))));
  EXPECT_TRUE(steers(error(packet().fragment(0, true, 9).udp(10000, 53))));
  EXPECT_FALSE(steers(error(packet().fragment(8, false, 9).udp(10000, 53))))
      << "payload that looks like ports";
  EXPECT_FALSE(steers(error(packet().hop_by_hop().udp(10000, 54)))) << "the host's own";
  FrameBuilder deep = packet();
  for (int i = 0; i < XEBEC_MAX_IPV6_EXTENSIONS; ++i) deep.destination_options();
  EXPECT_TRUE(steers(error(FrameBuilder(deep).udp(10000, 53))));
  EXPECT_FALSE(steers(error(deep.destination_options().udp(10000, 53)))) << "one more than is walked";
  const Bytes whole = error(packet().hop_by_hop().destination_options(16).udp(10000, 53));
  for (std::size_t length = 14; length + 4 < whole.size(); ++length)
    EXPECT_FALSE(steers(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)))) << length;
}

std::vector<Bytes> datagram(const Family& f, const char* from, const char* to, uint16_t port,
                            uint16_t to_port, uint32_t id) {
  return fragments_of(ip(f, from, to).udp(port, to_port).payload(Bytes(2000, 'x')).build(), 800, id);
}

TEST_P(ShimReply, BringsTheLaterFragmentsOfARepliedDatagramAndNoOthers) {
  for (const Family& f : kFamilies) {
    shim_.add_nat_backend(f.backend, kUdp, 53, XEBEC_DNAT);
    for (const Bytes& ours : datagram(f, f.backend, f.client, 53, 4000, 7)) EXPECT_TRUE(shim_.steers(ours));
    for (const Bytes& other : datagram(f, f.backend, f.client, 54, 4000, 8))
      EXPECT_FALSE(shim_.steers(other));
    // The id has come round: whose the first one is counts, not whose it was.
    for (const Bytes& other : datagram(f, f.backend, f.client, 54, 4000, 7))
      EXPECT_FALSE(shim_.steers(other));
    for (const Bytes& ours : datagram(f, f.backend, f.client, 53, 4000, 8)) EXPECT_TRUE(shim_.steers(ours));
  }
}

TEST_P(ShimReply, BringsLaterFragmentsThatComeBeforeTheirFirstIfTheyMayBeOfOne) {
  for (const Family& f : kFamilies) {
    shim_.add_nat_source(f.source, 10000, 32767);
    shim_.add_own_address(f.source);
    shim_.add_own_address(f.own);
    uint32_t id = 100;
    const auto later = [&](const char* from, const char* to) {
      return shim_.steers(datagram(f, from, to, 53, 10000, ++id)[1]);
    };
    shim_.add_nat_backend(f.backend, kTcp, 53, XEBEC_NAT | XEBEC_DNAT);
    EXPECT_FALSE(later(f.backend, f.source)) << "a backend of another protocol";
    shim_.add_nat_backend(f.backend, kUdp, 53, XEBEC_NAT);
    EXPECT_TRUE(later(f.backend, f.source));
    EXPECT_FALSE(later(f.other, f.source)) << "no backend";
    EXPECT_FALSE(later(f.backend, f.own)) << "clients are not translated to that address";
    EXPECT_FALSE(later(f.backend, f.client)) << "nor are they left as they are";
    shim_.add_nat_backend(f.backend, kUdp, 54, XEBEC_DNAT);
    EXPECT_TRUE(later(f.backend, f.client));
    EXPECT_TRUE(later(f.backend, f.source)) << "one mode takes nothing from the other";
    EXPECT_FALSE(later(f.backend, f.own));
  }
}

TEST_P(ShimReply, LeavesTheHostsFragmentsFromABackendAloneBehindTheirFirst) {
  for (const Family& f : kFamilies) {
    shim_.add_nat_backend(f.backend, kUdp, 53, XEBEC_NAT | XEBEC_DNAT);
    shim_.add_nat_source(f.source, 10000, 32767);
    shim_.add_own_address(f.source);
    for (const Bytes& frame : datagram(f, f.backend, f.source, 2049, 800, 7))
      EXPECT_FALSE(shim_.steers(frame));
    for (const Bytes& frame : datagram(f, f.backend, f.client, 2049, 800, 7))
      EXPECT_FALSE(shim_.steers(frame));
    for (const Bytes& frame : fragments_of(
             ip(f, f.backend, f.source).icmp(f.v6 ? 128 : 8).payload(Bytes(2000, 'p')).build(), 800, 9))
      EXPECT_FALSE(shim_.steers(frame)) << "a ping";
  }
}

INSTANTIATE_TEST_SUITE_P(Reads, ShimReply,
                         testing::Values(VariableReads::helper, VariableReads::packet_pointer),
                         [](const auto& p) {
                           return p.param == VariableReads::helper ? "Helper" : "PacketPointer";
                         });

}  // namespace
}  // namespace xebec::test
