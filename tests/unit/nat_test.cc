// SPDX-License-Identifier: BSD-2-Clause
// Translated connections through forward_batch(), both ways: every packet against one drawn by hand.
#include "dataplane/nat.h"

#include <gtest/gtest.h>

#include <memory>

#include "dataplane/crc32c.h"
#include "dataplane/nat_table.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::address;
using test::Bytes;
using test::bytes_of;
using test::FrameBuilder;
using test::HeapFrame;
using test::TableStory;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNow = 1000 * kSecond;
constexpr std::string_view kClientMac = test::kRouterMac;  // the sides' link addresses, as received
constexpr std::string_view kOurs = test::kBalancerMac;
constexpr std::string_view kHop = "02:00:00:00:bb:00";  // of the first backend
constexpr std::string_view kOut = "02:00:00:00:ee:01";

struct Family {
  bool v6;
  const char *client, *vip, *backend, *source;  // source: of mode nat
};
constexpr Family kFamilies[] = {{false, "192.0.2.1", "203.0.113.10", "10.0.0.1", "198.51.100.1"},
                                {true, "2001:db8:c::1", "2001:db8::10", "2001:db8:1::1", "2001:db8:51::1"}};

FrameBuilder ip(FrameBuilder frame, const Family& f, const char* from, const char* to, uint8_t ttl = 64,
                bool dont_fragment = false) {
  return f.v6 ? frame.ipv6(from, to, {.hop_limit = ttl})
              : frame.ipv4(from, to, {.dont_fragment = dont_fragment, .ttl = ttl});
}

struct Sent {
  Decision decision;
  Bytes bytes;
};

class Nat : public testing::TestWithParam<Mode> {
 protected:
  void make(const Family& f, uint8_t protocol, uint16_t port = 443, uint16_t backend_port = 8443,
            uint16_t mtu = 1500) {
    TableStory story;
    story.service(f.vip, protocol, port);
    Backend& b = story.at(story.backend(f.backend, GetParam(), mtu));
    b.port = backend_port;
    b.tunnel_source = address(f.source);
    TableParts parts = story.parts();
    parts.mtus.fill(1500);
    parts.mtus[3] = client_mtu_;
    parts.icmp.errors_per_s = 1000;
    table_ = Table::make(std::move(parts));
  }

  Sent send(const Bytes& frame, uint16_t interface = 3, uint64_t now = kNow) {
    return send(*state_, frame, interface, now);
  }
  Sent send(ForwardState& state, const Bytes& frame, uint16_t interface = 3, uint64_t now = kNow) {
    const HeapFrame memory(frame);
    Packet packet = memory.packet();
    packet.interface = interface;
    Decision decision;
    forward_batch(*table_, state, {&packet, 1}, {&decision, 1}, now);
    count_sent(state.counters, {&decision, 1});
    EXPECT_TRUE(test::accounts_balance(state.counters));
    Bytes out = bytes_of(packet);
    if (decision.verdict == Verdict::forward) cut_padding(out);
    return {decision, std::move(out)};
  }
  /// What pads a frame to its least length is judged elsewhere (rewrite_test, mutation_test).
  static void cut_padding(Bytes& frame) {
    const std::size_t l3 = frame.at(12) == 0x81 ? 18u : 14u;
    const bool v4 = frame.at(l3) >> 4 == 4;
    const auto get16 = [&](std::size_t at) {
      return static_cast<std::size_t>(frame.at(at) << 8 | frame.at(at + 1));
    };
    frame.resize(std::min(frame.size(), l3 + (v4 ? get16(l3 + 2) : 40 + get16(l3 + 4))));
  }

  /// As the backend sees the client: his own address and port, or ours and the one chosen.
  const char* peer(const Family& f) const { return GetParam() == Mode::nat ? f.source : f.client; }
  static uint16_t port_at(const Bytes& frame, const Family& f, std::size_t at) {
    const std::size_t l4 = f.v6 ? 54 : 34;
    return static_cast<uint16_t>(frame.at(l4 + at) << 8 | frame.at(l4 + at + 1));
  }

