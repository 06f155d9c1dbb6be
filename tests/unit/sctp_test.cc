// SPDX-License-Identifier: BSD-2-Clause
// SCTP, and protocols that nothing is known of, through forward_batch().
#include <gtest/gtest.h>

#include <string_view>

#include "dataplane/crc32c.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;
using test::TableStory;

constexpr uint64_t kSecond = 1'000'000'000;

// Ports, tag, checksum, and a chunk of four bytes.
Bytes sctp(uint16_t source_port, uint16_t port, uint8_t chunk, bool with_checksum) {
  Bytes b = {static_cast<uint8_t>(source_port >> 8),
             static_cast<uint8_t>(source_port),
             static_cast<uint8_t>(port >> 8),
             static_cast<uint8_t>(port),
             1,
             2,
             3,
             4,
             0,
             0,
             0,
             0,
             chunk,
             0,
             0,
             4};
  if (!with_checksum) return b;
  const uint32_t crc = ~crc32c_update(~0u, b.data(), b.size());
  for (std::size_t i = 0; i < 4; ++i) b[8 + i] = static_cast<uint8_t>(crc >> 8 * i);
  return b;
}
Bytes frame(const Bytes& payload, uint8_t protocol = kProtoSctp, std::string_view source = "192.0.2.1") {
  return FrameBuilder()
      .ethernet()
      .ipv4(source, "203.0.113.10", {.protocol = protocol})
      .payload(payload)
      .build();
}

TEST(Crc32c, HasThePublishedValues) {
  // RFC 3720 appendix B.4.
  const auto of = [](const Bytes& bytes) { return ~crc32c_update(~0u, bytes.data(), bytes.size()); };
  EXPECT_EQ(of(Bytes(32, 0)), 0x8a9136aau);
  EXPECT_EQ(of(Bytes(32, 0xff)), 0x62a8ab43u);
  const std::string_view digits = "123456789";
  EXPECT_EQ(of(Bytes(digits.begin(), digits.end())), 0xe3069283u);
}

class Sctp : public testing::Test {
 protected:
  Sctp() {
    story_.service("203.0.113.10", kProtoSctp, 3868);
    for (int i = 1; i <= 4; ++i) story_.backend("10.0.0." + std::to_string(i));
    story_.service("203.0.113.10", kProtoAny, 0);
    for (int i = 1; i <= 4; ++i) story_.backend("10.0.1." + std::to_string(i));
    table_ = story_.make();
  }
  Decision forward(const Bytes& bytes, uint64_t now_ns = kSecond) {
    const HeapFrame heap(bytes);
    Packet packet = heap.packet();
    Decision decision;
    forward_batch(*table_, state_, {&packet, 1}, {&decision, 1}, now_ns);
    out_ = test::bytes_of(packet);
    return decision;
  }
  TableStory story_;
  std::unique_ptr<const Table> table_;
  ForwardState state_{FlowTableConfig{}};
  Bytes out_;
};

TEST_F(Sctp, GoesToTheServiceOfItsPortAndStays) {
  const Decision first = forward(frame(sctp(5000, 3868, kSctpInit, true)));
  EXPECT_EQ(first.verdict, Verdict::forward);
  EXPECT_EQ(first.service, 0u);
  EXPECT_EQ(first.origin, FlowOrigin::created);
  const Decision data = forward(frame(sctp(5000, 3868, 0, true)));
  EXPECT_EQ(data.origin, FlowOrigin::hit);
  EXPECT_EQ(data.backend, first.backend);
  EXPECT_EQ(forward(frame(sctp(5000, 3869, kSctpInit, true))).service, 1u) << "the service for any protocol";
}

TEST_F(Sctp, IsRememberedForAsLongAsItsLastChunkSays) {
  const struct {
    uint8_t chunk;
    uint64_t remembered_s, forgotten_s;  // FlowTimeouts: SYN and FIN 10 s, established 3600 s
  } rows[] = {{kSctpInit, 9, 12},
              {0, 3000, 3700},
              {kSctpAbort, 9, 12},
              {kSctpShutdown, 9, 12},
              {kSctpShutdownComplete, 9, 12}};
  uint16_t port = 6000;
  for (const auto& row : rows) {
    for (const bool late : {false, true}) {
      ++port;
      const uint64_t begin = 10'000 * kSecond * port;
      forward(frame(sctp(port, 3868, kSctpInit, true)), begin);
      forward(frame(sctp(port, 3868, 0, true)), begin);
      if (row.chunk == kSctpInit) {  // only that
        ++port;
        forward(frame(sctp(port, 3868, kSctpInit, true)), begin);
      } else {
        forward(frame(sctp(port, 3868, row.chunk, true)), begin);
      }
      const uint64_t later = begin + (late ? row.forgotten_s : row.remembered_s) * kSecond;
      const Decision decision = forward(frame(sctp(port, 3868, 0, true)), later);
      EXPECT_EQ(decision.origin == FlowOrigin::hit, !late) << "chunk " << int{row.chunk};
    }
  }
}

