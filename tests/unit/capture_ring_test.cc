// SPDX-License-Identifier: BSD-2-Clause
// The ring between a worker and whoever captures: whole packets, in order, and what did not fit is counted. Runs under TSan
// too.
#include "dataplane/capture_ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

namespace xebec {
namespace {

/// The packet number n: its length and its bytes follow from n.
std::vector<uint8_t> packet(uint64_t n) {
  std::vector<uint8_t> bytes(14 + n * 37 % 1500);
  std::iota(bytes.begin(), bytes.end(), static_cast<uint8_t>(n));
  return bytes;
}

bool push(CaptureRing& ring, uint64_t n, uint16_t interface = 0) {
  const auto bytes = packet(n);
  CaptureRecord record;
  record.time_ns = n;
  record.interface = interface;
  record.length = record.captured = static_cast<uint32_t>(bytes.size());
  return ring.push(record, bytes.data());
}

TEST(CaptureRing, GivesBackWhatWasPutInAcrossItsEnd) {
  CaptureRing ring(4096);
  CaptureRecord record;
  std::vector<uint8_t> bytes;
  EXPECT_FALSE(ring.pop(record, bytes));
  for (uint64_t n = 0; n < 200; ++n) {
    ASSERT_TRUE(push(ring, n));
    ASSERT_TRUE(ring.pop(record, bytes));
    EXPECT_EQ(record.time_ns, n);
    EXPECT_EQ(bytes, packet(n)) << n;
  }
  EXPECT_FALSE(ring.pop(record, bytes));
  EXPECT_EQ(ring.lost(0), 0u);
}

TEST(CaptureRing, CountsWhatDoesNotFitByInterfaceAndKeepsTheRest) {
  CaptureRing ring(4096);
  uint64_t in = 0;
  while (push(ring, in, 3)) ++in;
  EXPECT_GT(in, 1u);
  EXPECT_FALSE(push(ring, 39, 5));
  EXPECT_EQ(ring.lost(3), 1u);
  EXPECT_EQ(ring.lost(5), 1u);
  CaptureRecord record;
  std::vector<uint8_t> bytes;
  for (uint64_t n = 0; n < in; ++n) {
    ASSERT_TRUE(ring.pop(record, bytes));
    EXPECT_EQ(bytes, packet(n));
  }
  EXPECT_FALSE(ring.pop(record, bytes));
}

TEST(CaptureRing, ShowsAReaderWholePacketsOnly) {
  constexpr uint64_t kPackets = 20'000;
  CaptureRing ring(1 << 14);
  std::atomic<bool> done{false};
  uint64_t got = 0, wrong = 0, last = 0;
  std::thread reader([&] {
    CaptureRecord record;
    std::vector<uint8_t> bytes;
    for (bool over = false; !over;) {
      over = done.load(std::memory_order_acquire);  // before the last look
      while (ring.pop(record, bytes)) {
        if (bytes != packet(record.time_ns) || (got != 0 && record.time_ns <= last)) ++wrong;
        last = record.time_ns;
        ++got;
      }
      std::this_thread::yield();
    }
  });
  uint64_t put = 0;
  for (uint64_t n = 0; n < kPackets; ++n) {
    if (push(ring, n)) {
      ++put;
    } else {
      std::this_thread::yield();
    }
  }
  done.store(true, std::memory_order_release);
  reader.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(got, put);
  EXPECT_EQ(put + ring.lost(0), kPackets);
  EXPECT_GT(put, 0u);
}

}  // namespace
}  // namespace xebec