  std::unique_ptr<const Table> table_;
  std::unique_ptr<ForwardState> state_ = std::make_unique<ForwardState>(FlowTableConfig{});
  uint16_t client_mtu_ = 1500;
};

// The shim steers replies of backends as they are configured: what went on to the old port would be answered to the host.
TEST_P(Nat, FollowsABackendWhosePortOrSourceIsChanged) {
  for (const Family& f : kFamilies) {
    make(f, kProtoUdp, 443, 8443);
    const Bytes question =
        ip(FrameBuilder().ethernet(), f, f.client, f.vip).udp(40001, 443).payload("q").build();
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(port_at(send(question).bytes, f, 2), 8443);  // the long way, then the short one
    make(f, kProtoUdp, 443, 9443);
    for (int i = 0; i < 2; ++i) {
      const Sent there = send(question);
      ASSERT_EQ(port_at(there.bytes, f, 2), 9443);
      const uint16_t port = port_at(there.bytes, f, 0);
      const Bytes answer =
          ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f)).udp(9443, port).payload("a").build();
      EXPECT_EQ(send(answer, 1).decision.verdict, Verdict::forward);
    }
    EXPECT_EQ(state_->nat->of(0).used(), 1u) << "the old mapping is still there";
    if (GetParam() == Mode::dnat) {
      state_ = std::make_unique<ForwardState>(FlowTableConfig{});
      continue;
    }
    Family moved = f;
    moved.source = f.v6 ? "2001:db8:51::2" : "198.51.100.2";
    make(moved, kProtoUdp, 443, 9443);
    const Sent there = send(question);
    const uint16_t port = port_at(there.bytes, f, 0);
    const Bytes expected = ip(FrameBuilder().ethernet(kHop, kOut), f, moved.source, f.backend, 63)
                               .udp(port, 9443)
                               .payload("q")
                               .build();
    EXPECT_EQ(there.bytes, expected);
    state_ = std::make_unique<ForwardState>(FlowTableConfig{});
  }
}

TEST_P(Nat, TranslatesAConnectionThereAndBack) {
  for (const Family& f : kFamilies) {
    for (const uint8_t protocol : {kProtoTcp, kProtoUdp}) {
      make(f, protocol);
      const auto l4 = [&](FrameBuilder frame, uint16_t from, uint16_t to) {
        return protocol == kProtoTcp ? frame.tcp(from, to).payload("hello odd").build()
                                     : frame.udp(from, to).payload("hello odd").build();
      };
      const Sent there = send(l4(ip(FrameBuilder().ethernet(), f, f.client, f.vip), 40000, 443));
      ASSERT_EQ(there.decision.verdict, Verdict::forward);
      EXPECT_EQ(there.decision.interface, 1);
      const uint16_t port = port_at(there.bytes, f, 0);
      EXPECT_EQ(there.bytes,
                l4(ip(FrameBuilder().ethernet(kHop, kOut), f, peer(f), f.backend, 63), port, 8443));
      if (GetParam() == Mode::dnat) {
        EXPECT_EQ(port, 40000);
      } else {
        EXPECT_GE(port, 10000);
        EXPECT_LE(port, 32767);
      }

      const Sent back =
          send(l4(ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f)), 8443, port), 1);
      ASSERT_EQ(back.decision.verdict, Verdict::forward);
      EXPECT_TRUE(back.decision.to_client);
      EXPECT_EQ(back.decision.interface, 3) << "not back by the interface the client came in by";
      EXPECT_EQ(back.bytes,
                l4(ip(FrameBuilder().ethernet(kClientMac, kOurs), f, f.vip, f.client, 63), 443, 40000));
    }
  }
}

