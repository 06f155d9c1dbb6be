// SPDX-License-Identifier: BSD-2-Clause
// Blocks of pcapng, as the draft has them byte by byte, and as libpcap reads them.
#include "control/pcapng.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

#include "control/capture_file.h"

namespace xebec {
namespace {

using Bytes = std::vector<uint8_t>;

std::string sample_file() {
  std::string out;
  append_section(out, "test");
  append_interface(out, "eth0", 1500, "why");
  append_interface(out, "eth1", 1500, "");
  const Bytes odd(61, 0x11), even(64, 0x22);
  append_packet(out, {0, 1'700'000'000'123'456'789, 61, odd, PcapngDirection::inbound, "drop no_backend"});
  append_packet(out, {1, 1'700'000'001'000'000'001, 1500, even, PcapngDirection::outbound, ""});
  append_statistics(out, 0, 1'700'000'002'000'000'000, 1, 7);
  append_statistics(out, 1, 1'700'000'002'000'000'000, 1, 3);
  return out;
}

TEST(Pcapng, WritesBlocksOfWholeWordsWithTheirLengthAtBothEnds) {
  std::string out;
  append_interface(out, "eth0", 96, "");
  const std::string expected(
      "\x01\0\0\0\x28\0\0\0"    // type, length
      "\x01\0\0\0\x60\0\0\0"    // Ethernet, snap length
      "\x02\0\x04\0eth0"        // if_name
      "\x09\0\x01\0\x09\0\0\0"  // if_tsresol: nanoseconds
      "\0\0\0\0\x28\0\0\0",     // end of options, length
      40);
  EXPECT_EQ(out, expected);
}

TEST(Pcapng, IsReadByLibpcapWithTimesInNanoseconds) {
  const std::string file = testing::TempDir() + "/pcapng_test.pcapng", text = sample_file();
  std::FILE* f = std::fopen(file.c_str(), "wb");
  ASSERT_NE(f, nullptr);
  ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), f), text.size());
  ASSERT_EQ(std::fclose(f), 0);
  auto reader = CaptureReader::open(file);
  ASSERT_TRUE(reader) << reader.error();
  const auto first = reader->next();
  ASSERT_TRUE(first && *first) << first.error();
  EXPECT_EQ(Bytes((*first)->bytes.begin(), (*first)->bytes.end()), Bytes(61, 0x11));
  EXPECT_EQ((*first)->seconds, 1'700'000'000);
  EXPECT_EQ((*first)->nanoseconds, 123'456'789u);
  const auto second = reader->next();
  ASSERT_TRUE(second && *second);
  EXPECT_EQ((*second)->length, 1500u);
  EXPECT_EQ((*second)->bytes.size(), 64u);
  const auto end = reader->next();
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
  std::remove(file.c_str());
}

TEST(Pcapng, CountsPacketsAndWhatWasLost) {
  PcapngTotals totals;
  EXPECT_TRUE(add_pcapng_totals(sample_file(), totals));
  EXPECT_EQ(totals.packets, 2u);
  EXPECT_EQ(totals.lost, 10u);
  EXPECT_TRUE(totals.ended);
}

TEST(Pcapng, RefusesWhatIsCutAnywhereButBetweenBlocks) {
  const std::string file = sample_file();
  std::size_t whole = 0;
  for (std::size_t n = 0; n < file.size(); ++n) {
    PcapngTotals totals;
    whole += add_pcapng_totals(std::string_view(file).substr(0, n), totals) ? 1 : 0;
  }
  EXPECT_EQ(whole, 7u);  // the ends of six blocks, and nothing at all
}

}  // namespace
}  // namespace xebec
