// SPDX-License-Identifier: BSD-2-Clause
// Any bytes through parse and forward_batch: one verdict each, books that balance, and only such frames sent
// as a judge finds right byte by byte (tests/unit/forward_world.h). Entry point of libFuzzer;
// tests/fuzz/replay.cc runs it over files.
//
// An input is a list of frames: two bytes of length, network order, then the frame, cut at the end of the
// input; at most one batch of them. The highest bit of a length lets 11 s pass first: half-open flows and
// their kind expire. The next bit makes the frame an answer: what came before it is forwarded, and it gets the addresses and ports
// of the last packet that went to a backend, turned round. Nobody could guess the port that mode nat chose.
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
  const auto translated = [&](std::string_view vip, Mode mode, std::string_view backend,
                              std::string_view source) {
    for (const uint8_t protocol : {kProtoTcp, kProtoUdp, kProtoSctp}) {
      story.service(vip, protocol, protocol == kProtoTcp ? 443 : 0);
      Backend& b = story.at(story.backend(backend, mode));
      b.port = protocol == kProtoTcp ? 8443 : 0;
      b.tunnel_source = test::address(source);
    }
  };
  translated("203.0.113.40", Mode::dnat, "10.0.0.4", "198.51.100.1");
  translated("203.0.113.50", Mode::nat, "10.0.0.5", "198.51.100.1");
  translated("2001:db8::40", Mode::dnat, "2001:db8:1::4", "2001:db8:51::1");
  translated("2001:db8::50", Mode::nat, "2001:db8:1::5", "2001:db8:51::1");
  return story.make();
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "forward_fuzz: %s\n", what);
  std::abort();
}

struct Input {
  struct Frame {
    Bytes bytes;
    bool answers = false;
  };
  std::vector<Frame> frames;
  uint64_t now_ns = 1'000'000'000;
};

Input split(const uint8_t* data, std::size_t size) {
  Input input;
  while (size >= 2 && input.frames.size() < kBatchSize) {
    const std::size_t word = static_cast<std::size_t>(data[0] << 8) | data[1];
    if ((word & 0x8000) != 0) input.now_ns += 11'000'000'000;
    const std::size_t length = std::min(word & 0x3fff, size - 2);
    input.frames.push_back({{data + 2, data + 2 + length}, (word & 0x4000) != 0});
    data += 2 + length;
    size -= 2 + length;
  }
  return input;
}

// Addresses and ports of `sent`, turned round, where both are untagged packets of one family without options.
void answer(Bytes& frame, const Bytes& sent) {
  constexpr std::size_t kL3 = sizeof(EthernetHeader);
  constexpr std::size_t kShortest = kL3 + sizeof(Ipv6Header) + 4;
  if (frame.size() < kShortest || sent.size() < kShortest) return;
  if (!std::equal(&frame[12], &frame[15], &sent[12])) return;
  const bool v4 = sent[kL3] == 0x45;
  const std::size_t source = kL3 + (v4 ? offsetof(Ipv4Header, source) : offsetof(Ipv6Header, source));
  const std::size_t width = v4 ? 4 : 16;
  const std::size_t ports = kL3 + (v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header));
  const auto turn = [&](std::size_t at, std::size_t size) {
    std::copy_n(&sent[at], size, &frame[at + size]);
    std::copy_n(&sent[at + size], size, &frame[at]);
  };
  turn(source, width);
  turn(ports, 2);
}

// The short parse says what the general one says, or nothing.
void compare_parsers(const Bytes& frame) {
  ParsedPacket plain;
  ParsedPacket general;
  if (!parse_plain(frame.data(), static_cast<uint32_t>(frame.size()), plain)) return;
  if (parse(frame, general) || !(plain == general)) fail("a plain packet was parsed otherwise");
}

// Forwards some frames of an input; `sent`: the last packet that went to a backend, if there was one.
void run(const Table& table, ForwardState& state, const std::vector<Bytes>& received, uint64_t now_ns,
         Bytes& sent) {
  for (const Bytes& frame : received) compare_parsers(frame);
  std::vector<test::HeapFrame> frames;
  std::vector<Packet> packets;
  for (const Bytes& bytes : received) frames.emplace_back(bytes, 40);
  for (const test::HeapFrame& frame : frames) packets.push_back(frame.packet());
  std::vector<Decision> decisions(packets.size());
  const uint64_t before = state.counters.received.read();
  forward_batch(table, state, packets, decisions, now_ns);
  if (state.counters.received.read() - before != packets.size()) fail("packets came in that nobody counted");
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const std::string wrong = test::judge(received[i], decisions[i], packets[i], table);
    if (!wrong.empty()) fail(wrong.c_str());
    if (decisions[i].verdict == Verdict::forward && !decisions[i].to_client)
      sent = test::bytes_of(packets[i]);
  }
  count_sent(state.counters, decisions);
  if (!test::accounts_balance(state.counters)) fail("packets were not counted once each");
}

void run(const Input& input) {
  static const std::unique_ptr<const Table> table = make_table();
  FlowTableConfig config;
  config.capacity = 256;
  ForwardState state(config);
  std::vector<Bytes> batch;
  Bytes sent;
  for (const Input::Frame& frame : input.frames) {
    if (frame.answers) {
      run(*table, state, batch, input.now_ns, sent);
      batch.clear();
    }
    batch.push_back(frame.bytes);
    if (frame.answers) answer(batch.back(), sent);
  }
  run(*table, state, batch, input.now_ns, sent);
}

}  // namespace
}  // namespace xebec

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  xebec::run(xebec::split(data, size));
  return 0;
}