TEST_P(Nat, KeepsAWrongChecksumWrongAndCompletesAPartialOne) {
  for (const Family& f : kFamilies) {
    make(f, kProtoTcp);
    for (const auto sum : {test::ChecksumField::wrong, test::ChecksumField::partial}) {
      const Sent sent = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip)
                                 .tcp(40000, 443, {.checksum = sum})
                                 .payload("x")
                                 .build());
      Bytes right = ip(FrameBuilder().ethernet(kHop, kOut), f, peer(f), f.backend, 63)
                        .tcp(port_at(sent.bytes, f, 0), 8443)
                        .payload("x")
                        .build();
      const std::size_t field = (f.v6 ? 54 : 34) + 16;
      EXPECT_EQ(port_at(sent.bytes, f, 16) == port_at(right, f, 16), sum == test::ChecksumField::partial);
      right[field] = sent.bytes[field], right[field + 1] = sent.bytes[field + 1];
      EXPECT_EQ(sent.bytes, right);
    }
  }
}

TEST_P(Nat, LeavesAUdpDatagramWithoutChecksumWithoutOne) {
  const Family& f = kFamilies[0];
  make(f, kProtoUdp);
  const Sent sent = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip)
                             .udp(40000, 443, {.checksum = test::ChecksumField::zero})
                             .payload("x")
                             .build());
  EXPECT_EQ(port_at(sent.bytes, f, 6), 0);
}

TEST_P(Nat, NeverSendsAUdpChecksumOfZeroThatWasNone) {
  // The last two bytes run through all values: at one of them the sum comes out as 0.
  for (const Family& f : kFamilies) {
    make(f, kProtoUdp);
    int ones = 0;
    for (uint32_t value = 0; value < 65536; ++value) {
      const Bytes tail{static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
      const Sent sent =
          send(ip(FrameBuilder().ethernet(), f, f.client, f.vip).udp(40000, 443).payload(tail).build());
      const uint16_t sum = port_at(sent.bytes, f, 6);
      ASSERT_NE(sum, 0);
      ones += sum == 0xffff;
    }
    EXPECT_EQ(ones, 1);
  }
}

TEST_P(Nat, TakesTagsOffAndPutsTheClientsBackOn) {
  const Family& f = kFamilies[0];
  make(f, kProtoTcp);
  const Sent there =
      send(ip(FrameBuilder().ethernet().vlan(0x2007), f, f.client, f.vip).tcp(40000, 443).build());
  const uint16_t port = static_cast<uint16_t>(there.bytes.at(38) << 8 | there.bytes.at(39));
  const Sent back = send(ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f))
                             .tcp(8443, port)
                             .payload("abcdefgh")
                             .build(),
                         1);
  EXPECT_EQ(back.bytes, ip(FrameBuilder().ethernet(kClientMac, kOurs).vlan(0x2007), f, f.vip, f.client, 63)
                            .tcp(443, 40000)
                            .payload("abcdefgh")
                            .build());
}

TEST_P(Nat, AnswersAUsedUpTtlAndATooBigPacket) {
  for (const Family& f : kFamilies) {
    make(f, kProtoTcp, 443, 8443, 1400);
    const Sent expired = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip, 1).tcp(40000, 443).build());
    EXPECT_EQ(expired.decision.verdict, Verdict::reply);
    EXPECT_EQ(expired.decision.reason, DropReason::ttl_expired);
    const Sent big = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip, 64, true)
                              .tcp(40000, 443)
                              .payload(Bytes(1380, 'x'))
                              .build());
    EXPECT_EQ(big.decision.verdict, Verdict::reply);
    EXPECT_EQ(big.decision.reason, DropReason::too_big);
    EXPECT_EQ(port_at(big.bytes, f, f.v6 ? 6 : 6), 1400) << "the MTU it tells";
  }
}

TEST_P(Nat, TellsTheBackendTheMtuOfTheClientsSide) {
  client_mtu_ = 1300;
  for (const Family& f : kFamilies) {
    make(f, kProtoTcp);
    const Sent there = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip).tcp(40000, 443).build());
    const Sent back = send(ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f), 64, true)
                               .tcp(8443, port_at(there.bytes, f, 0))
                               .payload(Bytes(1380, 'x'))
                               .build(),
                           1);
    EXPECT_EQ(back.decision.verdict, Verdict::reply);
    EXPECT_EQ(port_at(back.bytes, f, 6), 1300);
  }
}

