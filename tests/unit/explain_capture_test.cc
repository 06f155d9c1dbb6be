// SPDX-License-Identifier: BSD-2-Clause
// Packets of a capture, explained: every one is accounted for, the capture's times are the clock, and no file ends the
// process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "tests/support/frame_builder.h"
#include "tests/unit/explain_world.h"

namespace xebec {
namespace {

using test::Bytes;
using test::FrameBuilder;
using test::OfflineWorld;
using testing::HasSubstr;

constexpr const char* kClient = "192.0.2.1";
constexpr const char* kVip = "203.0.113.10";
constexpr const char* kVip6 = "2001:db8::10";
constexpr const char* kConfig = R"({
  "hash_seed": "000102030405060708090a0b0c0d0e0f",
  "interfaces": [{"name": "eth0", "local_mac": "02:00:00:00:00:02"}],
  "defaults": {"timeouts": {"udp_s": 30}},
  "services": [
    {"name": "web", "vip": "203.0.113.10", "port": 443, "protocol": "tcp", "backends": [{"address": "10.0.1.11"}]},
    {"name": "dns", "vip": "203.0.113.10", "port": "any", "protocol": "udp", "mode": "ipip",
     "backends": [{"address": "10.0.2.11"}, {"address": "2001:db8:2::12"}]},
    {"name": "six", "vip": "2001:db8::10", "port": 443, "protocol": "tcp", "stateless": true,
     "backends": [{"address": "2001:db8:2::11"}]}]})";

FrameBuilder to_vip(test::Ipv4Fields fields = {}) {
  return FrameBuilder().ethernet().ipv4(kClient, kVip, std::move(fields));
}

CapturedPacket captured(const Bytes& frame, int64_t seconds = 1000, uint32_t nanoseconds = 0) {
  return {frame, static_cast<uint32_t>(frame.size()), seconds, nanoseconds};
}

uint64_t total_of(const CaptureTotals& totals) {
  uint64_t sum = 0;
  for (const auto& [verdict, count] : totals.verdicts) sum += count;
  return sum;
}

// ---- What is said of each packet ----

TEST(ExplainCapture, HasAWordForEveryKindOfPacket) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  struct Row {
    const char* what;
    Bytes frame;
    const char* said;  ///< verdict, reason, service, backend, mode, flow, out_length
  };
  const Row rows[] = {
      {"a SYN", to_vip().tcp(4000, 443, {.flags = 2}).build(), "forward - web 10.0.1.11 dsr-l2 new 60"},
      {"more of it", to_vip().tcp(4000, 443).payload(Bytes(100)).build(),
       "forward - web 10.0.1.11 dsr-l2 hit 154"},
      {"a stateless service's", FrameBuilder().ethernet().ipv6("2001:db8:c::1", kVip6).tcp(4000, 443).build(),
       "forward - six 2001:db8:2::11 dsr-l2 stateless 74"},
      {"ping", to_vip().icmp(8).payload(Bytes(40)).build(), "reply - - - - - 82"},
      {"ARP",
       FrameBuilder().ethernet("ff:ff:ff:ff:ff:ff", test::kRouterMac, 0x0806).payload(Bytes(46)).build(),
       "pass - - - - - -"},
      {"another host's", FrameBuilder().ethernet("02:00:00:00:00:03").ipv4(kClient, kVip).tcp(1, 443).build(),
       "pass - - - - - -"},
      {"no service's", to_vip().tcp(4000, 444).build(), "pass - - - - - -"},
      {"too old", to_vip({.ttl = 0}).tcp(4000, 443).build(), "drop ttl_expired - - - - -"},
      {"too long", to_vip().tcp(4000, 443).payload(Bytes(9000)).build(),
       "drop too_big web 10.0.1.11 dsr-l2 hit -"},
  };
  for (const Row& row : rows) {
    const auto json = explainer->explain(captured(row.frame)).json();
    std::string said;
    for (const char* key : {"verdict", "reason", "service", "backend", "mode", "flow", "out_length"}) {
      const auto& value = json.at(key);
      said += (said.empty() ? "" : " ") + (value.is_null()     ? "-"
                                           : value.is_string() ? value.get<std::string>()
                                                               : value.dump());
    }
    EXPECT_EQ(said, row.said) << row.what;
  }
  EXPECT_EQ(explainer->totals().summary(),
            "9 packets: 3 forward, 3 pass, 1 reply, 2 drop (too_big 1, ttl_expired 1)");
  EXPECT_EQ(explainer->counters().received.read(), 6u) << "the shim passes the others";
  EXPECT_EQ(explainer->counters().forwarded.read(), 3u);
}

