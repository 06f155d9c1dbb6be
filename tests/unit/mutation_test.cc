// SPDX-License-Identifier: BSD-2-Clause
// Every truncation and every one-byte change of some forty packets goes through forward_batch: one verdict
// each, nothing read or written outside a frame (ASan), nothing sent that was not received, and all of it on
// the books.
#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "dataplane/plain_packet.h"
#include "tests/unit/forward_world.h"
#include "tests/unit/twin_run.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::HeapFrame;

constexpr const char* kClient = "192.0.2.1";
constexpr const char* kClient6 = "2001:db8:c::1";

// Bytes behind these are payload, where one change is like another.
constexpr std::size_t kMutatedBytes = 150;

struct Vip {
  const char* v4;
  const char* v6;
};
// One address pair per mode, so that each packet is seen by every rewriter.
constexpr Vip kVips[] = {
    {"203.0.113.10", "2001:db8::10"}, {"203.0.113.20", "2001:db8::20"}, {"203.0.113.30", "2001:db8::30"}};

std::unique_ptr<const Table> make_table() {
  test::TableStory story;
  const auto services = [&](const Vip& vip, auto add_backends) {
    for (const char* address : {vip.v4, vip.v6}) {
      for (const uint8_t protocol : {kProtoTcp, kProtoUdp}) {
        story.service(address, protocol, protocol == kProtoTcp ? 443 : 0, address == vip.v6);
        add_backends();
      }
    }
  };
  services(kVips[0], [&] { story.backend("10.0.0.1"), story.backend("10.0.0.2"); });
  services(kVips[1],
           [&] { story.backend("10.0.0.1", Mode::ipip), story.backend("10.0.0.2", Mode::ipip, 300); });
  services(kVips[2], [&] {
    story.backend("2001:db8:1::1", Mode::ipip), story.backend("2001:db8:1::2", Mode::ipip, 300);
  });
  story.icmp({.errors_per_s = 10'000'000, .echo_replies_per_s = 10'000'000});
  return story.make();
}

void add_ipv4(std::vector<Bytes>& out, const char* vip) {
  const auto ip = [&](test::Ipv4Fields fields = {}) {
    return FrameBuilder().ethernet().ipv4(kClient, vip, fields);
  };
  const Bytes quoted = FrameBuilder().ipv4(vip, kClient).tcp(443, 4000).build();
  const Bytes datagram = ip().udp(5000, 53).payload(Bytes(120, 'd')).build();
  out.push_back(ip().tcp(4000, 443, {.flags = kTcpSyn, .options = Bytes(20, 1)}).build());
  out.push_back(ip({.tos = 0xb9, .options = Bytes(8, 1)}).tcp(4000, 443).payload("data").build());
  out.push_back(ip().tcp(4000, 443, {.checksum = test::ChecksumField::partial}).payload("partial").build());
  out.push_back(FrameBuilder()
                    .ethernet()
                    .vlan(5, 0x88a8)
                    .vlan(6)
                    .ipv4(kClient, vip)
                    .udp(5000, 53)
                    .payload("q")
                    .build());
  out.push_back(
      ip().udp(5000, 53, {.checksum = test::ChecksumField::partial}).payload(Bytes(260, 'p')).build());
  out.push_back(ip({.dont_fragment = true}).udp(5000, 53).payload(Bytes(270, 'b')).build());
  out.push_back(ip().udp(5000, 53, {.checksum = test::ChecksumField::zero}).build());
  out.push_back(ip().icmp(8, {.rest = 0x10001}).payload(Bytes(16, 'e')).build());
  out.push_back(
      FrameBuilder().ethernet().ipv4("198.51.100.7", vip).icmp(3, {.code = 4}).payload(quoted).build());
  const auto fragments = test::fragments_of(datagram, 64, 99);
  out.insert(out.end(), fragments.begin(), fragments.end());
}

void add_ipv6(std::vector<Bytes>& out, const char* vip) {
  const auto ip = [&](test::Ipv6Fields fields = {}) {
    return FrameBuilder().ethernet().ipv6(kClient6, vip, fields);
  };
  const Bytes quoted = FrameBuilder().ipv6(vip, kClient6).tcp(443, 4000).build();
  out.push_back(ip().tcp(4000, 443, {.flags = kTcpSyn}).build());
  out.push_back(
      ip({.traffic_class = 0x2e}).hop_by_hop().destination_options().tcp(4000, 443).payload("data").build());
  out.push_back(ip().udp(5000, 53, {.checksum = test::ChecksumField::partial}).payload("partial").build());
  out.push_back(
      FrameBuilder().ethernet().vlan(5).ipv6(kClient6, vip).routing().udp(5000, 53).payload("q").build());
  out.push_back(ip().authentication(24).tcp(4000, 443).build());
  out.push_back(ip().icmp(128, {.rest = 0x10001}).payload("ping").build());
  out.push_back(FrameBuilder().ethernet().ipv6("2001:db8:f::1", vip).icmp(2).payload(quoted).build());
  const Bytes datagram = ip().udp(5000, 53).payload(Bytes(120, 'd')).build();
  const auto fragments = test::fragments_of(datagram, 64, 99);
  out.insert(out.end(), fragments.begin(), fragments.end());
}

std::vector<Bytes> base_packets() {
  std::vector<Bytes> out;
  for (const Vip& vip : kVips) {
    add_ipv4(out, vip.v4);
    add_ipv6(out, vip.v6);
  }
  return out;
}

test::TwinRun twin_run() {
  return {make_table(), 48, test::judge};  // headroom just enough for the largest: an ICMPv6 error
}

