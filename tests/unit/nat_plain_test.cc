// SPDX-License-Identifier: BSD-2-Clause
// The short way of a translated connection beside the long one: the same bytes, and the same marks in the mapping.
#include "dataplane/nat_plain.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "dataplane/nat.h"
#include "dataplane/nat_table.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::bytes_of;
using test::ChecksumField;
using test::FrameBuilder;
using test::HeapFrame;

constexpr uint64_t kNow = 1'000'000'000'000;

struct Family {
  bool v6;
  const char *client, *vip, *backend, *source;
};
constexpr Family kFamilies[] = {{false, "192.0.2.1", "203.0.113.10", "10.0.0.1", "198.51.100.1"},
                                {true, "2001:db8:c::1", "2001:db8::10", "2001:db8:1::1", "2001:db8:51::1"}};

class NatPlain : public testing::TestWithParam<Mode> {
 protected:
  void make(const Family& f, uint8_t protocol, uint16_t mtu = 1500, uint16_t vlan = kVlanKeep) {
    test::TableStory story;
    story.service(f.vip, protocol, 443);
    Backend& b = story.at(story.backend(f.backend, GetParam(), mtu));
    b.port = 8443;
    b.tunnel_source = test::address(f.source);
    b.next_hop.vlan = vlan;
    TableParts parts = story.parts();
    parts.mtus.fill(mtu);
    table_ = Table::make(std::move(parts));
    state_ = std::make_unique<ForwardState>(FlowTableConfig{});
  }

  Bytes send(const Bytes& frame, uint16_t interface, Decision* decided = nullptr) {
    const HeapFrame memory(frame);
    Packet packet = memory.packet();
    packet.interface = interface;
    Decision decision;
    forward_batch(*table_, *state_, {&packet, 1}, {&decision, 1}, kNow);
    if (decided != nullptr) *decided = decision;
    return bytes_of(packet);
  }

  static FrameBuilder ip(const Family& f, const char* from, const char* to, uint8_t ttl) {
    FrameBuilder frame = FrameBuilder().ethernet();
    return f.v6 ? frame.ipv6(from, to, {.hop_limit = ttl}) : frame.ipv4(from, to, {.ttl = ttl});
  }
  static Bytes packet(const Family& f, uint8_t protocol, const char* from, const char* to, uint16_t sport,
                      uint16_t dport, uint8_t ttl, uint8_t flags, ChecksumField sum, Bytes payload) {
    FrameBuilder frame = ip(f, from, to, ttl);
    if (protocol == kProtoTcp)
      return frame.tcp(sport, dport, {.flags = flags, .checksum = sum}).payload(std::move(payload)).build();
    return frame.udp(sport, dport, {.checksum = sum}).payload(std::move(payload)).build();
  }

  std::unique_ptr<const Table> table_;
  std::unique_ptr<ForwardState> state_;
};