TEST(ExplainCapture, HasItsKeysInTheDocumentedOrder) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  EXPECT_EQ(explainer->explain(captured(to_vip().tcp(4000, 443, {.flags = 2}).build())).json().dump(),
            R"({"packet":1,"verdict":"forward","reason":null,"service":"web","backend":"10.0.1.11",)"
            R"("mode":"dsr-l2","flow":"new","out_length":60,"worker":0})");
}

TEST(ExplainCapture, GivesTheBytesThatLeave) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  const Bytes frame = to_vip().udp(5000, 53).payload(Bytes(100, 'q')).build();
  const PacketExplanation result = explainer->explain(captured(frame));
  const std::size_t outer = result.backend == "10.0.2.11" ? 20 : 40;
  ASSERT_EQ(result.out.size(), frame.size() + outer);
  EXPECT_TRUE(
      std::equal(frame.begin() + 14, frame.end(), result.out.begin() + 14 + static_cast<long>(outer)));
  EXPECT_EQ(explainer->explain(captured(Bytes(60))).out.size(), 0u);
}

TEST(ExplainCapture, TakesAggregatesOf64KiB) {
  const Bytes frame = to_vip().tcp(4000, 443).payload(Bytes(65535 - 40, 'x')).build();
  const OfflineWorld world(kConfig);
  EXPECT_EQ(world.explainer()->explain(captured(frame)).reason, "too_big");
  const OfflineWorld wide(kConfig, 65535);
  const auto explainer = wide.explainer();
  EXPECT_EQ(explainer->explain(captured(frame)).out.size(), frame.size());
  // Longer than an IP packet can be: what is behind it is cut off.
  Bytes padded = frame;
  padded.resize(262'144);
  EXPECT_EQ(explainer->explain(captured(padded)).out.size(), frame.size());
}

TEST(ExplainCapture, JudgesWhatTheCaptureCutShortByWhatIsThere) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  Bytes frame = to_vip().tcp(4000, 443).payload(Bytes(500)).build();
  frame.resize(96);
  CapturedPacket packet = captured(frame);
  packet.length = 554;
  EXPECT_EQ(explainer->explain(packet).reason, "truncated");
  EXPECT_THAT(explainer->totals().summary(),
              HasSubstr("1 drop (truncated 1); 1 cut short by the capture, and judged by what is left"));
}