TEST_P(Nat, RewritesWhatAnErrorOfTheClientsSideQuotes) {
  for (const Family& f : kFamilies) {
    for (const std::size_t quoted : {8u, 20u, 29u}) {  // of TCP: without and with its checksum
      make(f, kProtoTcp);
      const Sent there = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip).tcp(40000, 443).build());
      const uint16_t port = port_at(there.bytes, f, 0);
      const char* const router = f.v6 ? "2001:db8:fe::1" : "192.0.2.254";
      const auto error = [&](FrameBuilder outer, const char* from, const char* to, uint16_t from_port,
                             uint16_t to_port, uint8_t ttl, const char* source, const char* destination) {
        Bytes inside = ip(FrameBuilder(), f, from, to).tcp(from_port, to_port).payload("payload!!").build();
        inside.resize((f.v6 ? 40 : 20) + quoted);
        FrameBuilder built = ip(std::move(outer), f, source, destination, ttl);
        return built.icmp(f.v6 ? 1 : 3, {.code = static_cast<uint8_t>(f.v6 ? 4 : 3)}).payload(inside).build();
      };
      // A router in front of the client, and the client himself, about a packet VIP -> client.
      for (const char* who : {router, f.client}) {
        const Sent sent = send(error(FrameBuilder().ethernet(), f.vip, f.client, 443, 40000, 60, who, f.vip));
        ASSERT_EQ(sent.decision.verdict, Verdict::forward);
        const char* const says = who == f.client ? peer(f) : who;
        EXPECT_EQ(sent.bytes, error(FrameBuilder().ethernet(kHop, kOut), f.backend, peer(f), 8443, port, 59,
                                    says, f.backend))
            << quoted << " bytes of TCP quoted, from " << who;
      }
      // A router in front of the backend, and the backend itself, about a packet to the backend.
      for (const char* who : {router, f.backend}) {
        const Sent sent = send(
            error(FrameBuilder().ethernet(kOut, kHop), peer(f), f.backend, port, 8443, 60, who, peer(f)), 1);
        ASSERT_EQ(sent.decision.verdict, Verdict::forward);
        const char* const says = who == f.backend ? f.vip : who;
        EXPECT_EQ(sent.bytes, error(FrameBuilder().ethernet(kClientMac, kOurs), f.client, f.vip, 40000, 443,
                                    59, says, f.client))
            << quoted << " bytes of TCP quoted, from " << who;
      }
    }
  }
}

TEST_P(Nat, RewritesTheUdpChecksumInAQuotation) {
  for (const Family& f : kFamilies) {
    make(f, kProtoUdp);
    const Sent there =
        send(ip(FrameBuilder().ethernet(), f, f.client, f.vip).udp(40000, 443).payload("q").build());
    const uint16_t port = port_at(there.bytes, f, 0);
    const Bytes inside = ip(FrameBuilder(), f, peer(f), f.backend).udp(port, 8443).payload("q").build();
    const Bytes expected = ip(FrameBuilder(), f, f.client, f.vip).udp(40000, 443).payload("q").build();
    const uint8_t type = f.v6 ? 1 : 3;
    const Sent sent = send(
        ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f)).icmp(type).payload(inside).build(), 1);
    EXPECT_EQ(sent.bytes, ip(FrameBuilder().ethernet(kClientMac, kOurs), f, f.vip, f.client, 63)
                              .icmp(type)
                              .payload(expected)
                              .build());
  }
}

