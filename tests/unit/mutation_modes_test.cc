// SPDX-License-Identifier: BSD-2-Clause
// Hostile input against the tunnels and translations: every truncation and every change of one byte of packets that go each
// way. Each packet has one fate, nothing outside of it is read (ASan, frames of exactly their size) or sent (two runs side by
// side that differ only in what lies around the bytes), and what is forwarded is a packet.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/forward.h"
#include "tests/unit/forward_world.h"
#include "tests/unit/twin_run.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;

constexpr std::size_t kMutatedBytes = 150;
constexpr uint32_t kHeadroom = 70;  // just enough for VXLAN over IPv6

struct Way {
  const char *vip4, *vip6;
  Mode mode;
  const char *backend4, *backend6;
  ClientNote note = ClientNote::none;
};
constexpr Way kWays[] = {
    {"203.0.113.10", "2001:db8::10", Mode::gre, "10.0.0.1", "2001:db8:1::1"},
    {"203.0.113.20", "2001:db8::20", Mode::gue, "10.0.0.2", "2001:db8:1::2"},
    {"203.0.113.30", "2001:db8::30", Mode::vxlan, "10.0.0.3", "2001:db8:1::3"},
    {"203.0.113.40", "2001:db8::40", Mode::dnat, "10.0.0.4", "2001:db8:1::4"},
    {"203.0.113.50", "2001:db8::50", Mode::nat, "10.0.0.5", "2001:db8:1::5"},
    {"203.0.113.60", "2001:db8::60", Mode::nat, "10.0.0.6", "2001:db8:1::6", ClientNote::toa},
    {"203.0.113.70", "2001:db8::70", Mode::nat, "10.0.0.7", "2001:db8:1::7", ClientNote::proxy}};
constexpr const char* kClient4 = "192.0.2.1";
constexpr const char* kClient6 = "2001:db8:c::1";
// Of tunnels, and what mode nat translates clients to.
constexpr const char* kSource4 = "198.51.100.1";
constexpr const char* kSource6 = "2001:db8:51::1";

std::unique_ptr<const Table> make_table() {
  test::TableStory story;
  for (const Way& way : kWays) {
    for (const bool v6 : {false, true}) {
      for (const uint8_t protocol : {kProtoTcp, kProtoUdp, kProtoSctp}) {
        story.service(v6 ? way.vip6 : way.vip4, protocol, protocol == kProtoTcp ? 443 : 0);
        Backend& b = story.at(story.backend(v6 ? way.backend6 : way.backend4, way.mode));
        b.tunnel_source = test::address(v6 ? kSource6 : kSource4);
        b.tunnel_port = 4789;
        b.gue_header = v6;
        b.port = protocol == kProtoTcp ? 8443 : 0;
        b.client_note = way.note;
      }
    }
  }
  TableParts parts = story.parts();
  parts.icmp = {1'000'000, 1'000'000};
  parts.mtus.fill(1500);
  return Table::make(std::move(parts));
}

FrameBuilder ip(bool v6, const char* from, const char* to) {
  FrameBuilder frame = FrameBuilder().ethernet();
  return v6 ? frame.ipv6(from, to) : frame.ipv4(from, to);
}

