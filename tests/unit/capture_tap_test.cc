// SPDX-License-Identifier: BSD-2-Clause
// What a capture shows of a batch: packets as they came, whatever forwarding made of them, and only those that were asked for.
#include "dataplane/capture_tap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::address;
using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;

constexpr const char* kVip = "203.0.113.10";
constexpr uint64_t kTime = 1'700'000'000'123'456'789;

/// What a case asks for; what it is silent about is as without.
struct Asked {
  uint64_t reasons = 0;
  std::string service{};
  std::optional<IpAddress> backend{};
  uint32_t snaplen = kMaxCapturedBytes;
  uint32_t sample = 1;
  bool sent = false;
  CaptureFilter filter() const { return {reasons, service, backend, snaplen, sample, sent}; }
};

struct Captured {
  CaptureRecord record;
  Bytes bytes;
};

/// "web" (TCP 80) has two backends, one behind a tunnel; "empty" (TCP 81) has none.
class CaptureTapTest : public testing::Test {
 protected:
  void SetUp() override {
    story.service_at(story.service(kVip, kProtoTcp, 80)).name = "web";
    ids = {story.backend("10.0.0.1"), story.backend("10.0.0.2", Mode::ipip)};
    story.service_at(story.service(kVip, kProtoTcp, 81)).name = "empty";
    table = story.make();
  }

  static Bytes segment(uint16_t source_port, uint16_t port, uint8_t data_offset = 5) {
    return FrameBuilder()
        .ethernet()
        .ipv4("192.0.2.1", kVip)
        .tcp(source_port, port, {.flags = 0x02, .data_offset = data_offset})
        .payload(Bytes(100, 0x5a))
        .build();
  }

  // One batch, as a worker has it; `unsent` packets of it do not fit the ring.
  std::vector<Captured> offer(const Asked& asked, const std::vector<Bytes>& batch, std::size_t unsent = 0) {
    CaptureTap tap(asked.filter(), 1 << 16);
    std::vector<std::unique_ptr<HeapFrame>> frames;
    std::vector<Packet> packets;
    for (const Bytes& bytes : batch) {
      frames.push_back(std::make_unique<HeapFrame>(bytes));
      packets.push_back(frames.back()->packet());
      packets.back().interface = 1;
    }
    decisions.assign(batch.size(), {});
    tap.before(packets);
    forward_batch(*table, *state, packets, decisions, now);
    tap.decided(packets, decisions);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      left.push_back(test::bytes_of(packets[i]));
      if (i < unsent)
        decisions[i] = {.verdict = Verdict::drop,
                        .reason = DropReason::tx_full,
                        .service = decisions[i].service,
                        .backend = decisions[i].backend};
      std::fill_n(packets[i].data, packets[i].length, uint8_t{0xdd});  // the ring has taken it
    }
    tap.done(*table, packets, decisions, kTime);
    return drain(tap);
  }
  static std::vector<Captured> drain(CaptureTap& tap) {
    std::vector<Captured> all;
    Captured next;
    while (tap.ring().pop(next.record, next.bytes)) all.push_back(next);
    return all;
  }

  test::TableStory story;
  std::unique_ptr<const Table> table;
  std::vector<uint32_t> ids;
  std::unique_ptr<ForwardState> state =
      std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
  std::vector<Decision> decisions;
  std::vector<Bytes> left;
  uint64_t now = 100'000'000'000;
};

TEST_F(CaptureTapTest, ShowsPacketsAsTheyCameWithWhatBecameOfThem) {
  const std::vector<Bytes> batch{segment(1000, 80), segment(1001, 81), segment(1002, 80, 4)};
  const auto all = offer({}, batch);
  ASSERT_EQ(all.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(all[i].bytes, batch[i]) << i;
    EXPECT_EQ(all[i].record.time_ns, kTime);
    EXPECT_EQ(all[i].record.interface, 1);
    EXPECT_EQ(all[i].record.length, batch[i].size());
  }
  EXPECT_EQ(all[0].record.verdict, Verdict::forward);
  EXPECT_EQ(all[0].record.service_name(), "web");
  EXPECT_TRUE(all[0].record.has_backend);
  EXPECT_EQ(all[0].record.backend, table->backends()[decisions[0].backend].address);
  EXPECT_EQ(all[1].record.verdict, Verdict::drop);
  EXPECT_EQ(all[1].record.reason, DropReason::no_backend);
  EXPECT_EQ(all[1].record.service_name(), "empty");
  EXPECT_FALSE(all[1].record.has_backend);
  EXPECT_EQ(all[2].record.reason, DropReason::bad_l4_header);
  EXPECT_EQ(all[2].record.service_name(), "");
}

TEST_F(CaptureTapTest, ShowsOnlyTheReasonsAskedFor) {
  const std::vector<Bytes> batch{segment(1000, 80), segment(1001, 81), segment(1002, 80, 4)};
  const auto some = offer({.reasons = bit_of(DropReason::no_backend)}, batch);
  ASSERT_EQ(some.size(), 1u);
  EXPECT_EQ(some[0].bytes, batch[1]);
  const auto any = offer({.reasons = kAllDropReasons}, batch);
  ASSERT_EQ(any.size(), 2u);
  EXPECT_EQ(any[0].bytes, batch[1]);
  EXPECT_EQ(any[1].bytes, batch[2]);
}

TEST_F(CaptureTapTest, ShowsWhatTheRingDidNotTakeAsItCame) {
  const std::vector<Bytes> batch{segment(1000, 80), segment(1001, 80)};
  const auto all = offer({.reasons = bit_of(DropReason::tx_full)}, batch, 1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].bytes, batch[0]);
  EXPECT_EQ(all[0].record.service_name(), "web");
}

