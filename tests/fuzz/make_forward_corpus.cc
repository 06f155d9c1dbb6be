// SPDX-License-Identifier: BSD-2-Clause
// Writes the seeds of forward_fuzz into a directory: make_forward_corpus tests/fuzz/corpus/forward
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/frame_builder.h"

namespace {

using xebec::test::Bytes;
using xebec::test::FrameBuilder;

constexpr const char* kClient = "192.0.2.1";
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kClient6 = "2001:db8:c::1";
constexpr const char* kVip6 = "2001:db8::10";

struct Seed {
  const char* name;
  std::vector<Bytes> frames;
  std::vector<bool> answers = {};  ///< which frames are answers (forward_fuzz.cc); the rest is none
};

// A connection through a translating service, and what a backend says to it.
Seed translated(const char* name, const char* client, const char* vip, const char* backend) {
  const bool v6 = std::string_view(client).find(':') != std::string_view::npos;
  const auto from = [v6](const char* source, const char* destination) {
    FrameBuilder frame = FrameBuilder().ethernet();
    return v6 ? frame.ipv6(source, destination) : frame.ipv4(source, destination);
  };
  const auto quoted = [v6](const char* source, const char* destination) {
    FrameBuilder frame;
    return v6 ? frame.ipv6(source, destination) : frame.ipv4(source, destination);
  };
  const uint8_t unreachable = v6 ? 1 : 3;
  return {name,
          {from(client, vip).tcp(4000, 443, {.flags = 2, .options = Bytes{2, 4, 5, 180}}).build(),
           from(backend, client).tcp(8443, 4000, {.flags = 0x12, .options = Bytes{2, 4, 5, 180}}).build(),
           from(client, vip)
               .tcp(4000, 443, {.checksum = xebec::test::ChecksumField::partial})
               .payload("data")
               .build(),
           from(backend, client).tcp(8443, 4000).payload("answer").build(),
           from(v6 ? "2001:db8:f::1" : "198.51.100.7", vip)
               .icmp(unreachable)
               .payload(quoted(vip, client).tcp(443, 4000).build())
               .build(),
           from(client, vip).udp(5000, 53).payload("question").build(),
           from(backend, client).udp(53, 5000).payload("answer").build(),
           from(backend, client)
               .icmp(unreachable)
               .payload(quoted(client, backend).udp(5000, 53).build())
               .build()},
          {false, true, false, true, false, false, true, false}};
}

std::vector<Seed> seeds() {
  const auto v4 = [] { return FrameBuilder().ethernet().ipv4(kClient, kVip); };
  const auto v6 = [] { return FrameBuilder().ethernet().ipv6(kClient6, kVip6); };
  constexpr auto kPartial = xebec::test::ChecksumField::partial;
  const Bytes syn = v4().tcp(4000, 443, {.flags = 2, .options = Bytes(20, 1)}).build();
  const Bytes syn6 = v6().tcp(4000, 443, {.flags = 2}).build();
  const Bytes quoted = FrameBuilder().ipv4(kVip, kClient).tcp(443, 4000).build();
  const Bytes quoted6 = FrameBuilder().ipv6(kVip6, kClient6).tcp(443, 4000).build();
  return {
      {"tcp4",
       {syn, v4().tcp(4000, 443).payload("data").build(), v4().tcp(4000, 443, {.flags = 0x11}).build()}},
      {"tcp6", {syn6, v6().hop_by_hop().destination_options().tcp(4000, 443).payload("data").build()}},
      {"vlan",
       {FrameBuilder()
            .ethernet()
            .vlan(5, 0x88a8)
            .vlan(6)
            .ipv4(kClient, kVip)
            .udp(5000, 53)
            .payload("q")
            .build()}},
      {"partial",
       {v4().udp(5000, 53, {.checksum = kPartial}).payload("p").build(),
        v6().tcp(4000, 443, {.checksum = kPartial}).build()}},
      {"extensions",
       {v6().hop_by_hop().routing().authentication(24).destination_options().udp(5000, 53).build()}},
      {"echo", {v4().icmp(8).payload("ping").build(), v6().icmp(128).payload("ping").build()}},
      {"error4", {syn, FrameBuilder().ethernet().ipv4("198.51.100.7", kVip).icmp(3).payload(quoted).build()}},
      {"error6",
       {syn6, FrameBuilder().ethernet().ipv6("2001:db8:f::1", kVip6).icmp(2).payload(quoted6).build()}},
      {"fragments4", xebec::test::fragments_of(v4().udp(5000, 53).payload(Bytes(100, 'd')).build(), 64, 1)},
      translated("dnat4", kClient, "203.0.113.40", "10.0.0.4"),
      translated("dnat6", kClient6, "2001:db8::40", "2001:db8:1::4"),
      translated("nat4", kClient, "203.0.113.50", "10.0.0.5"),
      translated("nat6", kClient6, "2001:db8::50", "2001:db8:1::5"),
      {"fragments6", xebec::test::fragments_of(v6().udp(5000, 53).payload(Bytes(100, 'd')).build(), 64, 1)},
  };
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_forward_corpus DIRECTORY\n");
    return 2;
  }
  for (const Seed& seed : seeds()) {
    std::ofstream file(std::string(argv[1]) + "/" + seed.name, std::ios::binary);
    for (std::size_t i = 0; i < seed.frames.size(); ++i) {
      const Bytes& frame = seed.frames[i];
      const std::size_t answers = i < seed.answers.size() && seed.answers[i] ? 0x40 : 0;
      file.put(static_cast<char>(frame.size() >> 8 | answers)).put(static_cast<char>(frame.size() & 0xff));
      for (const uint8_t byte : frame) file.put(static_cast<char>(byte));
    }
    file.close();
    if (!file) {
      std::fprintf(stderr, "make_forward_corpus: cannot write %s/%s\n", argv[1], seed.name);
      return 1;
    }
  }
  return 0;
}