// The port by which a client's packet leaves, which is its own but in mode nat: there it follows from packet and table.
uint16_t port_towards_backend(const Bytes& client_packet) {
  static const std::unique_ptr<const Table> table = make_table();
  FlowTableConfig config;
  config.capacity = 1024;
  ForwardState state(config);
  const test::HeapFrame frame(client_packet, kHeadroom);
  Packet packet = frame.packet();
  Decision decision;
  forward_batch(*table, state, {&packet, 1}, {&decision, 1}, 1'000'000'000);
  ParsedPacket parsed;
  const bool read = !parse({packet.data, packet.length}, parsed);
  EXPECT_TRUE(read && decision.verdict == Verdict::forward);
  return parsed.key.source_port.host();
}

void add_packets(std::vector<Bytes>& out, bool v6, const Way& way) {
  const char* const client = v6 ? kClient6 : kClient4;
  const char* const vip = v6 ? way.vip6 : way.vip4;
  const char* const backend = v6 ? way.backend6 : way.backend4;
  const auto quoted = [&](const char* from, const char* to) {
    FrameBuilder frame;
    return v6 ? frame.ipv6(from, to) : frame.ipv4(from, to);
  };
  const uint8_t unreachable = v6 ? 1 : 3;
  out.push_back(
      ip(v6, client, vip).tcp(4000, 443, {.flags = kTcpSyn, .options = Bytes{2, 4, 5, 180}}).build());
  out.push_back(ip(v6, client, vip)
                    .tcp(4000, 443, {.sequence = 2, .checksum = test::ChecksumField::partial})
                    .payload("data")
                    .build());
  out.push_back(ip(v6, client, vip).udp(5000, 53).payload("question").build());
  const auto pieces =
      test::fragments_of(ip(v6, client, vip).udp(5000, 53).payload(Bytes(150, 'f')).build(), 64, 7);
  out.insert(out.end(), pieces.begin(), pieces.end());
  out.push_back(ip(v6, v6 ? "2001:db8:fe::1" : "192.0.2.254", vip)
                    .icmp(unreachable)
                    .payload(quoted(vip, client).tcp(443, 4000).build())
                    .build());
  if (!is_nat(way.mode)) return;
  // What a backend sends; it meets the connections above.
  const char* const caller = way.mode == Mode::dnat ? client : v6 ? kSource6 : kSource4;
  const uint16_t tcp_port =
      port_towards_backend(ip(v6, client, vip).tcp(4000, 443, {.flags = kTcpSyn}).build());
  const uint16_t udp_port =
      port_towards_backend(ip(v6, client, vip).udp(5000, 53).payload("question").build());
  out.push_back(ip(v6, backend, caller).tcp(8443, tcp_port).payload("answer").build());
  out.push_back(ip(v6, backend, caller).udp(53, udp_port).payload("answer").build());
  out.push_back(ip(v6, backend, caller)
                    .icmp(unreachable)
                    .payload(quoted(caller, backend).udp(udp_port, 53).build())
                    .build());
  const auto answers =
      test::fragments_of(ip(v6, backend, caller).udp(53, udp_port).payload(Bytes(150, 'g')).build(), 64, 8);
  out.insert(out.end(), answers.begin(), answers.end());
}

std::vector<Bytes> base_packets() {
  std::vector<Bytes> out;
  for (const Way& way : kWays) {
    add_packets(out, false, way);
    add_packets(out, true, way);
  }
  return out;
}

std::string fault_of(const Bytes& in, const Decision& decision, const Packet& packet, const Table&) {
  const Bytes out = test::bytes_of(packet);
  if (decision.verdict == Verdict::drop && out != in) return "a dropped packet was changed";
  if (decision.verdict != Verdict::forward) return {};
  // A martian source inside is the sender's; what is judged is that lengths and headers belong together.
  ParsedPacket parsed;
  const auto reason = parse(out, parsed);
  if (reason == DropReason::truncated || reason == DropReason::bad_ip_header || reason == DropReason::not_ip)
    return "what was sent is no packet";
  return {};
}

test::TwinRun twin_run() {
  return {make_table(), kHeadroom, fault_of};
}

TEST(MutationOfModes, BasePacketsAllGoOn) {
  test::TwinRun run = twin_run();
  const auto packets = base_packets();
  EXPECT_GE(packets.size(), 40u);
  for (const Bytes& packet : packets) run.add(packet);
  run.flush();
  // A fragment cannot have a PROXY header, so that the later ones have no first.
  EXPECT_GE(run.counters().forwarded.read() + run.drops(DropReason::fragment_unknown) +
                run.drops(DropReason::proxy_fragment),
            packets.size());
  EXPECT_EQ(run.drops(DropReason::nat_unknown), 0u);
  EXPECT_EQ(run.counters().nat_client_told.read(), 8u);  // TOA: SYN and data; PROXY: data and a datagram
  EXPECT_EQ(run.counters().nat_replies.read(), 8u * 5);  // each way and family: TCP, UDP and three fragments
}

TEST(MutationOfModes, EveryTruncationHasOneFate) {
  test::TwinRun run = twin_run();
  for (const Bytes& packet : base_packets()) {
    for (std::size_t length = 0; length <= packet.size(); ++length)
      run.add(Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(length)));
  }
  run.flush();
  EXPECT_GT(run.drops(DropReason::truncated), 1000u);
}

TEST(MutationOfModes, EveryChangeOfOneByteHasOneFate) {
  test::TwinRun run = twin_run();
  for (const Bytes& packet : base_packets()) {
    for (std::size_t at = 0; at < std::min(packet.size(), kMutatedBytes); ++at) {
      // All values of the bytes that headers choose by are in mutation_test; these are the ones that turn something round.
      for (const unsigned flip : {0x01u, 0x02u, 0x04u, 0x08u, 0x10u, 0x20u, 0x40u, 0x80u, 0xffu}) {
        Bytes changed = packet;
        changed[at] = static_cast<uint8_t>(changed[at] ^ flip);
        run.add(std::move(changed));
      }
      ASSERT_FALSE(HasFatalFailure());
    }
  }
  run.flush();
  EXPECT_GT(run.counters().forwarded.read(), 10'000u);
}

}  // namespace
}  // namespace xebec