TEST_F(CaptureTapTest, ShowsOneServiceAndOneBackend) {
  std::vector<Bytes> batch;
  for (uint16_t port = 1000; port < 1020; ++port) batch.push_back(segment(port, 80));
  batch.push_back(segment(1000, 81));
  EXPECT_EQ(offer({.service = "empty"}, batch).size(), 1u);
  EXPECT_EQ(offer({.service = "web"}, batch).size(), 20u);
  const auto one = offer({.backend = address("10.0.0.2")}, batch);
  const auto expected = std::count_if(decisions.begin(), decisions.end(),
                                      [&](const Decision& d) { return d.backend == ids[1]; });
  EXPECT_EQ(one.size(), static_cast<std::size_t>(expected));
  EXPECT_GT(one.size(), 0u);
  EXPECT_LT(one.size(), 20u);
}

TEST_F(CaptureTapTest, ShowsWhatLeavesBesideWhatCame) {
  const Bytes came = segment(1000, 80);
  const auto both = offer({.sent = true}, {came, segment(1001, 81)});
  ASSERT_EQ(both.size(), 3u);
  EXPECT_EQ(both[0].bytes, came);
  EXPECT_FALSE(both[0].record.sent);
  EXPECT_TRUE(both[1].record.sent);
  EXPECT_EQ(both[1].bytes, left[0]);
  EXPECT_NE(both[1].bytes, came);
  EXPECT_EQ(both[2].record.verdict, Verdict::drop);
}

TEST_F(CaptureTapTest, CutsAtTheSnapLengthAndTakesOneInSoMany) {
  std::vector<Bytes> batch;
  for (uint16_t port = 1000; port < 1064; ++port) batch.push_back(segment(port, 80));
  const auto some = offer({.snaplen = 54, .sample = 10}, batch);
  ASSERT_EQ(some.size(), 6u);
  EXPECT_EQ(some[0].bytes, Bytes(batch[9].begin(), batch[9].begin() + 54));
  EXPECT_EQ(some[0].record.length, batch[9].size());
  EXPECT_EQ(some[5].bytes, Bytes(batch[59].begin(), batch[59].begin() + 54));
}

TEST_F(CaptureTapTest, JoinsThePiecesOfAPacketInSeveralFrames) {
  Bytes first(100), second(50), third(20);
  std::iota(first.begin(), first.end(), uint8_t{0});
  std::iota(second.begin(), second.end(), uint8_t{100});
  std::iota(third.begin(), third.end(), uint8_t{150});
  std::vector<std::span<const uint8_t>> rest{second, third};
  const Packet packet{.data = first.data(), .length = 100, .room = 100, .rest_length = 70, .rest = rest};
  Bytes whole(170);
  std::iota(whole.begin(), whole.end(), uint8_t{0});
  for (const uint32_t snaplen : {1000u, 170u, 160u, 130u, 100u, 60u}) {
    CaptureTap tap(Asked{.snaplen = snaplen}.filter(), 4096);
    const Decision decision{.reason = DropReason::martian};
    tap.before({&packet, 1});
    tap.decided({&packet, 1}, {&decision, 1});
    tap.done(*table, {&packet, 1}, {&decision, 1}, kTime);
    const auto all = drain(tap);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].record.length, 170u);
    EXPECT_EQ(all[0].bytes, Bytes(whole.begin(), whole.begin() + std::min(snaplen, 170u))) << snaplen;
  }
}

TEST_F(CaptureTapTest, ShowsAHeldFragmentOnceItsFateIsKnown) {
  const Bytes bytes = segment(1000, 80);
  HeapFrame frame(bytes);
  const Packet packet = frame.packet();
  const Decision held{.verdict = Verdict::hold, .reason = DropReason::fragment_unknown};
  CaptureTap tap(Asked{.reasons = bit_of(DropReason::fragment_unknown)}.filter(), 4096);
  tap.before({&packet, 1});
  tap.decided({&packet, 1}, {&held, 1});
  tap.done(*table, {&packet, 1}, {&held, 1}, kTime);
  EXPECT_EQ(drain(tap).size(), 0u);
  tap.gave_up({packet.data, packet.length}, packet.length, 2, kTime);
  const auto all = drain(tap);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].bytes, bytes);
  EXPECT_EQ(all[0].record.reason, DropReason::fragment_unknown);
  EXPECT_EQ(all[0].record.interface, 2);
}

// Every reason by itself, so that one added later cannot be forgotten.
TEST_F(CaptureTapTest, FindsEachDropReasonByItsBit) {
  const Bytes bytes = segment(1000, 80);
  for (std::size_t r = 0; r < kDropReasonCount; ++r) {
    const auto reason = static_cast<DropReason>(r);
    std::vector<Decision> every;
    for (std::size_t i = 0; i < kDropReasonCount; ++i)
      every.push_back({.verdict = Verdict::drop, .reason = static_cast<DropReason>(i)});
    HeapFrame frame(bytes);
    const std::vector<Packet> packets(every.size(), frame.packet());
    CaptureTap tap(Asked{.reasons = bit_of(reason)}.filter(), 1 << 14);
    tap.before(packets);
    tap.decided(packets, every);
    tap.done(*table, packets, every, kTime);
    const auto all = drain(tap);
    ASSERT_EQ(all.size(), 1u) << name_of(reason);
    EXPECT_EQ(all[0].record.reason, reason);
    EXPECT_EQ(all[0].bytes, bytes);
  }
}

}  // namespace
}  // namespace xebec
