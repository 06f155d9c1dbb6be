// SPDX-License-Identifier: BSD-2-Clause
// pcapng as others write it: interfaces that differ, sections of either byte order, clocks of any resolution, and what is broken.
#include "control/pcapng_reader.h"

#include <unistd.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/capture_file.h"
#include "tests/support/frame_builder.h"

namespace xebec {
namespace {

using test::Bytes;
using testing::HasSubstr;

/// Blocks, as the draft has them.
class Blocks {
 public:
  explicit Blocks(bool big_endian = false) { section(big_endian); }
  Blocks& section(bool big_endian) {
    big_ = big_endian;
    Bytes body;
    put(body, 0x1a2b3c4d, 4), put(body, 1, 2), put(body, 0, 2), put(body, UINT64_MAX, 8);
    return block(0x0a0d0d0a, body);
  }
  Blocks& interface(uint16_t link = 1, uint32_t snapshot = 0, const Bytes& options = {}) {
    Bytes body;
    put(body, link, 2), put(body, 0, 2), put(body, snapshot, 4);
    body.insert(body.end(), options.begin(), options.end());
    return block(1, body);
  }
  Blocks& packet(const Bytes& bytes, uint32_t interface = 0, uint64_t time = 0,
                 std::optional<uint32_t> captured = {}, std::optional<uint32_t> length = {}) {
    Bytes body;
    put(body, interface, 4), put(body, time >> 32, 4), put(body, time & UINT32_MAX, 4);
    put(body, captured.value_or(bytes.size()), 4), put(body, length.value_or(bytes.size()), 4);
    body.insert(body.end(), bytes.begin(), bytes.end());
    return block(6, body);
  }
  Blocks& simple(const Bytes& bytes, uint32_t length) {
    Bytes body;
    put(body, length, 4);
    body.insert(body.end(), bytes.begin(), bytes.end());
    return block(3, body);
  }
  Blocks& block(uint32_t type, Bytes body) {
    body.resize((body.size() + 3) / 4 * 4);
    put(out, type, 4), put(out, body.size() + 12, 4);
    out.insert(out.end(), body.begin(), body.end());
    put(out, body.size() + 12, 4);
    return *this;
  }
  Bytes option(uint16_t code, uint64_t value, int size) const {
    Bytes bytes;
    put(bytes, code, 2), put(bytes, static_cast<uint64_t>(size), 2), put(bytes, value, size);
    bytes.resize((bytes.size() + 3) / 4 * 4);
    return bytes;
  }
  void put(Bytes& to, uint64_t value, int size) const {
    for (int i = 0; i < size; ++i) to.push_back(static_cast<uint8_t>(value >> 8 * (big_ ? size - 1 - i : i)));
  }
  Bytes out;