TEST_P(Nat, TranslatesAllFragmentsOfADatagramBothWays) {
  for (const Family& f : kFamilies) {
    make(f, kProtoUdp);
    const auto datagram = [&](FrameBuilder frame, const char* from, const char* to, uint16_t sport,
                              uint16_t dport, uint8_t ttl) {
      return ip(std::move(frame), f, from, to, ttl).udp(sport, dport).payload(Bytes(3000, 'f')).build();
    };
    const auto there =
        test::fragments_of(datagram(FrameBuilder().ethernet(), f.client, f.vip, 40000, 443, 64), 1000, 7);
    uint16_t port = 0;
    std::vector<Bytes> expected;
    for (std::size_t i = 0; i < there.size(); ++i) {
      const Sent sent = send(there[i]);
      ASSERT_EQ(sent.decision.verdict, Verdict::forward) << "fragment " << i;
      if (i == 0) {
        port = port_at(sent.bytes, f, f.v6 ? 8 : 0);
        expected = test::fragments_of(
            datagram(FrameBuilder().ethernet(kHop, kOut), peer(f), f.backend, port, 8443, 63), 1000, 7);
      }
      EXPECT_EQ(sent.bytes, expected[i]) << "fragment " << i;
    }
    const auto back = test::fragments_of(
        datagram(FrameBuilder().ethernet(kOut, kHop), f.backend, peer(f), 8443, port, 64), 1000, 9);
    expected = test::fragments_of(
        datagram(FrameBuilder().ethernet(kClientMac, kOurs), f.vip, f.client, 443, 40000, 63), 1000, 9);
    for (std::size_t i = 0; i < back.size(); ++i)
      EXPECT_EQ(send(back[i], 1).bytes, expected[i]) << "fragment " << i << " of the reply";
  }
}

TEST_P(Nat, TranslatesFragmentsThatOvertakeTheirFirstAtAnotherWorkerBothWays) {
  for (const Family& f : kFamilies) {
    make(f, kProtoUdp);
    NatTables tables(NatTableConfig{}, 2);
    std::unique_ptr<ForwardState> workers[2];
    for (uint32_t w = 0; w < 2; ++w) {
      workers[w] = std::make_unique<ForwardState>(FlowTableConfig{}, &tables, w);
      workers[w]->hold_places = 64;
    }
    workers[0]->other_fragments.push_back(workers[1]->fragments);
    workers[1]->other_fragments.push_back(workers[0]->fragments);
    // The last fragment comes first, the first one last and to the other worker; in the order of the datagram again.
    const auto backwards = [&](const std::vector<Bytes>& pieces, uint32_t of_later, uint16_t interface) {
      ForwardState& later = *workers[of_later];
      std::vector<std::unique_ptr<HeapFrame>> frames;
      std::vector<Packet> held;
      Decision decision;
      for (std::size_t i = pieces.size() - 1; i > 0; --i) {
        frames.push_back(std::make_unique<HeapFrame>(pieces[i]));
        held.push_back(frames.back()->packet());
        held.back().interface = interface;
        forward_batch(*table_, later, {&held.back(), 1}, {&decision, 1}, kNow);
        EXPECT_EQ(decision.verdict, Verdict::hold);
      }
      std::vector<Bytes> out(pieces.size());
      out[0] = send(*workers[1 - of_later], pieces[0], interface).bytes;
      for (std::size_t k = 0; k < held.size(); ++k) {
        forward_held(*table_, later, {&held[k], 1}, {&decision, 1}, kNow);
        count_sent(later.counters, {&decision, 1});
        EXPECT_EQ(decision.verdict, Verdict::forward);
        Bytes& bytes = out[pieces.size() - 1 - k] = bytes_of(held[k]);
        cut_padding(bytes);
      }
      EXPECT_EQ(later.counters.held.read(), 0u);
      EXPECT_TRUE(test::accounts_balance(later.counters));
      return out;
    };
    const auto datagram = [&](FrameBuilder frame, const char* from, const char* to, uint16_t sport,
                              uint16_t dport, uint8_t ttl, uint32_t id) {
      return test::fragments_of(
          ip(std::move(frame), f, from, to, ttl).udp(sport, dport).payload(Bytes(3000, 'f')).build(), 1000,
          id);
    };
    for (const uint32_t of_later : {0u, 1u}) {
      const auto client_port = static_cast<uint16_t>(40000 + of_later);
      const auto there =
          backwards(datagram(FrameBuilder().ethernet(), f.client, f.vip, client_port, 443, 64, 7 + of_later),
                    of_later, 3);
      const uint16_t port = port_at(there[0], f, f.v6 ? 8 : 0);
      EXPECT_EQ(there, datagram(FrameBuilder().ethernet(kHop, kOut), peer(f), f.backend, port, 8443, 63,
                                7 + of_later));
      for (const uint32_t of_later_reply : {0u, 1u}) {
        const uint32_t id = 100 + 2 * of_later + of_later_reply;
        EXPECT_EQ(
            backwards(datagram(FrameBuilder().ethernet(kOut, kHop), f.backend, peer(f), 8443, port, 64, id),
                      of_later_reply, 1),
            datagram(FrameBuilder().ethernet(kClientMac, kOurs), f.vip, f.client, 443, client_port, 63, id));
      }
    }
  }
}