TEST(Mutation, BasePacketsAreAllHandled) {
  test::TwinRun run = twin_run();
  const auto packets = base_packets();
  EXPECT_GE(packets.size(), 40u);
  for (const Bytes& packet : packets) run.add(packet);
  run.flush();
  // What does not fit the small MTU of some tunnels may be dropped, and nothing else.
  EXPECT_EQ(run.counters().forwarded.read() + run.counters().replied.read() + run.drops(DropReason::too_big),
            packets.size());
  EXPECT_EQ(run.counters().replied.read(), 7u)
      << "the echo requests, and one that its tunnel is too small for";
}

TEST(Mutation, EveryTruncationIsAccountedFor) {
  test::TwinRun run = twin_run();
  for (const Bytes& packet : base_packets()) {
    for (std::size_t length = 0; length < packet.size(); ++length) {
      run.add(Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(length)));
    }
  }
  run.flush();
  EXPECT_EQ(run.drops(DropReason::truncated), run.counters().received.read());
}

TEST(Mutation, EveryChangeOfOneByteIsAccountedFor) {
  test::TwinRun run = twin_run();
  for (const Bytes& packet : base_packets()) {
    for (std::size_t at = 0; at < std::min(packet.size(), kMutatedBytes); ++at) {
      for (unsigned value = 0; value <= 0xff; ++value) {
        Bytes changed = packet;
        changed[at] = static_cast<uint8_t>(value);
        run.add(std::move(changed));
      }
      ASSERT_FALSE(HasFatalFailure());
    }
  }
  run.flush();
  EXPECT_EQ(run.faults(), 0);
  // The changes reach every reason that packets alone can bring about.
  for (const DropReason reason :
       {DropReason::not_ip, DropReason::truncated, DropReason::bad_ip_header, DropReason::bad_l4_header,
        DropReason::bad_extension, DropReason::martian, DropReason::ttl_expired, DropReason::fragment_unknown,
        DropReason::icmp_unhandled, DropReason::unsupported_protocol, DropReason::no_service,
        DropReason::too_big}) {
    EXPECT_GT(run.drops(reason), 0u) << name_of(reason);
  }
  EXPECT_GT(run.counters().forwarded.read(), 100'000u);
  EXPECT_GT(run.counters().replied.read(), 10'000u);
  EXPECT_GT(run.counters().checksums_completed.read(), 1'000u);
}

// What the short parse accepts, parse() accepts in the same words.
class PlainParse {
 public:
  // From memory of exactly the frame's size, and over old words: ASan sees a read outside, == a field not written.
  void compare(const Bytes& frame) {
    const std::unique_ptr<uint8_t[]> memory(new uint8_t[frame.size()]);
    std::copy(frame.begin(), frame.end(), memory.get());
    ParsedPacket plain;
    std::memset(static_cast<void*>(&plain), fill_ ^= 0xff, sizeof plain);
    plain.first_fragment = plain.dont_fragment = plain.looks_partial = true;  // a bool has no other bits
    if (!parse_plain(memory.get(), static_cast<uint32_t>(frame.size()), plain)) return;
    ++accepted_;
    ParsedPacket general;
    const auto reason = parse({memory.get(), frame.size()}, general);
    if ((reason || !(plain == general)) && ++faults_ <= 10) {
      ADD_FAILURE() << (reason ? name_of(*reason) : "parsed otherwise") << ": "
                    << testing::PrintToString(frame);
    }
  }
  int accepted() const { return accepted_; }
  int faults() const { return faults_; }

 private:
  uint8_t fill_ = 0xa5;
  int accepted_ = 0;
  int faults_ = 0;
};

TEST(Mutation, ThePlainParseSaysWhatTheGeneralOneSays) {
  PlainParse run;
  std::mt19937 random(1);
  for (const Bytes& packet : base_packets()) {
    for (std::size_t length = 0; length < packet.size(); ++length) {
      run.compare(Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(length)));
    }
    for (std::size_t at = 0; at < std::min(packet.size(), kMutatedBytes); ++at) {
      for (unsigned value = 0; value <= 0xff; ++value) {
        Bytes changed = packet;
        changed[at] = static_cast<uint8_t>(value);
        run.compare(changed);
        // And one more among the headers.
        changed[random() % std::min<std::size_t>(packet.size(), 74)] = static_cast<uint8_t>(random());
        run.compare(changed);
      }
    }
  }
  EXPECT_EQ(run.faults(), 0);
  EXPECT_GT(run.accepted(), 100'000);
}

TEST(Mutation, ThePlainParseTakesEveryPlainPacket) {
  ParsedPacket out;
  const auto takes = [&](const Bytes& frame) {
    return parse_plain(frame.data(), static_cast<uint32_t>(frame.size()), out);
  };
  for (const Bytes& payload : {Bytes(), Bytes(1), Bytes(1400)}) {
    const auto v4 = FrameBuilder().ethernet().ipv4(kClient, kVips[0].v4);
    const auto v6 = FrameBuilder().ethernet().ipv6(kClient6, kVips[0].v6);
    EXPECT_TRUE(takes(FrameBuilder(v4).tcp(4000, 443).payload(payload).build()));
    EXPECT_TRUE(takes(FrameBuilder(v4).udp(5000, 53).payload(payload).build()));
    EXPECT_TRUE(takes(FrameBuilder(v6).tcp(4000, 443, {.options = Bytes(12, 1)}).payload(payload).build()));
    EXPECT_TRUE(takes(FrameBuilder(v6).udp(5000, 53).payload(payload).build()));
  }
}

}  // namespace
}  // namespace xebec
