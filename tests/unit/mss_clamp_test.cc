// SPDX-License-Identifier: BSD-2-Clause
// The MSS clamp: what it lowers, what it leaves, and that the checksum stays what it was.
#include "dataplane/mss_clamp.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::ChecksumField;
using test::FrameBuilder;
using test::HeapFrame;

constexpr std::size_t kTcp4 = 14 + 20;

Bytes mss_option(uint16_t mss) {
  return {2, 4, static_cast<uint8_t>(mss >> 8), static_cast<uint8_t>(mss)};
}
Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}
Bytes syn(const Bytes& options, ChecksumField checksum = ChecksumField::right, uint8_t flags = kTcpSyn) {
  return FrameBuilder()
      .ethernet()
      .ipv4("192.0.2.1", "203.0.113.10")
      .tcp(4000, 443, {.flags = flags, .options = options, .checksum = checksum})
      .build();
}
// The segment of `frame` clamped; unchanged if nothing was.
Bytes clamped(Bytes frame, uint32_t limit, bool partial = false, std::size_t available = SIZE_MAX) {
  const Bytes before = frame;
  available = std::min(available, frame.size() - kTcp4);
  const bool lowered = clamp_mss(frame.data() + kTcp4, available, limit, partial);
  EXPECT_EQ(lowered, frame != before);
  return frame;
}

TEST(MssClamp, LowersTheOptionWhereverItStands) {
  const Bytes no{1}, sack{4, 2}, scale{3, 3, 7}, stamps{8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
  const std::initializer_list<std::pair<Bytes, Bytes>> places = {
      {{}, {}}, {no, {}}, {{}, no}, {sack, stamps}, {scale, sack}, {joined({no, scale, stamps}), sack}};
  for (const auto& place : places) {
    const auto with = [&](uint16_t mss) { return syn(joined({place.first, mss_option(mss), place.second})); };
    for (const uint16_t mss : std::initializer_list<uint16_t>{1381, 1460, 8960, 65535})
      EXPECT_EQ(clamped(with(mss), 1380), with(1380));
    for (const uint16_t mss : std::initializer_list<uint16_t>{0, 536, 1380})
      EXPECT_EQ(clamped(with(mss), 1380), with(mss));
  }
}

TEST(MssClamp, KeepsTheChecksumRightForEveryPairOfValues) {
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const auto mss = static_cast<uint16_t>(random());
    const auto limit = static_cast<uint16_t>(random());
    const bool odd = i % 2 == 0;
    const auto with = [&](uint16_t value) { return syn(joined({Bytes(odd ? 1 : 2, 1), mss_option(value)})); };
    ASSERT_EQ(clamped(with(mss), limit), with(std::min(mss, limit))) << mss << " to " << limit;
  }
}

TEST(MssClamp, LeavesAPartialChecksumToWhoCompletesIt) {
  for (const Bytes& before : {Bytes{}, Bytes{1}}) {
    const auto with = [&](uint16_t mss) {
      return syn(joined({before, mss_option(mss)}), ChecksumField::partial);
    };
    EXPECT_EQ(clamped(with(1460), 1380, true), with(1380));
  }
}

TEST(MssClamp, LeavesWhatIsNoMssOptionAlone) {
  const Bytes rows[] = {
      {},                            // absent
      {1, 1, 1, 1},                  // nothing but padding
      {0, 2, 4, 0xff, 0xff},         // behind the end of the list
      {2, 3, 0xff, 0xff},            // of a wrong length
      {2, 0, 0xff, 0xff},            // of no length
      {8, 1, 2, 4, 0xff, 0xff, 1},   // behind an option of no length
      {8, 40, 2, 4, 0xff, 0xff, 1},  // behind one that reaches out of the header
      {1, 1, 1, 2},                  // cut off behind its kind
  };
  for (const Bytes& options : rows)
    EXPECT_EQ(clamped(syn(options), 536), syn(options)) << testing::PrintToString(options);
}

TEST(MssClamp, TouchesNothingBehindWhatIsThere) {
  const Bytes whole = syn(joined({Bytes(1, 1), mss_option(1460)}));
  for (std::size_t available = 20; available < 25; ++available) {
    // Exactly so much memory: ASan sees a step beyond.
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(kTcp4 + available));
    EXPECT_EQ(clamped(cut, 536), cut) << available;
  }
}

