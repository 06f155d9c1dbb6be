// SPDX-License-Identifier: BSD-2-Clause
// IPv4 packets that are cut: every piece is judged like a packet of its own, and together they are what came.
#include "dataplane/pieces.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;
using test::Ipv4Fields;
using test::TableStory;

constexpr uint64_t kNow = 100'000'000'000;
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kVip6 = "2001:db8::10";

Bytes bytes_from(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 256);
  return bytes;
}

struct Cut {
  Decision decision;
  std::vector<Bytes> pieces;
};

class PiecesTest : public testing::Test {
 protected:
  void use(Mode mode, uint16_t mtu, const char* backend = "10.0.0.1", bool fragment = true) {
    story = TableStory();
    story.service(kVip, kProtoUdp, 53);
    story.backend(backend, mode, mtu);
    story.service(kVip6, kProtoUdp, 53);
    story.backend("2001:db8:1::1", Mode::dsr_l2, mtu);
    story.service_at(0).fragment = story.service_at(1).fragment = fragment;
    table = story.make();
    state = std::make_unique<ForwardState>(FlowTableConfig{.capacity = 1024, .timeouts = {}});
  }

  // As a worker does it.
  Cut send(const Bytes& received) {
    const HeapFrame frame(received);
    Packet packet = frame.packet();
    Cut cut;
    forward_batch(*table, *state, {&packet, 1}, {&cut.decision, 1}, kNow);
    count_sent(state->counters, {&cut.decision, 1});
    EXPECT_TRUE(test::accounts_balance(state->counters));
    if (cut.decision.verdict != Verdict::cut) return cut;
    EXPECT_EQ(test::bytes_of(packet), received) << "what is to be cut is as it came";
    const Backend& backend = table->backends()[cut.decision.backend];
    const Pieces pieces(packet, state->in_hand[0].parsed, backend);
    for (uint32_t i = 0; i < pieces.count(); ++i) {
      std::vector<uint8_t> memory(kFrameSize, 0xa5);
      Packet out{.data = memory.data() + kFrameHeadroom,
                 .headroom = kFrameHeadroom,
                 .room = kFrameSize - kFrameHeadroom};
      pieces.write(i, out);
      cut.pieces.push_back(test::bytes_of(out));
    }
    return cut;
  }

  // Judged as if the same piece, made by another hand, had been received. `from` and `size`: of what is behind the IP header.
  void expect_piece(const Cut& cut, std::size_t index, const Bytes& l4, std::size_t from, std::size_t size,
                    Ipv4Fields fields) {
    SCOPED_TRACE("piece " + std::to_string(index));
    ASSERT_LT(index, cut.pieces.size());
    fields.fragment_offset = static_cast<uint16_t>(fields.fragment_offset + from / 8);
    fields.more_fragments = fields.more_fragments || from + size < l4.size();
    fields.protocol = kProtoUdp;
    const Bytes part(l4.begin() + static_cast<long>(from), l4.begin() + static_cast<long>(from + size));
    const Bytes expected = FrameBuilder().ethernet().ipv4("192.0.2.1", kVip, fields).payload(part).build();
    Decision decision = cut.decision;
    decision.verdict = Verdict::forward;
    Bytes bytes = cut.pieces[index];
    const Packet sent{.data = bytes.data(), .length = static_cast<uint32_t>(bytes.size())};
    EXPECT_EQ(test::judge(expected, decision, sent, *table), "");
  }

  TableStory story;
  std::unique_ptr<const Table> table;
  std::unique_ptr<ForwardState> state;
};

// The UDP datagram of 53, whole, as it lies behind the IP header.
Bytes l4_of(const Bytes& payload) {
  const Bytes frame =
      FrameBuilder().ethernet().ipv4("192.0.2.1", kVip).udp(5000, 53).payload(payload).build();
  return {frame.begin() + 34, frame.end()};
}
Bytes frame_with(const Bytes& payload, const Ipv4Fields& fields = {.id = 77}) {
  return FrameBuilder().ethernet().ipv4("192.0.2.1", kVip, fields).udp(5000, 53).payload(payload).build();
}