TEST_P(Nat, TranslatesRepliesOnWhateverWorkerTheyArrive) {
  const Family& f = kFamilies[0];
  make(f, kProtoTcp);
  NatTables tables(NatTableConfig{}, 3);
  std::vector<std::unique_ptr<ForwardState>> workers;
  for (uint32_t w = 0; w < 3; ++w)
    workers.push_back(std::make_unique<ForwardState>(FlowTableConfig{}, &tables, w));
  for (uint32_t w = 0; w < 3; ++w) {
    const auto client_port = static_cast<uint16_t>(40000 + w);
    const Sent there =
        send(*workers[w], ip(FrameBuilder().ethernet(), f, f.client, f.vip).tcp(client_port, 443).build());
    const uint16_t port = port_at(there.bytes, f, 0);
    if (GetParam() == Mode::nat) {
      EXPECT_GE(port, tables.of(w).first_port());
      EXPECT_LT(port, tables.of(w).first_port() + tables.of(w).ports());
    }
    for (uint32_t other = 0; other < 3; ++other) {
      const Sent back =
          send(*workers[other],
               ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f)).tcp(8443, port).build(), 1);
      ASSERT_EQ(back.decision.verdict, Verdict::forward) << "made by " << w << ", arrived at " << other;
      EXPECT_EQ(port_at(back.bytes, f, 2), client_port);
    }
  }
}

TEST_P(Nat, DropsByNameWhatBelongsToNoConnection) {
  const Family& f = kFamilies[0];
  make(f, kProtoTcp);
  const Bytes stray = ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f)).tcp(8443, 12345).build();
  const Sent sent = send(stray, 1);
  EXPECT_EQ(sent.decision.verdict, Verdict::drop);
  EXPECT_EQ(sent.decision.reason, DropReason::nat_unknown);
  EXPECT_EQ(sent.bytes, stray);
}

// A backend that asks for its own service: translated, its own packet would come back to it as if from itself.
TEST_P(Nat, SendsNoBackendAPacketFromItself) {
  for (const Family& f : kFamilies) {
    make(f, kProtoTcp);
    const Bytes frame = ip(FrameBuilder().ethernet(), f, f.backend, f.vip).tcp(40000, 443).build();
    const Sent sent = send(frame);
    if (GetParam() == Mode::dnat) {
      EXPECT_EQ(sent.decision.verdict, Verdict::drop);
      EXPECT_EQ(sent.decision.reason, DropReason::martian);
      EXPECT_EQ(sent.bytes, frame);
    } else {
      EXPECT_EQ(sent.decision.verdict, Verdict::forward)
          << "with a source of ours it is no packet of its own";
    }
  }
}

TEST_P(Nat, FollowsAClientWhoseGatewayHasChanged) {
  const Family& f = kFamilies[0];
  make(f, kProtoTcp);
  const Sent there = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip).tcp(40000, 443).build());
  const uint16_t port = port_at(there.bytes, f, 0);
  send(ip(FrameBuilder().ethernet(kOurs, "02:00:00:00:00:77"), f, f.client, f.vip).tcp(40000, 443).build(),
       2);
  const Sent back =
      send(ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f)).tcp(8443, port).build(), 1);
  EXPECT_EQ(back.decision.interface, 2);
  EXPECT_EQ(Bytes(back.bytes.begin(), back.bytes.begin() + 6), test::mac_bytes("02:00:00:00:00:77"));
}