TEST(ExplainCapture, TakesTheTimesOfTheCaptureForItsClock) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  const Bytes frame = to_vip().udp(5000, 53).build();
  const auto flow = [&](int64_t seconds, uint32_t nanoseconds = 0) {
    return explainer->explain(captured(frame, seconds, nanoseconds)).flow;
  };
  EXPECT_EQ(flow(1'700'000'000), "new");
  EXPECT_EQ(flow(1'700'000'029), "hit");
  EXPECT_EQ(flow(1'700'000'070), "new") << "UDP is remembered for 30 s";
  EXPECT_EQ(flow(1'600'000'000), "hit") << "a step back is none";
  EXPECT_EQ(flow(1'700'000'071, 999'999'999), "hit");
  EXPECT_EQ(flow(INT64_MAX), "new") << "a gap of ages is one of a year";
  EXPECT_EQ(flow(INT64_MIN), "hit");
  EXPECT_EQ(flow(0), "hit");
}

TEST(ExplainCapture, GoesOnWhereTheFirstTimesOfACaptureAreBroken) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  const Bytes frame = to_vip().udp(5000, 53).build();
  const auto flow = [&](int64_t seconds) { return explainer->explain(captured(frame, seconds)).flow; };
  EXPECT_EQ(flow(0), "new");
  EXPECT_EQ(flow(1'700'000'000), "new");
  EXPECT_EQ(flow(1'700'000'010), "hit");
  EXPECT_EQ(flow(1'700'000'100), "new");
  // Times that add up to more than a clock can hold end no process, and turn nothing round.
  for (int64_t year = 1; year < 1000; ++year) flow(1'700'000'100 + year * 366 * 86'400);
  EXPECT_EQ(flow(INT64_MAX), "hit") << "the clock stands still";
}

TEST(ExplainCapture, LetsALaterFragmentWaitForItsFirstAndKeepsTheOrder) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  const auto pieces = test::fragments_of(to_vip().udp(5000, 53).payload(Bytes(2000, 'f')).build(), 1000, 7);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_TRUE(explainer->take(captured(pieces[2], 1000)).empty());
  EXPECT_TRUE(explainer->take(captured(Bytes(60), 1000)).empty()) << "it stands behind one that waits";
  EXPECT_TRUE(explainer->take(captured(pieces[1], 1000)).empty());
  const auto settled = explainer->take(captured(pieces[0], 1000));
  ASSERT_EQ(settled.size(), 4u);
  for (std::size_t i = 0; i < settled.size(); ++i) {
    EXPECT_EQ(settled[i].packet, i + 1);
    EXPECT_EQ(settled[i].verdict, i == 1 ? "pass" : "forward");
  }
  EXPECT_TRUE(explainer->finish().empty());
  EXPECT_EQ(explainer->totals().packets, 4u);
}

TEST(ExplainCapture, GivesUpALaterFragmentWhereTimeStandsStill) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  const auto pieces = test::fragments_of(to_vip().udp(5000, 53).payload(Bytes(2000, 'f')).build(), 1000, 7);
  const Bytes other = to_vip().udp(5001, 53).payload(Bytes(10, 'o')).build();
  ASSERT_TRUE(explainer->take(captured(pieces[1], 1000)).empty());
  std::size_t behind = 0;
  std::vector<PacketExplanation> settled;
  for (; settled.empty() && behind < 100'000; ++behind) settled = explainer->take(captured(other, 1000));
  EXPECT_EQ(behind, 16'384u);
  ASSERT_EQ(settled.size(), behind + 1) << "all that waited behind it";
  EXPECT_EQ(settled[0].reason, "fragment_unknown");
  EXPECT_EQ(settled.back().packet, behind + 1);
  EXPECT_EQ(explainer->take(captured(other, 1000)).size(), 1u);
}

TEST(ExplainCapture, GivesUpALaterFragmentWhoseFirstDoesNotCome) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  const auto pieces = test::fragments_of(to_vip().udp(5000, 53).payload(Bytes(2000, 'f')).build(), 1000, 7);
  EXPECT_TRUE(explainer->take(captured(pieces[1], 1000)).empty());
  auto settled = explainer->take(captured(pieces[0], 1001));  // a second later
  ASSERT_EQ(settled.size(), 2u);
  EXPECT_EQ(settled[0].reason, "fragment_unknown");
  EXPECT_EQ(settled[1].verdict, "forward");
  EXPECT_TRUE(
      explainer
          ->take(captured(
              test::fragments_of(to_vip().udp(6000, 53).payload(Bytes(2000, 'g')).build(), 1000, 8)[1], 1001))
          .empty());
  settled = explainer->finish();
  ASSERT_EQ(settled.size(), 1u);
  EXPECT_EQ(settled[0].verdict, "drop");
  EXPECT_EQ(explainer->totals().reasons.at("fragment_unknown"), 2u);
}

TEST(ExplainCapture, RefillsTheEchoLimitWithTheCapturesTime) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  const Bytes ping = to_vip().icmp(8).build();
  for (int i = 0; i < 150; ++i) explainer->explain(captured(ping, 1000));
  EXPECT_EQ(explainer->totals().verdicts.at("reply"), icmp_burst(kEchoRepliesPerSecond));
  EXPECT_EQ(explainer->totals().reasons.at("icmp_echo_limited"), 150 - icmp_burst(kEchoRepliesPerSecond));
  EXPECT_EQ(explainer->explain(captured(ping, 1001)).verdict, "reply");
}

TEST(ExplainCapture, AccountsForEveryTruncationAndChange) {
  const OfflineWorld world(kConfig);
  const auto explainer = world.explainer();
  const Bytes frames[] = {
      to_vip().tcp(4000, 443).payload("data").build(), to_vip().udp(5000, 53).payload(Bytes(30)).build(),
      to_vip({.more_fragments = true}).udp(5000, 53).payload(Bytes(64)).build(),
      FrameBuilder().ethernet().vlan(7).ipv6("2001:db8:c::1", kVip6).hop_by_hop().tcp(1, 443).build()};
  uint64_t sent = 0;
  for (const Bytes& frame : frames) {
    for (std::size_t length = 0; length < frame.size(); ++length, ++sent)
      explainer->explain(captured(Bytes(frame.begin(), frame.begin() + static_cast<long>(length))));
    for (std::size_t at = 0; at < frame.size(); ++at) {
      for (const unsigned value : {0u, 1u, 4u, 0x45u, 0x7fu, 0x80u, 0xffu}) {
        Bytes changed = frame;
        changed[at] = static_cast<uint8_t>(value);
        explainer->explain(captured(changed));
        ++sent;
      }
    }
  }
  const CaptureTotals& totals = explainer->totals();
  EXPECT_EQ(totals.packets, sent);
  EXPECT_EQ(total_of(totals), sent);
  const WorkerCounters& counters = explainer->counters();
  EXPECT_EQ(counters.received.read() + totals.verdicts.at("pass"), sent);
  EXPECT_GT(totals.reasons.size(), 4u);
}

// ---- Files ----

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name)
      : path_(testing::TempDir() + "xebec-" + std::to_string(getpid()) + "-" + name) {}
  ~TemporaryFile() { static_cast<void>(unlink(path_.c_str())); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  void hold(const Bytes& bytes) const {
    // A file written over is flushed to the disk on ext4 (auto_da_alloc): 4 ms each, of which there are thousands.
    static_cast<void>(unlink(path_.c_str()));
    std::ofstream(path_, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void put(Bytes& out, uint64_t value, int bytes, bool big_endian = false) {
  for (int i = 0; i < bytes; ++i)
    out.push_back(static_cast<uint8_t>(value >> 8 * (big_endian ? bytes - 1 - i : i)));
}

/// pcap-savefile(5). `magic` also says what `fraction` is.
Bytes pcap_of(const std::vector<Bytes>& frames, uint32_t magic, bool big_endian, uint32_t link_type = 1) {
  Bytes out;
  put(out, magic, 4, big_endian);
  put(out, 2, 2, big_endian), put(out, 4, 2, big_endian);
  put(out, 0, 8), put(out, 262144, 4, big_endian), put(out, link_type, 4, big_endian);
  uint32_t seconds = 1000;
  for (const Bytes& frame : frames) {
    put(out, seconds++, 4, big_endian), put(out, 123'456, 4, big_endian);
    put(out, frame.size(), 4, big_endian), put(out, frame.size(), 4, big_endian);
    out.insert(out.end(), frame.begin(), frame.end());
  }
  return out;
}

/// draft-ietf-opsawg-pcapng: a section, an interface of Ethernet, enhanced packets with times in microseconds.
Bytes pcapng_of(const std::vector<Bytes>& frames) {
  Bytes out;
  put(out, 0x0a0d0d0a, 4), put(out, 28, 4), put(out, 0x1a2b3c4d, 4), put(out, 1, 2), put(out, 0, 2);
  put(out, UINT64_MAX, 8), put(out, 28, 4);
  put(out, 1, 4), put(out, 20, 4), put(out, 1, 2), put(out, 0, 2), put(out, 0, 4), put(out, 20, 4);
  uint64_t microseconds = 1'000'123'456;
  for (const Bytes& frame : frames) {
    const std::size_t padded = (frame.size() + 3) / 4 * 4;
    put(out, 6, 4), put(out, 32 + padded, 4), put(out, 0, 4), put(out, microseconds >> 32, 4);
    put(out, microseconds, 4), put(out, frame.size(), 4), put(out, frame.size(), 4);
    out.insert(out.end(), frame.begin(), frame.end());
    out.resize(out.size() + padded - frame.size());
    put(out, 32 + padded, 4);
    microseconds += 1'000'000;
  }
  return out;
}

std::vector<Bytes> some_frames() {
  return {to_vip().tcp(4000, 443, {.flags = 2}).build(), to_vip().icmp(8).payload("ping").build(),
          to_vip().udp(5000, 53).payload("query").build()};
}

struct ReadBack {
  std::vector<Bytes> frames;
  std::vector<uint64_t> times_ns;
  std::string error;
  bool ended_early = false;
};
ReadBack read_all(const std::string& path) {
  ReadBack result;
  auto reader = CaptureReader::open(path);
  if (!reader) {
    result.error = reader.error();
    return result;
  }
  while (true) {
    auto packet = reader->next();
    if (!packet) result.error = packet.error();
    result.ended_early = reader->ended_early();
    if (!packet || !*packet) return result;
    result.frames.emplace_back((*packet)->bytes.begin(), (*packet)->bytes.end());
    result.times_ns.push_back(static_cast<uint64_t>((*packet)->seconds) * 1'000'000'000 +
                              (*packet)->nanoseconds);
  }
}

TEST(CaptureFile, IsReadInEveryFormatAndByteOrder) {
  const auto frames = some_frames();
  const TemporaryFile file("formats");
  struct Row {
    const char* name;
    Bytes bytes;
    uint32_t fraction_ns;
    bool microseconds;
  };
  const Row rows[] = {{"us little endian", pcap_of(frames, 0xa1b2c3d4, false), 123'456'000, true},
                      {"us big endian", pcap_of(frames, 0xa1b2c3d4, true), 123'456'000, true},
                      {"ns little endian", pcap_of(frames, 0xa1b23c4d, false), 123'456, false},
                      {"ns big endian", pcap_of(frames, 0xa1b23c4d, true), 123'456, false},
                      {"pcapng", pcapng_of(frames), 123'456'000, false}};
  for (const Row& row : rows) {
    file.hold(row.bytes);
    const ReadBack read = read_all(file.path());
    EXPECT_EQ(read.error, "") << row.name;
    EXPECT_EQ(read.frames, frames) << row.name;
    ASSERT_EQ(read.times_ns.size(), 3u) << row.name;
    EXPECT_EQ(read.times_ns[2], 1002ull * 1'000'000'000 + row.fraction_ns) << row.name;
    EXPECT_EQ(CaptureReader::open(file.path())->microseconds(), row.microseconds) << row.name;
  }
}

TEST(CaptureFile, IsRefusedWithItsNameAndAReason) {
  const TemporaryFile file("refused");
  const auto error = [&](const Bytes& bytes) {
    file.hold(bytes);
    return read_all(file.path()).error;
  };
  EXPECT_THAT(error({}), HasSubstr(file.path() + ": is empty"));
  EXPECT_THAT(error(Bytes(500, 'x')), HasSubstr(file.path() + ": unknown file format"));
  EXPECT_THAT(error(Bytes{0xd4, 0xc3, 0xb2}), HasSubstr("truncated dump file"));
  EXPECT_EQ(error(pcap_of({}, 0xa1b2c3d4, false)), "") << "a capture may have no packets";
  EXPECT_THAT(read_all(testing::TempDir()).error, HasSubstr("is a directory"));
  EXPECT_THAT(read_all("/no/such/file").error, testing::StrEq("/no/such/file: No such file or directory"));
}

TEST(CaptureFile, IsReadUpToWhereItEndsInAPacket) {
  const TemporaryFile file("ends");
  const Bytes whole = pcap_of(some_frames(), 0xa1b2c3d4, false);
  const std::size_t first_end = 24 + 16 + some_frames()[0].size();
  for (std::size_t length = 24; length < whole.size(); ++length) {
    file.hold(Bytes(whole.begin(), whole.begin() + static_cast<long>(length)));
    const ReadBack read = read_all(file.path());
    EXPECT_EQ(read.frames.size() >= 1, length >= first_end) << length;
    const bool between =
        length == 24 || length == first_end || length == first_end + 16 + some_frames()[1].size();
    EXPECT_EQ(read.error, "") << length;
    EXPECT_EQ(read.ended_early, !between) << length;
  }
}

TEST(CaptureFile, HoldsWhatWasWritten) {
  const TemporaryFile file("written");
  for (const bool microseconds : {true, false}) {
    auto writer = CaptureWriter::create(file.path(), microseconds);
    ASSERT_TRUE(writer) << writer.error();
    for (const Bytes& frame : some_frames()) ASSERT_TRUE(writer->write(captured(frame, 77, 123'456'789)));
    ASSERT_TRUE(writer->finish());
    const ReadBack read = read_all(file.path());
    EXPECT_EQ(read.frames, some_frames());
    EXPECT_EQ(read.times_ns.at(0), 77'000'000'000ull + (microseconds ? 123'456'000 : 123'456'789));
  }
}

TEST(CaptureFile, SaysThatADiskIsFull) {
  auto writer = CaptureWriter::create("/dev/full", true);
  ASSERT_TRUE(writer) << writer.error();
  const Bytes frame = some_frames()[0];
  std::string error;
  for (int i = 0; i < 1000 && error.empty(); ++i) {  // more than a stdio buffer
    if (const auto written = writer->write(captured(frame)); !written) error = written.error();
  }
  EXPECT_EQ(error, "/dev/full: No space left on device");
  auto small = CaptureWriter::create("/dev/full", true);
  ASSERT_TRUE(small->write(captured(frame)));
  const auto finished = small->finish();
  ASSERT_FALSE(finished) << "what is in the buffer is not in the file";
  EXPECT_EQ(finished.error(), "/dev/full: No space left on device");
}

TEST(CaptureFile, KnowsItselfByAnyName) {
  const TemporaryFile file("self"), link("link"), other("other");
  file.hold(pcap_of({}, 0xa1b2c3d4, false));
  other.hold({});
  ASSERT_EQ(symlink(file.path().c_str(), link.path().c_str()), 0);
  const auto reader = CaptureReader::open(file.path());
  EXPECT_TRUE(reader->is_same_file(file.path()));
  EXPECT_TRUE(reader->is_same_file(link.path()));
  EXPECT_FALSE(reader->is_same_file(other.path()));
  EXPECT_FALSE(reader->is_same_file("/no/such/file"));
}

// ---- Whatever is in a file ----

TEST(CaptureFuzz, EveryMutatedCaptureIsExplainedOrRefused) {
  const OfflineWorld world(kConfig);
  const TemporaryFile file("fuzz");
  std::vector<Bytes> frames = some_frames();
  frames.push_back(to_vip().tcp(4000, 443).payload(Bytes(700)).build());
  frames.push_back({});
  const Bytes seeds[] = {pcap_of(frames, 0xa1b2c3d4, false),
                         pcap_of(frames, 0xa1b23c4d, true),
                         pcapng_of(frames),
                         pcap_of(frames, 0xa1b2c3d4, false, 113),
                         pcap_of(frames, 0xa1b2c3d4, false, 276),
                         pcap_of(frames, 0xa1b2c3d4, false, 101),
                         pcap_of(frames, 0xa1b2c3d4, false, 0),
                         pcap_of(frames, 0xa1b2c3d4, false, 105)};
  std::mt19937 random(5);
  int refused = 0, cut = 0, whole = 0;
  const auto explainer = world.explainer();
  uint64_t packets = 0;
  for (int round = 0; round < 3000; ++round) {
    Bytes bytes = seeds[static_cast<std::size_t>(round) % std::size(seeds)];
    for (auto changes = 1 + random() % 6; changes > 0; --changes) {
      // Half of them among the first headers, where the lengths and types are.
      const std::size_t below = random() % 2 == 0 ? std::min<std::size_t>(bytes.size(), 120) : bytes.size();
      bytes[random() % below] = static_cast<uint8_t>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    file.hold(bytes);
    auto reader = CaptureReader::open(file.path());
    if (!reader) {
      ASSERT_THAT(reader.error(), testing::StartsWith(file.path() + ": "));
      ++refused;
      continue;
    }
    bool good = true;
    for (auto packet = reader->next(); (good = packet.has_value()) && *packet; packet = reader->next()) {
      const PacketExplanation result = explainer->explain(**packet);
      ASSERT_EQ(result.packet, ++packets);
      ASSERT_FALSE(result.verdict.empty());
      ASSERT_EQ(result.verdict == "drop", !result.reason.empty());
      ASSERT_EQ(result.verdict == "forward" || result.verdict == "reply", !result.out.empty());
    }
    ASSERT_EQ(total_of(explainer->totals()), packets);
    (good && !reader->ended_early() ? whole : cut) += 1;
  }
  EXPECT_GT(packets, 3000u);
  EXPECT_GT(refused, 100);
  EXPECT_GT(cut, 100);
  EXPECT_GT(whole, 100);
}

}  // namespace
}  // namespace xebec
