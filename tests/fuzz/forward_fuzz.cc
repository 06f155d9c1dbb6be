// SPDX-License-Identifier: BSD-2-Clause
// Any bytes through parse and forward_batch: one verdict each, books that balance, and only such frames sent
// as a judge finds right byte by byte (tests/unit/forward_world.h). Entry point of libFuzzer;
// tests/fuzz/replay.cc runs it over files.
//
// An input is a list of frames: two bytes of length, network order, then the frame, cut at the end of the
// input; at most one batch of them. The highest bit of a length lets 11 s pass first: half-open flows and
// their kind expire.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "dataplane/plain_packet.h"
#include "tests/unit/forward_world.h"

namespace xebec {
namespace {

using test::Bytes;

std::unique_ptr<const Table> make_table() {
  test::TableStory story;
  for (const char* vip : {"203.0.113.10", "2001:db8::10"}) {
    story.service(vip, kProtoTcp, 443);
    story.backend("10.0.0.1"), story.backend("10.0.0.2", Mode::ipip),
        story.backend("2001:db8:1::1", Mode::ipip, 300);
    story.service(vip, kProtoUdp, 0, true);
    story.backend("10.0.0.1", Mode::ipip), story.backend("2001:db8:1::1", Mode::ipip);
  }
  return story.make();
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "forward_fuzz: %s\n", what);
  std::abort();
}

struct Input {
  std::vector<Bytes> frames;
  uint64_t now_ns = 1'000'000'000;
};

Input split(const uint8_t* data, std::size_t size) {
  Input input;
  while (size >= 2 && input.frames.size() < kBatchSize) {
    const std::size_t word = static_cast<std::size_t>(data[0] << 8) | data[1];
    if ((word & 0x8000) != 0) input.now_ns += 11'000'000'000;
    const std::size_t length = std::min(word & 0x7fff, size - 2);
    input.frames.emplace_back(data + 2, data + 2 + length);
    data += 2 + length;
    size -= 2 + length;
  }
  return input;
}

// The short parse says what the general one says, or nothing.
void compare_parsers(const Bytes& frame) {
  ParsedPacket plain;
  ParsedPacket general;
  if (!parse_plain(frame.data(), static_cast<uint32_t>(frame.size()), plain)) return;
  if (parse(frame, general) || !(plain == general)) fail("a plain packet was parsed otherwise");
}

void run(const Input& input) {
  for (const Bytes& frame : input.frames) compare_parsers(frame);
  static const std::unique_ptr<const Table> table = make_table();
  FlowTableConfig config;
  config.capacity = 256;
  ForwardState state(config);
  std::vector<test::HeapFrame> frames;
  std::vector<Packet> packets;
  for (const Bytes& bytes : input.frames) frames.emplace_back(bytes, 40);
  for (const test::HeapFrame& frame : frames) packets.push_back(frame.packet());
  std::vector<Decision> decisions(packets.size());
  forward_batch(*table, state, packets, decisions, input.now_ns);
  if (state.counters.received.read() != packets.size()) fail("packets came in that nobody counted");
  uint64_t counted = 0;
  for (const Counter& drop : state.counters.drops) counted += drop.read();
  const auto dropped = std::count_if(decisions.begin(), decisions.end(),
                                     [](const Decision& d) { return d.verdict == Verdict::drop; });
  if (counted != static_cast<uint64_t>(dropped)) fail("drops were not counted once each");
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const std::string wrong = test::judge(input.frames[i], decisions[i], packets[i], *table);
    if (!wrong.empty()) fail(wrong.c_str());
  }
}

}  // namespace
}  // namespace xebec

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  xebec::run(xebec::split(data, size));
  return 0;
}