TEST_P(Nat, ComputesTheChecksumOfSctpAnewAndKeepsAWrongOneWrong) {
  const auto sctp = [](uint16_t from, uint16_t to, bool right) {
    Bytes b{static_cast<uint8_t>(from >> 8),
            static_cast<uint8_t>(from),
            static_cast<uint8_t>(to >> 8),
            static_cast<uint8_t>(to),
            0,
            0,
            0,
            7,
            0,
            0,
            0,
            0,
            1,
            0,
            0,
            20};
    b.resize(32, 0x11);
    const uint32_t crc = ~crc32c_update(~0u, b.data(), b.size()) ^ (right ? 0u : 1u);
    for (std::size_t i = 0; i < 4; ++i) b[8 + i] = static_cast<uint8_t>(crc >> 8 * i);
    return b;
  };
  const auto packet = [](FrameBuilder frame, const Family& f, const char* from, const char* to, uint8_t ttl,
                         Bytes inside) {
    frame = f.v6 ? frame.ipv6(from, to, {.hop_limit = ttl, .next_header = kProtoSctp})
                 : frame.ipv4(from, to, {.ttl = ttl, .protocol = kProtoSctp});
    return frame.payload(std::move(inside)).build();
  };
  for (const Family& f : kFamilies) {
    make(f, kProtoSctp);
    const Sent there =
        send(packet(FrameBuilder().ethernet(), f, f.client, f.vip, 64, sctp(40000, 443, true)));
    ASSERT_EQ(there.decision.verdict, Verdict::forward);
    const uint16_t port = port_at(there.bytes, f, 0);
    EXPECT_EQ(there.bytes,
              packet(FrameBuilder().ethernet(kHop, kOut), f, peer(f), f.backend, 63, sctp(port, 8443, true)));
    const Sent back = send(
        packet(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f), 64, sctp(8443, port, true)), 1);
    EXPECT_EQ(back.bytes, packet(FrameBuilder().ethernet(kClientMac, kOurs), f, f.vip, f.client, 63,
                                 sctp(443, 40000, true)));
    const Sent wrong =
        send(packet(FrameBuilder().ethernet(), f, f.client, f.vip, 64, sctp(40000, 443, false)));
    const Bytes right =
        packet(FrameBuilder().ethernet(kHop, kOut), f, peer(f), f.backend, 63, sctp(port, 8443, true));
    EXPECT_EQ(wrong.bytes.size(), right.size());
    EXPECT_NE(wrong.bytes, right) << "a wrong checksum became right";
  }
}

TEST_P(Nat, KeepsThePortWhereTheBackendHasNone) {
  const Family& f = kFamilies[0];
  make(f, kProtoTcp, 0, 0);
  const Sent there = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip).tcp(40000, 7777).build());
  EXPECT_EQ(port_at(there.bytes, f, 2), 7777);
  const Sent back = send(ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, peer(f))
                             .tcp(7777, port_at(there.bytes, f, 0))
                             .build(),
                         1);
  EXPECT_EQ(port_at(back.bytes, f, 0), 7777);
}

INSTANTIATE_TEST_SUITE_P(Modes, Nat, testing::Values(Mode::dnat, Mode::nat),
                         [](const auto& p) { return p.param == Mode::nat ? "Nat" : "Dnat"; });

// RFC 3720 appendix B.4 has the examples.
TEST(Crc32c, IsThatOfThePublishedExamples) {
  const auto crc = [](const Bytes& bytes) { return ~crc32c_update(~0u, bytes.data(), bytes.size()); };
  EXPECT_EQ(crc(Bytes(32, 0)), 0x8a9136aau);
  EXPECT_EQ(crc(Bytes(32, 0xff)), 0x62a8ab43u);
  Bytes rising(32);
  for (std::size_t i = 0; i < 32; ++i) rising[i] = static_cast<uint8_t>(i);
  EXPECT_EQ(crc(rising), 0x46dd794eu);
}

}  // namespace
}  // namespace xebec