TEST_F(PiecesTest, AreFragmentsThatAddUpToThePacket) {
  const Bytes payload = bytes_from(2500);
  const Bytes l4 = l4_of(payload);
  use(Mode::dsr_l2, 1500);
  const Cut cut = send(frame_with(payload));
  ASSERT_EQ(cut.pieces.size(), 2u);
  expect_piece(cut, 0, l4, 0, 1480, {.id = 77});
  expect_piece(cut, 1, l4, 1480, l4.size() - 1480, {.id = 77});
  EXPECT_EQ(state->counters.forwarded.read(), 1u);
  EXPECT_EQ(state->counters.backends[cut.decision.backend].packets.read(), 1u);
}

TEST_F(PiecesTest, LeaveRoomForTheTunnelsHeader) {
  const Bytes payload = bytes_from(1472);
  const Bytes l4 = l4_of(payload);
  use(Mode::ipip, 1500);
  const Cut cut = send(frame_with(payload));
  ASSERT_EQ(cut.pieces.size(), 2u);
  expect_piece(cut, 0, l4, 0, 1456, {.id = 77});
  expect_piece(cut, 1, l4, 1456, l4.size() - 1456, {.id = 77});
  EXPECT_EQ(cut.pieces[0].size(), 14u + 20 + 20 + 1456);
  use(Mode::ipip, 1500, "2001:db8:1::5");
  const Cut cut6 = send(frame_with(payload));
  ASSERT_EQ(cut6.pieces.size(), 2u);
  EXPECT_EQ(cut6.pieces[0].size(), 14u + 40 + 20 + 1440);
  use(Mode::vxlan, 1500);
  EXPECT_EQ(send(frame_with(payload)).pieces.size(), 2u);
}

TEST_F(PiecesTest, OfAFragmentAreFragmentsOfTheDatagram) {
  const Bytes part = bytes_from(2000);
  use(Mode::dsr_l2, 1500);
  send(frame_with(bytes_from(8), {.id = 5, .more_fragments = true}));  // its first: where the others go
  for (const bool more : {true, false}) {
    const Ipv4Fields fields{.id = 5, .more_fragments = more, .fragment_offset = 300, .protocol = kProtoUdp};
    const Cut cut = send(FrameBuilder().ethernet().ipv4("192.0.2.1", kVip, fields).payload(part).build());
    ASSERT_EQ(cut.pieces.size(), 2u) << more;
    expect_piece(cut, 0, part, 0, 1480, {.id = 5, .fragment_offset = 300});
    expect_piece(cut, 1, part, 1480, 520, {.id = 5, .more_fragments = more, .fragment_offset = 300});
  }
}

TEST_F(PiecesTest, HaveTheOptionsThatAreForAllOfThem) {
  // Record route (7: the first fragment's), a no-operation, and a strict source route's type with the copied bit, 137.
  const Bytes options = {7, 7, 4, 0, 0, 0, 0, 1, 137, 3, 4, 0};
  const Bytes blanked = {1, 1, 1, 1, 1, 1, 1, 1, 137, 3, 4, 0};
  const Bytes payload = bytes_from(2000);
  const Bytes l4 = l4_of(payload);
  use(Mode::dsr_l2, 1500);
  const Cut cut = send(frame_with(payload, {.id = 9, .options = options}));
  ASSERT_EQ(cut.pieces.size(), 2u);
  expect_piece(cut, 0, l4, 0, 1464, {.id = 9, .options = options});
  expect_piece(cut, 1, l4, 1464, l4.size() - 1464, {.id = 9, .options = blanked});
}

