// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum, against the slow and obvious way.
#include "dataplane/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "tests/support/frame_builder.h"

namespace xebec {
namespace {

using test::Bytes;

Bytes random_bytes(std::mt19937& random, std::size_t length) {
  Bytes bytes(length);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<uint8_t>(random()); });
  return bytes;
}

TEST(Checksum, EqualsTheReferenceForEveryLengthAndAlignment) {
  std::mt19937 random(1);
  for (std::size_t length = 0; length <= 300; ++length) {
    for (std::size_t shift = 0; shift < 8; ++shift) {
      const Bytes bytes = random_bytes(random, length);
      const std::unique_ptr<uint8_t[]> memory(
          new uint8_t[shift + length]);  // exactly, so that ASan sees a step outside
      std::copy(bytes.begin(), bytes.end(), memory.get() + shift);
      EXPECT_EQ(checksum_finish(checksum_sum(memory.get() + shift, length)).host(),
                test::internet_checksum(bytes))
          << "length " << length << " shift " << shift;
    }
  }
}

TEST(Checksum, EqualsTheReferenceForLongAndExtremeData) {
  for (const std::size_t length : {1460u, 9000u, 65535u}) {
    for (const uint8_t fill : Bytes{0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff}) {
      const Bytes bytes(length, fill);
      EXPECT_EQ(checksum_finish(checksum_sum(bytes.data(), bytes.size())).host(),
                test::internet_checksum(bytes));
    }
  }
}

TEST(Checksum, SumsOfEvenPiecesMayBeAdded) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const Bytes bytes = random_bytes(random, 64 + random() % 200);
    const std::size_t cut = (random() % 32) * 2;
    const uint64_t sum =
        checksum_sum(bytes.data(), cut) + checksum_sum(bytes.data() + cut, bytes.size() - cut);
    EXPECT_EQ(checksum_finish(sum).host(), test::internet_checksum(bytes));
  }
}

TEST(Checksum, FoldAddsEveryCarryBackIn) {
  const struct {
    uint64_t sum;
    uint16_t folded;
  } rows[] = {{0, 0},
              {0xffff, 0xffff},
              {0x10000, 1},
              {0x1fffe, 0xffff},
              {0xffffffff, 0xffff},
              {0xffff0001, 1},
              {0xffffffffffffffff, 0xffff},
              {0xfffffffffffe0001, 0xffff}};
  for (const auto& row : rows) EXPECT_EQ(checksum_fold(row.sum), row.folded) << std::hex << row.sum;
}

// The checksum of two words, computed anew, is what updating must arrive at. Modulo 0xffff, because RFC 1624
// eqn. 3 keeps the one of the two zeros that a full sum of non-zero data gives.
TEST(Checksum, UpdateOf16BitsEqualsAFullSum) {
  std::mt19937 random(3);
  for (int round = 0; round < 100000; ++round) {
    Bytes bytes = random_bytes(random, 20);
    bytes[0] = 0x45;  // never all zeros, as no header is
    const Be16 before = Be16::from_host(static_cast<uint16_t>(bytes[8] << 8 | bytes[9]));
    const Be16 checksum = Be16::from_host(test::internet_checksum(bytes));
    const Be16 after =
        Be16::from_host(static_cast<uint16_t>(round % 5 == 0 ? 0xffff * (round & 1) : random()));
    bytes[8] = after.bytes[0];
    bytes[9] = after.bytes[1];
    EXPECT_EQ(checksum_update(checksum, before, after).host(), test::internet_checksum(bytes));
  }
}

TEST(Checksum, UpdateOf32BitsEqualsAFullSum) {
  std::mt19937 random(4);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = random_bytes(random, 20);
    bytes[0] = 0x45;
    Be32 before;
    std::copy_n(bytes.begin() + 12, 4, before.bytes);
    const Be16 checksum = Be16::from_host(test::internet_checksum(bytes));
    const Be32 after =
        Be32::from_host(round % 5 == 0 ? 0xffffffffu * (round & 1u) : static_cast<uint32_t>(random()));
    std::copy_n(after.bytes, 4, bytes.begin() + 12);
    EXPECT_EQ(checksum_update(checksum, before, after).host(), test::internet_checksum(bytes));
  }
}

// RFC 1624 section 4's own numbers, where the first published equation went wrong.
TEST(Checksum, UpdatesTheExampleOfRfc1624) {
  EXPECT_EQ(checksum_update(Be16::from_host(0xdd2f), Be16::from_host(0x5555), Be16::from_host(0x3285)).host(),
            0x0000);
}

TEST(Checksum, HeaderChecksumIgnoresWhatTheFieldHolds) {
  const Bytes packet =
      test::FrameBuilder().ipv4("192.0.2.1", "203.0.113.10", {.options = {7, 4, 4, 0}}).udp(1, 2).build();
  for (const unsigned field : {0x0000u, 0xffffu, 0x1234u}) {
    Bytes changed = packet;
    changed[10] = static_cast<uint8_t>(field >> 8);
    changed[11] = static_cast<uint8_t>(field);
    const Be16 checksum = ipv4_header_checksum(view_as<Ipv4Header>(changed.data()), 24);
    EXPECT_EQ(checksum.host(), packet[10] << 8 | packet[11]);
  }
}

TEST(Checksum, PseudoHeaderSumsAreThoseOfTheRfcs) {
  const Bytes v4 = {192, 0, 2, 1, 203, 0, 113, 10, 0, 17, 0x01, 0x02};
  EXPECT_EQ(
      checksum_finish(pseudo_header_sum_v4(Be32{{192, 0, 2, 1}}, Be32{{203, 0, 113, 10}}, 17, 0x0102)).host(),
      test::internet_checksum(v4));
  std::mt19937 random(5);
  const Bytes source = random_bytes(random, 16);
  const Bytes destination = random_bytes(random, 16);
  Bytes v6 = source;
  v6.insert(v6.end(), destination.begin(), destination.end());
  v6.insert(v6.end(), {0x00, 0x01, 0x02, 0x03, 0, 0, 0, 6});
  EXPECT_EQ(checksum_finish(pseudo_header_sum_v6(source.data(), destination.data(), 6, 0x00010203)).host(),
            test::internet_checksum(v6));
}

}  // namespace
}  // namespace xebec
