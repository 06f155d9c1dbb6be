// SPDX-License-Identifier: BSD-2-Clause
// The short way of rewriting does what the long one does, byte for byte, or nothing.
#include "dataplane/plain_rewrite.h"

#include <gtest/gtest.h>

#include <initializer_list>

#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::backend_at;
using test::Bytes;
using test::bytes_of;
using test::FrameBuilder;
using test::HeapFrame;

struct Outcome {
  bool done;
  Bytes bytes;
  int64_t moved;  ///< of the start of the packet
  uint32_t headroom;
  uint32_t room;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// `way` rewrites the packet, or says false.
template <typename Way>
Outcome outcome_of(const Bytes& in, uint32_t headroom, const Backend& backend, Way way) {
  const HeapFrame frame(in, headroom);
  Packet packet = frame.packet();
  const uint8_t* const start = packet.data;
  ParsedPacket parsed;
  EXPECT_EQ(parse({packet.data, packet.length}, parsed), std::nullopt);
  const bool done = way(packet, parsed, backend);
  return {done, bytes_of(packet), packet.data - start, packet.headroom, packet.room};
}

void compare(const Bytes& in, uint32_t headroom, const Backend& backend) {
  const auto general = [](Packet& packet, const ParsedPacket& parsed, const Backend& to) {
    return !rewrite_to_backend(packet, parsed, to);
  };
  const Outcome expected = outcome_of(in, headroom, backend, general);
  const Outcome seen = outcome_of(in, headroom, backend, rewrite_plain);
  // Tags are the long way's business: the short one may leave such a packet alone, as it was.
  if (backend.next_hop.vlan != kVlanKeep && !seen.done) {
    EXPECT_EQ(seen.bytes, in);
    return;
  }
  EXPECT_EQ(seen, expected) << in.size() << " bytes, headroom " << headroom << ", MTU "
                            << backend.next_hop.mtu << ", done " << expected.done;
}

TEST(PlainRewrite, WritesWhatTheGeneralWayWritesOrNothing) {
  const FrameBuilder starts[] = {
      FrameBuilder().ethernet().ipv4("192.0.2.1", "203.0.113.10", {.tos = 0xb9}),
      FrameBuilder().ethernet().vlan(5).ipv4("192.0.2.1", "203.0.113.10"),
      FrameBuilder().ethernet().ipv6("2001:db8:c::1", "2001:db8::10"),
  };
  const struct {
    const char* address;
    Mode mode;
  } backends[] = {{"10.0.0.1", Mode::dsr_l2}, {"10.0.0.1", Mode::ipip},     {"2001:db8:1::1", Mode::ipip},
                  {"10.0.0.1", Mode::gre},    {"10.0.0.1", Mode::gue},      {"2001:db8:1::1", Mode::vxlan},
                  {"10.0.0.1", Mode::vxlan},  {"2001:db8:1::1", Mode::gre}, {"2001:db8:1::1", Mode::gue}};
  // Around the minimum length of a frame, and around MTUs.
  for (const FrameBuilder& start : starts) {
    for (const std::size_t size : {0u, 3u, 4u, 10u, 17u, 18u, 19u, 552u, 571u, 572u, 573u, 1400u}) {
      const Bytes bare = FrameBuilder(start).udp(5000, 53).payload(Bytes(size, 'x')).build();
      Bytes trailed = bare;
      trailed.resize(bare.size() + 9, 0xee);  // behind the IP length: to be cut
      for (const auto& row : backends) {
        for (const uint16_t mtu : std::initializer_list<uint16_t>{0, 600, 601, 1500}) {
          Backend backend = backend_at(row.address, row.mode, mtu);
          for (const uint16_t vlan : {kVlanKeep, kVlanNone, uint16_t{7}}) {
            backend.next_hop.vlan = vlan;
            for (const uint32_t headroom : {0u, 19u, 20u, 39u, 40u, 70u}) {
              compare(bare, headroom, backend);
              compare(trailed, headroom, backend);
            }
          }
        }
      }
    }
  }
}

TEST(PlainRewrite, RefusesAnOuterLengthBeyond16Bits) {
  for (const std::size_t size : {65535u - 48u, 65535u - 47u}) {
    const Bytes in = FrameBuilder()
                         .ethernet()
                         .ipv4("192.0.2.1", "203.0.113.10")
                         .udp(1, 53)
                         .payload(Bytes(size, 'x'))
                         .build();
    for (const char* backend : {"10.0.0.1", "2001:db8:1::1"})
      compare(in, 40, backend_at(backend, Mode::ipip, 0));
  }
}

}  // namespace
}  // namespace xebec