struct LimitRow {
  const char* what;
  uint16_t service;
  Mode mode;
  const char* backend;
  uint8_t ip_version;
  uint16_t mtu;
  uint32_t expected;
};

TEST(MssClamp, LimitFollowsModeFamilyAndMtu) {
  constexpr LimitRow rows[] = {
      {"off", kMssClampOff, Mode::ipip, "10.0.0.1", 4, 1500, kMssAny},
      {"a number", 1300, Mode::dsr_l2, "10.0.0.1", 4, 1500, 1300},
      {"auto without a tunnel", kMssClampAuto, Mode::dsr_l2, "10.0.0.1", 4, 1500, kMssAny},
      {"IPv4 in IPv4", kMssClampAuto, Mode::ipip, "10.0.0.1", 4, 1500, 1440},
      {"IPv6 in IPv4", kMssClampAuto, Mode::ipip, "10.0.0.1", 6, 1500, 1420},
      {"IPv4 in IPv6", kMssClampAuto, Mode::ipip, "2001:db8:1::1", 4, 1500, 1420},
      {"IPv6 in IPv6", kMssClampAuto, Mode::ipip, "2001:db8:1::1", 6, 1500, 1400},
      {"an unknown MTU", kMssClampAuto, Mode::ipip, "10.0.0.1", 4, 0, kMssAny},
      {"an MTU of nothing but headers", kMssClampAuto, Mode::ipip, "10.0.0.1", 4, 60, kMssAny},
  };
  for (const LimitRow& row : rows) {
    Service service;
    service.mss_clamp = row.service;
    ParsedPacket parsed;
    parsed.ip_version = row.ip_version;
    EXPECT_EQ(mss_limit(service, test::backend_at(row.backend, row.mode, row.mtu), parsed), row.expected)
        << row.what;
  }
}

/// Through the heart.
class MssClampForward : public testing::Test {
 protected:
  Bytes send(const Bytes& received) {
    const HeapFrame frame(received);
    Packet packet = frame.packet();
    Decision decision;
    forward_batch(*table, *state, {&packet, 1}, {&decision, 1}, 1'000'000'000);
    EXPECT_EQ(decision.verdict, Verdict::forward);
    return test::bytes_of(packet);
  }
  void make(uint16_t clamp) {
    story.service("203.0.113.10", kProtoTcp, 443);
    story.service_at(0).mss_clamp = clamp;
    story.backend("10.0.0.1");
    table = story.make();
  }
  // What goes out but for the MAC addresses, padded.
  static Bytes behind_macs(Bytes frame) {
    frame.resize(std::max<std::size_t>(frame.size(), kMinFrameLength));
    return Bytes(frame.begin() + 12, frame.end());
  }

  test::TableStory story;
  std::unique_ptr<const Table> table;
  std::unique_ptr<ForwardState> state =
      std::make_unique<ForwardState>(FlowTableConfig{.capacity = 4096, .timeouts = {}});
};

TEST_F(MssClampForward, ReachesTheFirstSynAndEveryOneSentAgain) {
  make(1300);
  const Bytes expected = behind_macs(syn(mss_option(1300)));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(behind_macs(send(syn(mss_option(1460)))), expected) << "time " << i;
  EXPECT_EQ(state->counters.mss_clamped.read(), 3u);
  EXPECT_EQ(state->counters.backends[0].new_flows.read(), 1u);
  EXPECT_EQ(state->counters.flow_hits.read(), 2u);
}

TEST_F(MssClampForward, IsCoveredByTheCompletedChecksum) {
  make(1300);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(behind_macs(send(syn(mss_option(1460), ChecksumField::partial))),
              behind_macs(syn(mss_option(1300))));
  }
}

TEST_F(MssClampForward, LeavesOtherSegmentsAlone) {
  make(1300);
  for (const uint8_t flags : {uint8_t{kTcpAck}, uint8_t{kTcpSyn | kTcpAck}, uint8_t{kTcpRst}}) {
    const Bytes segment = syn(mss_option(1460), ChecksumField::right, flags);
    EXPECT_EQ(behind_macs(send(segment)), behind_macs(segment));
  }
  EXPECT_EQ(state->counters.mss_clamped.read(), 0u);
}

}  // namespace
}  // namespace xebec