TEST_F(PiecesTest, AreCompleteWhereTheSenderLeftTheChecksumToItsDevice) {
  const Bytes payload = bytes_from(2000);
  use(Mode::dsr_l2, 1500);
  const Bytes received = FrameBuilder()
                             .ethernet()
                             .ipv4("192.0.2.1", kVip, {.id = 77})
                             .udp(5000, 53, {.length = {}, .checksum = test::ChecksumField::partial})
                             .payload(payload)
                             .build();
  const HeapFrame frame(received);
  Packet packet = frame.packet();
  Decision decision;
  forward_batch(*table, *state, {&packet, 1}, {&decision, 1}, kNow);
  ASSERT_EQ(decision.verdict, Verdict::cut);
  EXPECT_EQ(Bytes(packet.data + 34, packet.data + packet.length), l4_of(payload));
}

TEST_F(PiecesTest, AreOfWhatMayBeCutOnly) {
  const Bytes payload = bytes_from(2000);
  use(Mode::dsr_l2, 1500);
  EXPECT_EQ(send(frame_with(payload, {.dont_fragment = true})).decision.verdict, Verdict::reply);
  const Bytes six =
      FrameBuilder().ethernet().ipv6("2001:db8:c::1", kVip6).udp(5000, 53).payload(payload).build();
  EXPECT_EQ(send(six).decision.verdict, Verdict::reply);
  EXPECT_EQ(send(frame_with(bytes_from(100))).decision.verdict, Verdict::forward);
  use(Mode::dsr_l2, 1500, "10.0.0.1", false);
  EXPECT_EQ(send(frame_with(payload)).decision.verdict, Verdict::drop);
  EXPECT_EQ(state->counters.drops[static_cast<std::size_t>(DropReason::too_big)].read(), 1u);
}

TEST_F(PiecesTest, AreNotMoreThanAWorkerCanSpare) {
  use(Mode::dsr_l2, 68);
  const std::size_t most = Pieces::kMaxCount * 48 - 8;
  EXPECT_EQ(send(frame_with(bytes_from(most))).pieces.size(), Pieces::kMaxCount);
  EXPECT_EQ(send(frame_with(bytes_from(most + 1))).decision.verdict, Verdict::drop);
  use(Mode::dsr_l2, 27);
  EXPECT_EQ(send(frame_with(bytes_from(100))).decision.verdict, Verdict::drop) << "not eight bytes fit";
}

TEST_F(PiecesTest, OfAPacketInSeveralFramesAreTheSame) {
  const Bytes payload = bytes_from(8000);
  use(Mode::dsr_l2, 1500);
  Bytes whole = frame_with(payload);
  const Cut one = send(whole);
  ASSERT_EQ(one.pieces.size(), 6u);
  Bytes first(kFrameHeadroom + 3000);
  std::copy_n(whole.begin(), 3000, first.begin() + kFrameHeadroom);
  std::span<const uint8_t> rest[] = {{whole.data() + 3000, 100}, {whole.data() + 3100, whole.size() - 3100}};
  Packet packet{.data = first.data() + kFrameHeadroom,
                .length = 3000,
                .headroom = kFrameHeadroom,
                .room = 3000,
                .rest_length = static_cast<uint32_t>(whole.size() - 3000),
                .rest = rest};
  Decision decision;
  forward_batch(*table, *state, {&packet, 1}, {&decision, 1}, kNow);
  ASSERT_EQ(decision.verdict, Verdict::cut);
  const Pieces pieces(packet, state->in_hand[0].parsed, table->backends()[decision.backend]);
  ASSERT_EQ(pieces.count(), one.pieces.size());
  for (uint32_t i = 0; i < pieces.count(); ++i) {
    Bytes memory(kFrameSize, 0x5a);
    Packet out{.data = memory.data() + kFrameHeadroom,
               .headroom = kFrameHeadroom,
               .room = kFrameSize - kFrameHeadroom};
    pieces.write(i, out);
    EXPECT_EQ(test::bytes_of(out), one.pieces[i]) << i;
  }
}

}  // namespace
}  // namespace xebec