TEST_F(Sctp, GetsTheChecksumThatItsSenderLeftToTheDevice) {
  const Bytes whole = frame(sctp(5000, 3868, 0, true));
  ASSERT_EQ(forward(frame(sctp(5000, 3868, 0, false))).verdict, Verdict::forward);
  EXPECT_TRUE(std::equal(whole.begin() + 12, whole.end(), out_.begin() + 12))
      << "all but the link-layer addresses";
  EXPECT_EQ(state_.counters.checksums_completed.read(), 1u);
  ASSERT_EQ(forward(whole).verdict, Verdict::forward);
  EXPECT_EQ(state_.counters.checksums_completed.read(), 1u) << "one that is there is left alone";
}

TEST_F(Sctp, OfAnIcmpErrorIsFound) {
  const Decision flow = forward(frame(sctp(5000, 3868, kSctpInit, true)));
  const Bytes quoted = FrameBuilder()
                           .ipv4("203.0.113.10", "192.0.2.1", {.protocol = kProtoSctp})
                           .payload(sctp(3868, 5000, 0, true))
                           .build();
  const Decision error = forward(FrameBuilder()
                                     .ethernet()
                                     .ipv4("198.51.100.9", "203.0.113.10")
                                     .icmp(3, {.code = 4})
                                     .payload(quoted)
                                     .build());
  EXPECT_EQ(error.verdict, Verdict::forward);
  EXPECT_EQ(error.backend, flow.backend);
}

TEST_F(Sctp, AndOtherProtocolsGoToTheServiceForAnyByTheirAddresses) {
  const Decision first = forward(frame(Bytes(24, 1), 47));
  EXPECT_EQ(first.verdict, Verdict::forward);
  EXPECT_EQ(first.service, 1u);
  const Decision second = forward(frame(Bytes(24, 2), 47));
  EXPECT_EQ(second.origin, FlowOrigin::hit) << "whatever stands where ports would be";
  EXPECT_EQ(second.backend, first.backend);
  story_ = TableStory();
  story_.service("203.0.113.10", kProtoAny, 443);
  story_.backend("10.0.0.1");
  table_ = story_.make();
  const Decision none = forward(frame(Bytes(24, 1), 47));
  EXPECT_EQ(name_of(none.reason), "unsupported_protocol") << "it has no port 443";
}

// The CRC in a quotation covers more than is quoted: it must be the one of the packet as the other side has sent it, with its own ports.
TEST(TranslatedSctp, IsQuotedWithThePortsAndTheChecksumThatItsSenderKnows) {
  TableStory story;
  story.service("203.0.113.10", kProtoSctp, 3868);
  Backend& backend = story.at(story.backend("10.0.0.1", Mode::nat));
  backend.tunnel_source = test::address("198.51.100.1");
  backend.port = 9999;
  const auto table = story.make();
  ForwardState state{FlowTableConfig{}};
  const auto forward = [&](const Bytes& bytes) {
    const HeapFrame heap(bytes);
    Packet packet = heap.packet();
    Decision decision;
    forward_batch(*table, state, {&packet, 1}, {&decision, 1}, kSecond);
    EXPECT_EQ(decision.verdict, Verdict::forward) << static_cast<int>(decision.reason);
    return test::ip_packet_of(test::bytes_of(packet));
  };
  const auto error = [](std::string_view to, Bytes quoted, std::size_t length) {
    quoted.resize(20 + length);
    return FrameBuilder().ethernet().ipv4("198.51.100.9", to).icmp(3, {.code = 1}).payload(quoted).build();
  };
  constexpr std::size_t kIp = 20, kIcmp = 8;
  const Bytes data = frame(sctp(5000, 3868, 0, true));
  const Bytes sent = forward(data);
  // The padding behind a short packet is not its own.
  const Bytes whole(sent.begin(), sent.begin() + kIp + 16);
  for (const std::size_t length : {std::size_t{8}, std::size_t{12}, std::size_t{16}}) {
    const Bytes told = forward(error("198.51.100.1", whole, length));
    const Bytes quoted(told.begin() + kIp + kIcmp,
                       told.begin() + kIp + kIcmp + kIp + static_cast<std::ptrdiff_t>(length));
    const Bytes was = test::ip_packet_of(data);
    EXPECT_TRUE(std::equal(quoted.begin() + kIp, quoted.end(), was.begin() + kIp))
        << length << " bytes of it";
    EXPECT_TRUE(std::equal(quoted.begin() + 12, quoted.begin() + kIp, was.begin() + 12)) << "addresses";
    EXPECT_EQ(test::internet_checksum(Bytes(told.begin() + kIp, told.begin() + kIp + kIcmp + kIp +
                                                                    static_cast<std::ptrdiff_t>(length))),
              0);
  }
  // The other way: the backend's answer has reached the client, and a router tells that it could not.
  Bytes answer = sctp(9999, static_cast<uint16_t>(whole[kIp] << 8 | whole[kIp + 1]), 0, true);
  const Bytes sent_back = forward(FrameBuilder()
                                      .ethernet()
                                      .ipv4("10.0.0.1", "198.51.100.1", {.protocol = kProtoSctp})
                                      .payload(answer)
                                      .build());
  const Bytes told =
      forward(error("203.0.113.10", Bytes(sent_back.begin(), sent_back.begin() + kIp + 16), 12));
  EXPECT_TRUE(std::equal(answer.begin(), answer.begin() + 12, told.begin() + kIp + kIcmp + kIp));
}

}  // namespace
}  // namespace xebec