TEST_P(NatPlain, ComesToTheSameBytesAndMarksAsTheLongWay) {
  std::mt19937 random(7);
  for (const Family& f : kFamilies) {
    for (const uint8_t protocol : {kProtoTcp, kProtoUdp}) {
      make(f, protocol);
      const Bytes first =
          send(packet(f, protocol, f.client, f.vip, 40000, 443, 64, kTcpSyn, ChecksumField::right, {}), 3);
      const std::size_t l4 = f.v6 ? 54 : 34;
      const auto port = static_cast<uint16_t>(first.at(l4) << 8 | first.at(l4 + 1));
      const char* const peer = GetParam() == Mode::nat ? f.source : f.client;
      int plain = 0;
      for (int i = 0; i < 4000; ++i) {
        const bool reply = random() % 2 != 0;
        Bytes payload(random() % 90);
        for (uint8_t& byte : payload) byte = static_cast<uint8_t>(random());
        const uint8_t flags[] = {kTcpAck, kTcpAck, kTcpAck | kTcpFin, kTcpRst};
        const ChecksumField sums[] = {ChecksumField::right, ChecksumField::partial, ChecksumField::wrong,
                                      ChecksumField::zero};
        const auto sum = sums[random() % (f.v6 && protocol == kProtoUdp ? 3 : 4)];
        const auto ttl = static_cast<uint8_t>(random() % 4 == 0 ? 1 + random() % 3 : 64);
        const auto mark = flags[i < 3000 ? 0 : random() % 4];
        const Bytes in = reply ? packet(f, protocol, f.backend, peer, 8443, port, ttl, mark, sum, payload)
                               : packet(f, protocol, f.client, f.vip, 40000, 443, ttl, mark, sum, payload);
        // What is known of the packet, as forward_batch() finds it; that it is sent does no harm.
        send(in, reply ? 1 : 3);
        const PacketInHand hand = state_->in_hand[0];
        const HeapFrame short_memory(in), long_memory(in);
        Packet a = short_memory.packet(), b = long_memory.packet();
        a.interface = b.interface = reply ? 1 : 3;
        Decision one, other{.verdict = Verdict::forward, .interface = 1, .service = 0, .backend = 0};
        const Counter& completed = state_->counters.checksums_completed;
        const uint64_t before = completed.read();
        const bool done =
            reply ? nat_plain_to_client(*table_, *state_, hand, a, one, kNow)
                  : nat_plain_to_backend(*table_, *state_, hand, a, table_->backends()[0], 0, kNow);
        const uint64_t by_plain = completed.read() - before;
        const uint8_t seen = state_->nat->of(0).seen(0);
        if (reply) {
          other = nat_to_client(*table_, *state_, hand, b, kNow);
        } else {
          uint32_t inserted = 0;
          if (const auto reason = nat_to_backend(*table_, *state_, hand, b, other, kNow, inserted))
            other = {.verdict = Verdict::drop, .reason = *reason};
        }
        ASSERT_EQ(state_->nat->of(0).seen(0), seen);
        // A reset may be the answer to a SYN, which only the long way counts.
        const bool left_alone = reply && protocol == kProtoTcp && mark == kTcpRst;
        ASSERT_EQ(done, other.verdict == Verdict::forward && !left_alone) << "packet " << i;
        if (!done) {
          ASSERT_EQ(bytes_of(a), in) << "what it left to the long way was changed";
          continue;
        }
        ++plain;
        ASSERT_EQ(bytes_of(a), bytes_of(b)) << "packet " << i;
        ASSERT_EQ(completed.read() - before, 2 * by_plain) << "packet " << i;
        ASSERT_EQ(by_plain, hand.parsed.looks_partial) << "packet " << i;
        if (!reply) continue;
        ASSERT_EQ(one.interface, other.interface);
        ASSERT_EQ(one.to_client, other.to_client);
        ASSERT_EQ(one.backend, other.backend);
        ASSERT_EQ(one.service, other.service);
      }
      EXPECT_GT(plain, 3000);
    }
  }
}

TEST_P(NatPlain, LeavesToTheLongWayWhatItDoesNotUnderstand) {
  const Family& f = kFamilies[0];
  const auto data = [&](Bytes payload) {
    return packet(f, kProtoTcp, f.client, f.vip, 40000, 443, 64, kTcpAck, ChecksumField::right,
                  std::move(payload));
  };
  const auto refuses = [&](const Bytes& in, uint16_t interface) {
    send(in, interface);
    const PacketInHand hand = state_->in_hand[0];
    const HeapFrame memory(in);
    Packet p = memory.packet();
    p.interface = interface;
    const bool done = nat_plain_to_backend(*table_, *state_, hand, p, table_->backends()[0], 0, kNow);
    EXPECT_TRUE(done || bytes_of(p) == in);
    return !done;
  };
  make(f, kProtoTcp);
  send(data({}), 3);
  EXPECT_FALSE(refuses(data({}), 3));
  EXPECT_TRUE(refuses(data(Bytes(1461, 'x')), 3)) << "larger than the MTU";
  FrameBuilder tagged = FrameBuilder().ethernet().vlan(7);
  EXPECT_TRUE(refuses(tagged.ipv4(f.client, f.vip).tcp(40000, 443).build(), 3)) << "tagged";
  make(f, kProtoTcp, 1500, 9);
  send(data({}), 3);
  EXPECT_TRUE(refuses(data({}), 3)) << "to be tagged";
  // The client has moved: the mapping must learn it.
  make(f, kProtoTcp);
  send(data({}), 3);
  const Bytes in = data({});
  send(in, 3);
  const PacketInHand hand = state_->in_hand[0];
  const HeapFrame memory(in);
  Packet p = memory.packet();
  p.interface = 2;
  EXPECT_FALSE(nat_plain_to_backend(*table_, *state_, hand, p, table_->backends()[0], 0, kNow));
}

INSTANTIATE_TEST_SUITE_P(Modes, NatPlain, testing::Values(Mode::dnat, Mode::nat),
                         [](const auto& p) { return p.param == Mode::nat ? "Nat" : "Dnat"; });

}  // namespace
}  // namespace xebec