 private:
  bool big_ = false;
};

struct Read {
  std::vector<Bytes> frames;
  std::vector<uint32_t> lengths;
  std::vector<std::pair<int64_t, uint32_t>> times;
  std::string error;
  bool ended_early = false;
};
Read read(const Bytes& file) {
  const std::string path = testing::TempDir() + "xebec-pcapng-" + std::to_string(getpid());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  Read result;
  auto reader = CaptureReader::open(path, MacAddress{{2, 0, 0, 0, 0, 9}});
  if (!reader) result.error = reader.error();
  while (reader) {
    const auto packet = reader->next();
    if (!packet) result.error = packet.error();
    result.ended_early = reader->ended_early();
    if (!packet || !*packet) break;
    result.frames.emplace_back((*packet)->bytes.begin(), (*packet)->bytes.end());
    result.lengths.push_back((*packet)->length);
    result.times.emplace_back((*packet)->seconds, (*packet)->nanoseconds);
  }
  unlink(path.c_str());
  return result;
}

const Bytes kFrame = test::FrameBuilder()
                         .ethernet("02:00:00:00:00:09", "02:00:00:00:00:00")
                         .ipv4("192.0.2.1", "192.0.2.2")
                         .tcp(1, 2)
                         .build();
const Bytes kPacket(kFrame.begin() + 14, kFrame.end());

TEST(Pcapng, HasInterfacesWithLinksAndSnapshotLengthsOfTheirOwn) {
  Blocks file;
  file.interface(1, 262144)
      .packet(kFrame)
      .interface(101, 96)
      .packet(kPacket, 1)
      .packet(kFrame, 0)
      .interface(105)
      .packet(kFrame, 2);
  const Read got = read(file.out);
  EXPECT_EQ(got.error, "");
  EXPECT_EQ(got.frames, (std::vector<Bytes>{kFrame, kFrame, kFrame, {}}))
      << "raw IP gets a header, 802.11 is nothing to us";
}

TEST(Pcapng, HasSectionsOfEitherByteOrder) {
  for (const bool first : {false, true}) {
    Blocks file(first);
    file.interface()
        .packet(kFrame, 0, 5'000'001)
        .section(!first)
        .interface(101)
        .packet(kPacket, 0, 6'000'002);
    const Read got = read(file.out);
    EXPECT_EQ(got.error, "");
    EXPECT_EQ(got.frames, (std::vector<Bytes>{kFrame, kFrame}));
    EXPECT_EQ(got.times, (std::vector<std::pair<int64_t, uint32_t>>{{5, 1000}, {6, 2000}}));
  }
}

TEST(Pcapng, HasClocksOfAnyResolution) {
  struct Row {
    uint8_t resolution;
    uint64_t time;
    std::pair<int64_t, uint32_t> expected;
  };
  const Row rows[] = {{6, 1'999'999, {1, 999'999'000}},
                      {9, 1'999'999'999, {1, 999'999'999}},
                      {0, 7, {7, 0}},
                      {3, 1'001, {1, 1'000'000}},
                      {12, 1'999'999'999'999, {1, 999'999'999}},
                      {0x80 | 10, 1024 + 512, {1, 500'000'000}},
                      {0x80 | 63, uint64_t{3} << 62, {1, 500'000'000}},
                      {20, UINT64_MAX, {0, 0}},
                      {0x7f, UINT64_MAX, {0, 0}},
                      {0xff, UINT64_MAX, {0, 0}}};
  for (const bool big_endian : {false, true}) {
    for (const Row& row : rows) {
      Blocks file(big_endian);
      file.interface(1, 0, file.option(9, row.resolution, 1)).packet(kFrame, 0, row.time);
      const Read got = read(file.out);
      ASSERT_EQ(got.times.size(), 1u) << got.error;
      EXPECT_EQ(got.times[0], row.expected) << int{row.resolution};
    }
    Blocks file(big_endian);
    Bytes options = file.option(2, 0x6574683000, 5);  // a name of no multiple of four
    const Bytes offset = file.option(14, 1000, 8);
    options.insert(options.end(), offset.begin(), offset.end());
    file.interface(1, 0, options).packet(kFrame, 0, 1'500'000);
    EXPECT_EQ(read(file.out).times.at(0), (std::pair<int64_t, uint32_t>{1001, 500'000'000}));
  }
}

TEST(Pcapng, AccountsForEveryPacketWhateverItsBlockSays) {
  Blocks file;
  file.block(0xbad, Bytes(5)).interface(1, 40).block(5, Bytes(20));
  file.packet(kFrame);                              // more than the snapshot length
  file.packet(kFrame, 0, 0, 5000, 6000);            // more than the block has
  file.packet(kFrame, 0, 0, 30, 1500);              // cut short
  file.packet(kFrame, 7);                           // an interface that is not there
  file.packet({}).block(6, Bytes(8)).block(3, {});  // no bytes, and too short to say of what
  file.simple(kFrame, static_cast<uint32_t>(kFrame.size()));
  Bytes old;
  file.put(old, 0, 4), file.put(old, 0, 8), file.put(old, kFrame.size(), 4), file.put(old, kFrame.size(), 4);
  old.insert(old.end(), kFrame.begin(), kFrame.end());
  file.block(2, old);
  const Read got = read(file.out);
  EXPECT_EQ(got.error, "");
  ASSERT_EQ(got.frames.size(), 9u);
  EXPECT_EQ(got.frames[0], kFrame);
  EXPECT_GE(got.frames[1].size(), kFrame.size());
  EXPECT_EQ(got.lengths[1], 6000u);
  EXPECT_EQ(got.frames[2].size(), 30u);
  EXPECT_EQ(got.lengths[2], 1500u);
  for (const std::size_t empty : {3u, 4u, 5u, 6u}) EXPECT_TRUE(got.frames[empty].empty()) << empty;
  EXPECT_EQ(got.frames[7], Bytes(kFrame.begin(), kFrame.begin() + 40));
  EXPECT_EQ(got.frames[8], kFrame);
}

TEST(Pcapng, MayHaveNoPacketAndNoInterface) {
  for (const Bytes& file : {Blocks().out, Blocks().interface().out}) {
    const Read got = read(file);
    EXPECT_EQ(got.error, "");
    EXPECT_TRUE(got.frames.empty());
    EXPECT_FALSE(got.ended_early);
  }
  EXPECT_EQ(read(Blocks().packet(kFrame).out).frames.size(), 1u) << "a packet of no interface passes";
}

TEST(Pcapng, IsReadUpToWhereItEndsInABlock) {
  const Bytes begin = Blocks().interface().packet(kFrame).out;
  const Bytes whole = Blocks().interface().packet(kFrame).packet(kFrame).out;
  for (std::size_t length = 1; length < whole.size(); ++length) {
    const Read got = read(Bytes(whole.begin(), whole.begin() + static_cast<long>(length)));
    EXPECT_EQ(got.error, "") << length;
    EXPECT_EQ(got.frames.size(), length >= begin.size() ? 1u : 0u) << length;
    const bool between = length == begin.size() || length == 28 || length == 28 + 20;
    EXPECT_EQ(got.ended_early, !between) << length;
  }
}

TEST(Pcapng, IsReadUpToWhereItsBlocksCannotBeToldApart) {
  const auto broken = [](uint32_t length) {
    Blocks file;
    file.interface().packet(kFrame);
    file.put(file.out, 6, 4), file.put(file.out, length, 4);
    file.out.resize(file.out.size() + 100, 0);
    const Read got = read(file.out);
    EXPECT_EQ(got.frames.size(), 1u) << "what came before is good";
    return got.error;
  };
  EXPECT_THAT(broken(13), HasSubstr("a block of 13 bytes"));
  EXPECT_THAT(broken(8), HasSubstr("a block of 8 bytes"));
  EXPECT_THAT(broken(0x7ffffffc), HasSubstr("a block of 2147483644 bytes"));
  EXPECT_THAT(broken(64), HasSubstr("ends as one of 0"));
  Bytes no_order = Blocks().out;
  no_order[8] = 0;
  EXPECT_THAT(read(no_order).error, HasSubstr("a section without a byte order"));
  EXPECT_THAT(read(Bytes(40, 0x0a)).error, HasSubstr("does not begin with a section header"));
}

}  // namespace
}  // namespace xebec
