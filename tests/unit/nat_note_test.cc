// SPDX-License-Identifier: BSD-2-Clause
// Backends of mode nat that are told the client's address: every packet against one drawn by hand, and a lossy connection whose
// two ends count differently.
#include "dataplane/nat_note.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

#include "dataplane/nat.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::address;
using test::Bytes;
using test::bytes_of;
using test::FrameBuilder;
using test::HeapFrame;
using test::TableStory;
using test::TcpFields;

constexpr uint64_t kNow = 1'000'000'000'000;
constexpr std::string_view kClientMac = test::kRouterMac;
constexpr std::string_view kOurs = test::kBalancerMac;
constexpr std::string_view kHop = "02:00:00:00:bb:00";
constexpr std::string_view kOut = "02:00:00:00:ee:01";
constexpr uint32_t kIsn = 0xffffff80;  // the client's numbers pass 0 early

struct Family {
  bool v6;
  const char *client, *vip, *backend, *source;
  Bytes toa;    ///< of client and port 40000
  Bytes proxy;  ///< the same, to the VIP's port 443, TCP
};
const Family kFamilies[] = {
    {false, "192.0.2.1", "203.0.113.10", "10.0.0.1", "198.51.100.1", Bytes{254, 8, 0x9c, 0x40, 192, 0, 2, 1},
     Bytes{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11,
           0,    12,   192,  0,    2,    1,    203,  0,    113,  10,   0x9c, 0x40, 0x01, 0xbb}},
    {true, "2001:db8:c::1", "2001:db8::10", "2001:db8:1::1", "2001:db8:51::1",
     Bytes{254, 20, 0x9c, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
     Bytes{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21,
           0x21, 0,    36,   0x20, 0x01, 0x0d, 0xb8, 0,    0x0c, 0,    0,    0,    0,
           0,    0,    0,    0,    0,    1,    0x20, 0x01, 0x0d, 0xb8, 0,    0,    0,
           0,    0,    0,    0,    0,    0,    0,    0,    0x10, 0x9c, 0x40, 0x01, 0xbb}}};

Bytes joined(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Bytes text(std::string_view words) {
  return {words.begin(), words.end()};
}
Bytes be32(uint32_t v) {
  return {static_cast<uint8_t>(v >> 24), static_cast<uint8_t>(v >> 16), static_cast<uint8_t>(v >> 8),
          static_cast<uint8_t>(v)};
}
Bytes sack(std::vector<uint32_t> edges) {
  Bytes out{1, 1, 5, static_cast<uint8_t>(2 + 4 * edges.size())};
  for (const uint32_t edge : edges) out = joined(out, be32(edge));
  return out;
}

FrameBuilder ip(FrameBuilder frame, const Family& f, const char* from, const char* to, uint8_t ttl) {
  return f.v6 ? frame.ipv6(from, to, {.hop_limit = ttl})
              : frame.ipv4(from, to, {.dont_fragment = true, .ttl = ttl});
}

struct Sent {
  Decision decision;
  Bytes bytes;
};

class NatNote : public testing::Test {
 protected:
  void make(const Family& f, ClientNote note, uint8_t protocol = kProtoTcp, uint16_t mtu = 1500,
            uint16_t mss_clamp = kMssClampAuto) {
    TableStory story;
    const uint32_t service = story.service(f.vip, protocol, 443);
    story.service_at(service).mss_clamp = mss_clamp;
    Backend& b = story.at(story.backend(f.backend, Mode::nat, mtu));
    b.port = 8443;
    b.tunnel_source = address(f.source);
    b.client_note = note;
    TableParts parts = story.parts();
    parts.mtus.fill(1500);
    parts.icmp.errors_per_s = 1'000'000;
    table_ = Table::make(std::move(parts));
    state_ = std::make_unique<ForwardState>(FlowTableConfig{});
    port_ = 0;
  }

  Sent send(const Bytes& frame, uint16_t interface, uint32_t headroom = 64) {
    const HeapFrame memory(frame, headroom);
    Packet packet = memory.packet();
    packet.interface = interface;
    Decision decision;
    forward_batch(*table_, *state_, {&packet, 1}, {&decision, 1}, kNow);
    count_sent(state_->counters, {&decision, 1});
    EXPECT_TRUE(test::accounts_balance(state_->counters));
    return {decision, bytes_of(packet)};
  }

  Bytes from_client(const Family& f, TcpFields fields, Bytes payload = {}) {
    return ip(FrameBuilder().ethernet(), f, f.client, f.vip, 64)
        .tcp(40000, 443, fields)
        .payload(std::move(payload))
        .build();
  }
  Bytes at_backend(const Family& f, TcpFields fields, Bytes payload = {}) {
    return padded(ip(FrameBuilder().ethernet(kHop, kOut), f, f.source, f.backend, 63)
                      .tcp(port_, 8443, fields)
                      .payload(std::move(payload))
                      .build());
  }
  Bytes from_backend(const Family& f, TcpFields fields, Bytes payload = {}) {
    return ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, f.source, 64)
        .tcp(8443, port_, fields)
        .payload(std::move(payload))
        .build();
  }
  Bytes at_client(const Family& f, TcpFields fields, Bytes payload = {}) {
    return padded(ip(FrameBuilder().ethernet(kClientMac, kOurs), f, f.vip, f.client, 63)
                      .tcp(443, 40000, fields)
                      .payload(std::move(payload))
                      .build());
  }
  static Bytes padded(Bytes frame) {
    frame.resize(std::max<std::size_t>(frame.size(), kMinFrameLength));
    return frame;
  }

  /// A client's packet forwarded, as the backend gets it. The first tells which port was chosen.
  Bytes to_backend(const Family& f, const TcpFields& fields, Bytes payload = {}) {
    const Sent sent = send(from_client(f, fields, std::move(payload)), 3);
    EXPECT_EQ(sent.decision.verdict, Verdict::forward);
    const std::size_t l4 = f.v6 ? 54 : 34;
    port_ = static_cast<uint16_t>(sent.bytes.at(l4) << 8 | sent.bytes.at(l4 + 1));
    return sent.bytes;
  }
  Bytes to_client(const Family& f, const TcpFields& fields, Bytes payload = {}) {
    const Sent sent = send(from_backend(f, fields, std::move(payload)), 1);
    EXPECT_EQ(sent.decision.verdict, Verdict::forward);
    return sent.bytes;
  }
  /// SYN and SYN-ACK.
  void begin(const Family& f) {
    to_backend(f, {.flags = kTcpSyn, .sequence = kIsn, .acknowledgement = 0});
    to_client(f, {.flags = kTcpSyn | kTcpAck, .sequence = 9000, .acknowledgement = kIsn + 1});
  }
  uint64_t told() const { return state_->counters.nat_client_told.read(); }
  uint64_t untold() const { return state_->counters.nat_client_untold.read(); }

  std::unique_ptr<const Table> table_;
  std::unique_ptr<ForwardState> state_;
  uint16_t port_ = 0;
};

// ---- TOA ----

TEST_F(NatNote, ToaGoesWithEverySegmentUntilTheBackendHasOpened) {
  const Bytes options{2, 4, 5, 0xb4, 1, 3, 3, 7};
  for (const Family& f : kFamilies) {
    make(f, ClientNote::toa);
    const TcpFields syn{.flags = kTcpSyn, .sequence = kIsn, .acknowledgement = 0, .options = options};
    const Bytes out = to_backend(f, syn);
    TcpFields expected = syn;
    expected.options = joined(f.toa, options);
    EXPECT_EQ(out, at_backend(f, expected));
    to_client(f, {.flags = kTcpSyn | kTcpAck, .sequence = 9000, .acknowledgement = kIsn + 1});

    const TcpFields ack{.sequence = kIsn + 1, .acknowledgement = 9001};
    TcpFields with = ack;
    with.options = f.toa;
    EXPECT_EQ(to_backend(f, ack), at_backend(f, with)) << "the ACK that completes the handshake";
    EXPECT_EQ(to_backend(f, ack, text("odd")), at_backend(f, with, text("odd")))
        << "data behind it, which completes it where the ACK was lost or the backend defers";
    EXPECT_EQ(told(), 3u);

    to_client(f, {.sequence = 9001, .acknowledgement = kIsn + 4});
    const TcpFields later{.sequence = kIsn + 4, .acknowledgement = 9001};
    EXPECT_EQ(to_backend(f, later, text("more")), at_backend(f, later, text("more")));
    EXPECT_EQ(told(), 3u);
    EXPECT_EQ(untold(), 0u);
  }
}

TEST_F(NatNote, ToaIsOnTheSynOfANewConnectionFromTheSamePort) {
  const Family& f = kFamilies[0];
  make(f, ClientNote::toa);
  begin(f);
  to_client(f, {.flags = kTcpRst | kTcpAck, .sequence = 9001, .acknowledgement = kIsn + 1});
  const TcpFields syn{.flags = kTcpSyn, .sequence = 77, .acknowledgement = 0};
  TcpFields with = syn;
  with.options = f.toa;
  EXPECT_EQ(to_backend(f, syn), at_backend(f, with));
}

TEST_F(NatNote, ToaIsLeftOutWhereThereIsNoRoomAndTheClientsOwnIsHidden) {
  for (const Family& f : kFamilies) {
    make(f, ClientNote::toa);
    // 40 bytes of options, a forged address among them, at an odd place.
    Bytes forged{1, 254, 8, 0, 80, 10, 9, 8, 7};
    forged.resize(40, 1);
    TcpFields syn{.flags = kTcpSyn, .sequence = kIsn, .acknowledgement = 0, .options = forged};
    const Bytes out = to_backend(f, syn);
    syn.options = Bytes(40, 1);
    EXPECT_EQ(out, at_backend(f, syn));
    EXPECT_EQ(untold(), 1u);

    // Where there is room, the client's own is hidden all the same.
    TcpFields ack{
        .sequence = kIsn + 1, .acknowledgement = 9001, .options = Bytes{254, 8, 0, 80, 10, 9, 8, 7}};
    const Bytes second = to_backend(f, ack);
    ack.options = joined(f.toa, Bytes(8, 1));
    EXPECT_EQ(second, at_backend(f, ack));
    EXPECT_EQ(told(), 1u);

    // A segment that fills the MTU.
    const TcpFields data{.sequence = kIsn + 1, .acknowledgement = 9001};
    const Bytes payload(1500 - (f.v6 ? 60 : 40), 'x');
    EXPECT_EQ(to_backend(f, data, payload), at_backend(f, data, payload));
    const Bytes fits(payload.begin(), payload.end() - static_cast<std::ptrdiff_t>(f.toa.size()));
    EXPECT_EQ(to_backend(f, data, fits).size(), 1514u);
    EXPECT_EQ(untold(), 2u);
  }
}

// ---- The MSS ----

TEST_F(NatNote, TheSynAckLeavesRoomForTheNote) {
  struct Row {
    ClientNote note;
    uint16_t clamp, mtu;
    std::array<uint16_t, 2> expected;  ///< IPv4, IPv6
  };
  const Row rows[] = {{ClientNote::toa, kMssClampAuto, 1500, {1452, 1420}},
                      {ClientNote::proxy, kMssClampAuto, 1500, {1432, 1388}},
                      {ClientNote::none, kMssClampAuto, 1500, {1460, 1460}},
                      {ClientNote::proxy, kMssClampOff, 1500, {1460, 1460}},
                      {ClientNote::proxy, 1300, 1500, {1300, 1300}},
                      {ClientNote::proxy, kMssClampAuto, 1600, {1460, 1460}}};
  for (const Row& row : rows) {
    for (const Family& f : kFamilies) {
      make(f, row.note, kProtoTcp, row.mtu, row.clamp);
      const Bytes mss{2, 4, 5, 0xb4};  // 1460
      const Bytes syn =
          to_backend(f, {.flags = kTcpSyn, .sequence = kIsn, .acknowledgement = 0, .options = mss});
      const std::size_t own = row.note == ClientNote::toa ? f.toa.size() : 0;
      const std::size_t at = (f.v6 ? 74 : 54) + own;
      const uint32_t asked = static_cast<uint32_t>(syn.at(at + 2) << 8 | syn.at(at + 3));
      EXPECT_EQ(asked, row.clamp == 1300 ? 1300u : 1460u) << "what the backend may send needs no room";
      TcpFields back{
          .flags = kTcpSyn | kTcpAck, .sequence = 9000, .acknowledgement = kIsn + 1, .options = mss};
      const Bytes out = to_client(f, back);
      const uint16_t limit = row.mtu == 1600 && f.v6 ? uint16_t{1460} : row.expected[f.v6 ? 1 : 0];
      back.options = Bytes{2, 4, static_cast<uint8_t>(limit >> 8), static_cast<uint8_t>(limit)};
      if (row.note == ClientNote::proxy) back.window = static_cast<uint16_t>(65535 - f.proxy.size());
      EXPECT_EQ(out, at_client(f, back)) << "MTU " << row.mtu << ", clamp " << row.clamp;
    }
  }
}

// ---- PROXY in a stream ----

TEST_F(NatNote, ProxyHeaderIsTheFirstOfTheStreamAndNumbersMoveForGood) {
  for (const Family& f : kFamilies) {
    make(f, ClientNote::proxy);
    const auto n = static_cast<uint32_t>(f.proxy.size());
    const TcpFields syn{
        .flags = kTcpSyn, .sequence = kIsn, .acknowledgement = 0, .options = Bytes{2, 4, 5, 0xb4}};
    const Bytes out = to_backend(f, syn);
    EXPECT_EQ(out, at_backend(f, syn)) << "a SYN without data stays as it is";
    TcpFields synack{.flags = kTcpSyn | kTcpAck, .sequence = 9000, .acknowledgement = kIsn + 1};
    const Bytes answer = to_client(f, synack);
    synack.window = static_cast<uint16_t>(65535 - n);
    EXPECT_EQ(answer, at_client(f, synack));

    const TcpFields ack{.sequence = kIsn + 1, .acknowledgement = 9001};
    EXPECT_EQ(to_backend(f, ack), at_backend(f, ack, f.proxy)) << "a backend that speaks first waits for it";
    EXPECT_EQ(to_backend(f, ack, text("GET")), at_backend(f, ack, joined(f.proxy, text("GET"))));
    EXPECT_EQ(to_backend(f, ack, text("GE")), at_backend(f, ack, joined(f.proxy, text("GE"))))
        << "sent again";
    const TcpFields second{.sequence = kIsn + 4, .acknowledgement = 9001};
    TcpFields moved = second;
    moved.sequence += n;
    EXPECT_EQ(to_backend(f, second, text(" / ")), at_backend(f, moved, text(" / ")));

    // The backend has nothing yet, then the header alone, then all.
    EXPECT_EQ(to_client(f, {.sequence = 9001, .acknowledgement = kIsn + 1}),
              at_client(f, {.sequence = 9001, .acknowledgement = kIsn + 1}));
    EXPECT_EQ(to_client(f, {.sequence = 9001, .acknowledgement = kIsn + 1 + n}),
              at_client(f, {.sequence = 9001, .acknowledgement = kIsn + 1}));
    EXPECT_EQ(to_client(f, {.sequence = 9001, .acknowledgement = kIsn + 4 + n}, text("hello")),
              at_client(f, {.sequence = 9001, .acknowledgement = kIsn + 4}, text("hello")));

    // From then on a first segment that comes again has no header, and everything moves, also behind 4 GiB.
    TcpFields again = ack;
    again.sequence += n;
    EXPECT_EQ(to_backend(f, ack, text("GET")), at_backend(f, again, text("GET")));
    const TcpFields late{
        .flags = kTcpFin | kTcpAck, .sequence = kIsn + 1 + 0x90000000, .acknowledgement = 9006};
    TcpFields late_moved = late;
    late_moved.sequence += n;
    EXPECT_EQ(to_backend(f, late), at_backend(f, late_moved));
    EXPECT_EQ(to_client(f, {.sequence = 9006, .acknowledgement = kIsn + 2 + 0x90000000 + n}),
              at_client(f, {.sequence = 9006, .acknowledgement = kIsn + 2 + 0x90000000}));
    EXPECT_EQ(told(), 3u);
  }
}

TEST_F(NatNote, ProxyMovesTheBlocksOfASack) {
  for (const Family& f : kFamilies) {
    make(f, ClientNote::proxy);
    const auto n = static_cast<uint32_t>(f.proxy.size());
    const uint32_t first = kIsn + 1;
    begin(f);
    to_backend(f, {.sequence = first, .acknowledgement = 9001}, text("lost"));
    to_backend(f, {.sequence = first + 4, .acknowledgement = 9001}, text("came"));
    EXPECT_EQ(
        to_client(
            f, {.sequence = 9001, .acknowledgement = first, .options = sack({first + 4 + n, first + 8 + n})}),
        at_client(f, {.sequence = 9001, .acknowledgement = first, .options = sack({first + 4, first + 8})}));
    // A duplicate of the header and what followed it, then a block; and a duplicate of the header alone, which is no block.
    EXPECT_EQ(to_client(f, {.sequence = 9001,
                            .acknowledgement = first + n + 8,
                            .options = sack({first, first + n + 4, first + n + 20, first + n + 30})}),
              at_client(f, {.sequence = 9001,
                            .acknowledgement = first + 8,
                            .options = sack({first, first + 4, first + 20, first + 30})}));
  }
}

TEST_F(NatNote, ProxyTakesABlockOfTheHeaderAloneAway) {
  const Family& f = kFamilies[0];
  make(f, ClientNote::proxy);
  const uint32_t first = kIsn + 1;
  begin(f);
  to_backend(f, {.sequence = first, .acknowledgement = 9001});
  EXPECT_EQ(
      to_client(f, {.sequence = 9001, .acknowledgement = first + 28, .options = sack({first, first + 28})}),
      at_client(f, {.sequence = 9001, .acknowledgement = first, .options = Bytes(12, 1)}));
  Bytes expected{1, 1, 5, 10};
  expected = joined(joined(expected, joined(be32(first + 50), be32(first + 60))), Bytes(8, 1));
  make(f, ClientNote::proxy);
  begin(f);
  to_backend(f, {.sequence = first, .acknowledgement = 9001});
  EXPECT_EQ(to_client(f, {.sequence = 9001,
                          .acknowledgement = first + 28,
                          .options = sack({first, first + 28, first + 78, first + 88})}),
            at_client(f, {.sequence = 9001, .acknowledgement = first, .options = expected}));
}

TEST_F(NatNote, ProxyGoesWithTheDataOfASynAndOnlyWithThat) {
  const Family& f = kFamilies[0];
  make(f, ClientNote::proxy);
  const TcpFields syn{.flags = kTcpSyn,
                      .sequence = kIsn,
                      .acknowledgement = 0,
                      .options = Bytes{34, 10, 1, 2, 3, 4, 5, 6, 7, 8}};
  const Bytes out = to_backend(f, syn, text("early"));
  EXPECT_EQ(out, at_backend(f, syn, joined(f.proxy, text("early"))));
  // It took the data, or did not.
  TcpFields took{
      .flags = kTcpSyn | kTcpAck, .sequence = 9000, .acknowledgement = kIsn + 1 + 28 + 5, .window = 10000};
  const Bytes accepted = to_client(f, took);
  took.acknowledgement = kIsn + 6, took.window = 10000 - 28;
  EXPECT_EQ(accepted, at_client(f, took));
  const TcpFields next{.sequence = kIsn + 6, .acknowledgement = 9001};
  TcpFields moved = next;
  moved.sequence += 28;
  EXPECT_EQ(to_backend(f, next, text("x")), at_backend(f, moved, text("x")));
}

TEST_F(NatNote, ProxyLetsAResetThroughWithTheNumberTheBackendExpects) {
  const Family& f = kFamilies[0];
  make(f, ClientNote::proxy);
  begin(f);
  const TcpFields rst{.flags = kTcpRst, .sequence = kIsn + 1, .acknowledgement = 0};
  EXPECT_EQ(to_backend(f, rst), at_backend(f, rst)) << "before the header has left";
  make(f, ClientNote::proxy);
  begin(f);
  to_backend(f, {.sequence = kIsn + 1, .acknowledgement = 9001});
  const Bytes out = to_backend(f, rst);
  TcpFields moved = rst;
  moved.sequence += 28;
  EXPECT_EQ(out, at_backend(f, moved)) << "behind it";
}

// The client has lost its state and tries the same port again, while the backend still has the connection: it answers by what
// it knows (RFC 9293 section 3.10.7.4), and the client's reset must hit.
TEST_F(NatNote, ASynIntoAStandingConnectionDisturbsNothing) {
  const Family& f = kFamilies[0];
  make(f, ClientNote::proxy);
  begin(f);
  to_backend(f, {.sequence = kIsn + 1, .acknowledgement = 9001}, text("abc"));
  to_client(f, {.sequence = 9001, .acknowledgement = kIsn + 4 + 28});
  to_backend(f, {.flags = kTcpSyn, .sequence = 5000, .acknowledgement = 0});
  EXPECT_EQ(to_client(f, {.sequence = 9001, .acknowledgement = kIsn + 4 + 28}),
            at_client(f, {.sequence = 9001, .acknowledgement = kIsn + 4}));
  const Bytes out = to_backend(f, {.flags = kTcpRst, .sequence = kIsn + 4, .acknowledgement = 0});
  EXPECT_EQ(out, at_backend(f, {.flags = kTcpRst, .sequence = kIsn + 4 + 28, .acknowledgement = 0}));
  // It tries again, and is let in: the header belongs to the new stream.
  to_backend(f, {.flags = kTcpSyn, .sequence = 5000, .acknowledgement = 0});
  EXPECT_EQ(
      to_client(f, {.flags = kTcpSyn | kTcpAck, .sequence = 7000, .acknowledgement = 5001, .window = 1000}),
      at_client(f, {.flags = kTcpSyn | kTcpAck, .sequence = 7000, .acknowledgement = 5001, .window = 972}));
  const TcpFields ack{.sequence = 5001, .acknowledgement = 7001};
  EXPECT_EQ(to_backend(f, ack), at_backend(f, ack, f.proxy));
}

// A backend that has rebooted takes the SYN although the mapping says that a connection stands.
TEST_F(NatNote, AConnectionThatReplacesAnotherGetsAHeaderOfItsOwn) {
  const Family& f = kFamilies[1];
  make(f, ClientNote::proxy);
  begin(f);
  to_backend(f, {.sequence = kIsn + 1, .acknowledgement = 9001}, text("abc"));
  to_client(f, {.sequence = 9001, .acknowledgement = kIsn + 4 + 52});
  to_backend(f, {.flags = kTcpSyn, .sequence = 5000, .acknowledgement = 0});
  EXPECT_EQ(
      to_client(f, {.flags = kTcpSyn | kTcpAck, .sequence = 7000, .acknowledgement = 5001, .window = 1000}),
      at_client(f, {.flags = kTcpSyn | kTcpAck, .sequence = 7000, .acknowledgement = 5001, .window = 948}));
  const TcpFields ack{.sequence = 5001, .acknowledgement = 7001};
  EXPECT_EQ(to_backend(f, ack), at_backend(f, ack, f.proxy));
  EXPECT_EQ(to_client(f, {.sequence = 7001, .acknowledgement = 5001 + 52}),
            at_client(f, {.sequence = 7001, .acknowledgement = 5001}));
}

TEST_F(NatNote, ProxyNeverExceedsTheMtuAndSaysWhatFits) {
  for (const Family& f : kFamilies) {
    make(f, ClientNote::proxy);
    begin(f);
    const std::size_t headers = f.v6 ? 60 : 40;
    const TcpFields first{.sequence = kIsn + 1, .acknowledgement = 9001};
    EXPECT_EQ(to_backend(f, first, Bytes(1500 - headers - f.proxy.size(), 'x')).size(), 1514u);
    const Bytes big = from_client(f, first, Bytes(1501 - headers - f.proxy.size(), 'x'));
    const Sent sent = send(big, 3);
    ASSERT_EQ(sent.decision.verdict, Verdict::reply);
    EXPECT_EQ(sent.decision.reason, DropReason::too_big);
    const std::size_t mtu_at = f.v6 ? 14 + 40 + 6 : 14 + 20 + 6;
    EXPECT_EQ(sent.bytes.at(mtu_at) << 8 | sent.bytes.at(mtu_at + 1),
              1500 - static_cast<int>(f.proxy.size()));
    const Sent cramped = send(from_client(f, first), 3, static_cast<uint32_t>(f.proxy.size() - 1));
    EXPECT_EQ(cramped.decision.reason, DropReason::no_headroom);
    EXPECT_EQ(cramped.bytes, from_client(f, first)) << "a dropped packet was changed";
  }
}

// ---- PROXY in datagrams ----

TEST_F(NatNote, ProxyBeginsEveryDatagram) {
  for (const Family& f : kFamilies) {
    make(f, ClientNote::proxy, kProtoUdp);
    Bytes header = f.proxy;
    header[13] = f.v6 ? 0x22 : 0x12;
    for (int i = 0; i < 2; ++i) {
      for (const auto sum :
           {test::ChecksumField::right, test::ChecksumField::partial, test::ChecksumField::zero}) {
        if (f.v6 && sum == test::ChecksumField::zero) continue;
        const Sent sent = send(ip(FrameBuilder().ethernet(), f, f.client, f.vip, 64)
                                   .udp(40000, 443, {.checksum = sum})
                                   .payload("question")
                                   .build(),
                               3);
        ASSERT_EQ(sent.decision.verdict, Verdict::forward);
        const std::size_t l4 = f.v6 ? 54 : 34;
        port_ = static_cast<uint16_t>(sent.bytes.at(l4) << 8 | sent.bytes.at(l4 + 1));
        const auto kept = sum == test::ChecksumField::zero ? sum : test::ChecksumField::right;
        EXPECT_EQ(sent.bytes, padded(ip(FrameBuilder().ethernet(kHop, kOut), f, f.source, f.backend, 63)
                                         .udp(port_, 8443, {.checksum = kept})
                                         .payload(joined(header, text("question")))
                                         .build()));
      }
    }
    const Sent back = send(ip(FrameBuilder().ethernet(kOut, kHop), f, f.backend, f.source, 64)
                               .udp(8443, port_)
                               .payload("answer")
                               .build(),
                           1);
    EXPECT_EQ(back.bytes, padded(ip(FrameBuilder().ethernet(kClientMac, kOurs), f, f.vip, f.client, 63)
                                     .udp(443, 40000)
                                     .payload("answer")
                                     .build()));
  }
}

TEST_F(NatNote, ProxyHasNoPlaceInAFragment) {
  for (const Family& f : kFamilies) {
    make(f, ClientNote::proxy, kProtoUdp);
    const Bytes whole = ip(FrameBuilder().ethernet(), f, f.client, f.vip, 64)
                            .udp(40000, 443)
                            .payload(Bytes(600, 'f'))
                            .build();
    const Sent sent = send(test::fragments_of(whole, 304, 7)[0], 3);
    EXPECT_EQ(sent.decision.verdict, Verdict::drop);
    EXPECT_EQ(sent.decision.reason, DropReason::proxy_fragment);
  }
}

// ---- ICMP errors ----

TEST_F(NatNote, AnErrorAboutAMovedSegmentQuotesItAsTheClientSentIt) {
  for (const Family& f : kFamilies) {
    make(f, ClientNote::proxy);
    const auto n = static_cast<uint32_t>(f.proxy.size());
    begin(f);
    to_backend(f, {.sequence = kIsn + 1, .acknowledgement = 9001}, text("abc"));
    const char* const router = f.v6 ? "2001:db8:fe::1" : "192.0.2.254";
    const auto error = [&](FrameBuilder outer, const char* to, const Bytes& quoted, uint32_t mtu,
                           uint8_t ttl) {
      FrameBuilder built = ip(std::move(outer), f, router, to, ttl);
      return f.v6 ? built.icmp(2, {.rest = mtu}).payload(quoted).build()
                  : built.icmp(3, {.code = 4, .rest = mtu}).payload(quoted).build();
    };
    const auto quote = [&](const char* from, const char* to, uint16_t sport, uint16_t dport,
                           uint32_t sequence) {
      Bytes inside = ip(FrameBuilder(), f, from, to, 60)
                         .tcp(sport, dport, {.sequence = sequence, .acknowledgement = 9001})
                         .payload("defg")
                         .build();
      return inside;
    };
    const Sent sent = send(error(FrameBuilder().ethernet(kOut, kHop), f.source,
                                 quote(f.source, f.backend, port_, 8443, kIsn + 4 + n), 1400, 60),
                           1);
    ASSERT_EQ(sent.decision.verdict, Verdict::forward);
    EXPECT_EQ(sent.bytes, error(FrameBuilder().ethernet(kClientMac, kOurs), f.client,
                                quote(f.client, f.vip, 40000, 443, kIsn + 4), 1400 - n, 59));
  }
}

// ---- A connection that loses, doubles and reorders ----

// The client cuts his stream into segments as he likes, sends any of them again, and hears some acknowledgements. What the
// backend puts together is the header and his stream, and no acknowledgement or SACK block names what he has not sent.
TEST_F(NatNote, TheBackendsStreamIsTheHeaderAndTheClientsStreamWhateverIsLost) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random()) % n; };
    const Family& f = kFamilies[seed % 2];
    const std::size_t l4 = f.v6 ? 54 : 34;
    make(f, ClientNote::proxy);
    begin(f);
    const uint32_t first = kIsn + 1;
    Bytes stream(3000);
    for (uint8_t& byte : stream) byte = static_cast<uint8_t>(random());
    const Bytes expected = joined(f.proxy, stream);
    std::map<uint32_t, uint8_t> got;  ///< by place in the backend's stream
    uint32_t acknowledged = 0;        ///< of the client's bytes, as he has heard
    uint32_t highest = 0;             ///< that he has sent
    for (int round = 0; round < 1000 && acknowledged < stream.size(); ++round) {
      const uint32_t again = below(std::min<uint32_t>(highest - acknowledged, 600) + 1);
      const uint32_t from = acknowledged + (below(2) != 0 ? again : 0);
      const uint32_t size = std::min<uint32_t>(below(400), static_cast<uint32_t>(stream.size()) - from);
      highest = std::max(highest, from + size);
      const auto at = stream.begin() + from;
      const Sent sent =
          send(from_client(f, {.sequence = first + from, .acknowledgement = 9001}, Bytes(at, at + size)), 3);
      ASSERT_EQ(sent.decision.verdict, Verdict::forward);
      const std::size_t ip_length = f.v6
                                        ? 40u + static_cast<std::size_t>(sent.bytes[18] << 8 | sent.bytes[19])
                                        : static_cast<std::size_t>(sent.bytes[16] << 8 | sent.bytes[17]);
      if (below(3) != 0) {  // it arrives
        uint32_t sequence = 0;
        for (std::size_t i = 0; i < 4; ++i) sequence = sequence << 8 | sent.bytes[l4 + 4 + i];
        for (std::size_t i = l4 + 20; i < 14 + ip_length; ++i)
          got[sequence - first + static_cast<uint32_t>(i - l4 - 20)] = sent.bytes[i];
      }
      uint32_t whole = 0;
      while (got.contains(whole)) ++whole;
      const auto beyond = got.lower_bound(whole);
      TcpFields back{.sequence = 9001, .acknowledgement = first + whole};
      if (beyond != got.end()) {
        uint32_t end = beyond->first;
        while (got.contains(end)) ++end;
        back.options = sack({first + beyond->first, first + end});
      }
      const Bytes out = to_client(f, back);
      const auto word = [&](std::size_t offset) {
        uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) value = value << 8 | out[l4 + offset + i];
        return value - first;
      };
      const auto n = static_cast<uint32_t>(f.proxy.size());
      ASSERT_EQ(word(8), whole > n ? whole - n : 0);
      if (beyond != got.end() && out[l4 + 22] == 5) {
        ASSERT_LT(word(24), word(28));
        ASSERT_LE(word(28), highest);
      }
      if (below(2) != 0) acknowledged = word(8);
    }
    ASSERT_EQ(acknowledged, stream.size()) << "seed " << seed;
    Bytes assembled;
    for (const auto& [place, byte] : got) assembled.push_back(byte);
    EXPECT_EQ(assembled, expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace xebec
