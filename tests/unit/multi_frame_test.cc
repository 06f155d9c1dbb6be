// SPDX-License-Identifier: BSD-2-Clause
// Packets longer than a frame: cut anywhere behind the headers, they come out as the same packet in one piece does.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "dataplane/parse.h"
#include "dataplane/rewrite.h"
#include "dataplane/umem.h"
#include "tests/support/frame_builder.h"

namespace xebec {
namespace {

using test::Bytes;
using test::ChecksumField;
using test::FrameBuilder;

constexpr uint32_t kRoomBefore = 64;

/// What a packet became: the reason it was dropped for, or its bytes.
struct Outcome {
  std::optional<DropReason> dropped;
  Bytes bytes;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Backend backend_of(Mode mode) {
  Backend backend;
  backend.usable = true;
  backend.mode = mode;
  backend.address = *IpAddress::parse("192.0.2.20");
  backend.tunnel_source = *IpAddress::parse("192.0.2.10");
  backend.next_hop.resolved = true;
  backend.next_hop.destination = {{2, 0, 0, 0, 0, 20}};
  backend.next_hop.source = {{2, 0, 0, 0, 0, 10}};
  return backend;
}

/// Parses and forwards a packet whose frames hold its bytes up to each of `cuts`, and then the rest.
Outcome forwarded(const Bytes& whole, const std::vector<std::size_t>& cuts, Mode mode) {
  const std::size_t head = cuts.empty() ? whole.size() : cuts.front();
  Bytes frame(kRoomBefore);
  frame.insert(frame.end(), whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(head));
  frame.resize(std::max<std::size_t>(frame.size(), kRoomBefore + kMinFrameLength));
  std::vector<std::span<const uint8_t>> rest;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const std::size_t end = i + 1 < cuts.size() ? cuts[i + 1] : whole.size();
    rest.push_back(std::span(whole).subspan(cuts[i], end - cuts[i]));
  }
  Packet packet{frame.data() + kRoomBefore,
                static_cast<uint32_t>(head),
                kRoomBefore,
                static_cast<uint32_t>(frame.size()) - kRoomBefore,
                static_cast<uint32_t>(whole.size() - head),
                rest};
  ParsedPacket parsed;
  if (const auto reason = parse({packet.data, packet.length}, parsed, packet.rest_length))
    return {reason, {}};
  if (parsed.kind == PacketKind::icmp_echo) {
    rewrite_to_echo_reply(packet, parsed);
  } else {
    const Packet as_received = packet;
    if (const auto reason = rewrite_to_backend(packet, parsed, backend_of(mode))) return {reason, {}};
    complete_partial_checksum(as_received, parsed);
  }
  Outcome outcome{std::nullopt, Bytes(packet.data, packet.data + packet.length)};
  for (const auto& piece : packet.rest) outcome.bytes.insert(outcome.bytes.end(), piece.begin(), piece.end());
  return outcome;
}

struct Row {
  const char* what;
  Bytes packet;
  std::size_t headers;  ///< bytes that have to be in the first frame
};

std::vector<Row> rows() {
  Bytes payload(151);
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<uint8_t>(i * 37 + 5);
  const auto v4 = [] { return FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.113.10"); };
  const auto v6 = [] { return FrameBuilder().ethernet().ipv6("2001:db8::1", "2001:db8:77::10"); };
  constexpr auto kPartial = ChecksumField::partial;
  return {
      {"TCP over IPv4", v4().tcp(40000, 80, {.checksum = kPartial}).payload(payload).build(), 14 + 20 + 20},
      {"UDP over IPv4", v4().udp(40000, 53, {.checksum = kPartial}).payload(payload).build(), 14 + 20 + 8},
      {"TCP over IPv6", v6().tcp(40000, 80, {.checksum = kPartial}).payload(payload).build(), 14 + 40 + 20},
      {"UDP over IPv6", v6().udp(40000, 53, {.checksum = kPartial}).payload(payload).build(), 14 + 40 + 8},
      {"a right checksum", v4().tcp(40000, 80).payload(payload).build(), 14 + 20 + 20},
      {"an echo request", v4().icmp(8, {.rest = 0x00010002}).payload(payload).build(), 14 + 20 + 8},
  };
}

TEST(MultiFrame, ComesOutAsThePacketInOnePieceDoesWhereverItIsCut) {
  for (const Row& row : rows()) {
    for (const Mode mode : {Mode::dsr_l2, Mode::ipip}) {
      const Outcome whole = forwarded(row.packet, {}, mode);
      ASSERT_FALSE(whole.dropped) << row.what;
      for (std::size_t cut = row.headers; cut < row.packet.size(); ++cut) {
        ASSERT_EQ(forwarded(row.packet, {cut}, mode), whole) << row.what << " cut at " << cut;
        for (std::size_t second = cut + 1; second < row.packet.size(); second += 7) {
          ASSERT_EQ(forwarded(row.packet, {cut, second}, mode), whole)
              << row.what << " cut at " << cut << ", " << second;
        }
      }
    }
  }
}

TEST(MultiFrame, NeedsAllHeadersInTheFirstFrame) {
  for (const Row& row : rows()) {
    for (std::size_t cut = 1; cut < row.headers; ++cut) {
      EXPECT_EQ(forwarded(row.packet, {cut}, Mode::dsr_l2).dropped, DropReason::truncated)
          << row.what << " cut at " << cut;
    }
  }
}

TEST(MultiFrame, IsTruncatedIfAllItsFramesTogetherAreShorterThanItSays) {
  for (const Row& row : rows()) {
    Bytes shorter = row.packet;
    shorter.pop_back();
    EXPECT_EQ(forwarded(shorter, {100}, Mode::dsr_l2).dropped, DropReason::truncated) << row.what;
  }
}

// A trailer may fill frames of its own, and the packet may end in any frame, the first included.
TEST(MultiFrame, IsCutAtItsIpLength) {
  for (const Row& row : rows()) {
    for (const Mode mode : {Mode::dsr_l2, Mode::ipip}) {
      const Outcome whole = forwarded(row.packet, {}, mode);
      Bytes longer = row.packet;
      longer.resize(longer.size() + 400, 0xee);
      for (std::size_t cut = row.headers; cut < longer.size(); cut += 3) {
        ASSERT_EQ(forwarded(longer, {cut}, mode), whole) << row.what << " cut at " << cut;
        for (std::size_t second = cut + 1; second < longer.size(); second += 11) {
          ASSERT_EQ(forwarded(longer, {cut, second}, mode), whole)
              << row.what << " cut at " << cut << ", " << second;
        }
      }
    }
  }
}

// The ring gives whole packets: what is cut off at its end waits.
TEST(MultiFrame, WholePacketsAreCountedUpToTheLastThatEnds) {
  const auto umem = Umem::create_unregistered(8);
  std::array<Frame, 4> frames;
  const std::array<bool, 4> continues = {true, false, true, true};
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const uint64_t address = umem->give_to_fill(umem->allocate());
    frames[i] = umem->take_received(address + kFrameHeadroom, 100, continues[i]);
  }
  EXPECT_EQ(whole_packets(frames, 4), 2u);
  EXPECT_EQ(whole_packets(frames, 3), 2u);
  EXPECT_EQ(whole_packets(frames, 2), 2u);
  EXPECT_EQ(whole_packets(frames, 1), 0u);
  EXPECT_EQ(whole_packets(frames, 0), 0u);
  for (Frame& frame : frames) umem->recycle(std::move(frame));
}

}  // namespace
}  // namespace xebec
