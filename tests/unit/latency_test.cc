// SPDX-License-Identifier: BSD-2-Clause
// The latency histogram's buckets, and which batches are timed.
#include "dataplane/latency.h"

#include <gtest/gtest.h>

namespace xebec {
namespace {

TEST(LatencyHistogram, PutsEveryTimeIntoTheBucketWithTheNextBound) {
  struct {
    uint64_t ns;
    std::size_t bucket;
  } const kRows[] = {
      {0, 0},           {1, 0},      {512, 0},    {513, 1},       {1024, 1},
      {1025, 2},        {65'536, 7}, {65'537, 8}, {1u << 30, 21}, {(1u << 30) + 1, 22},
      {UINT64_MAX, 22},
  };
  for (const auto& row : kRows) EXPECT_EQ(LatencyHistogram::bucket_of(row.ns), row.bucket) << row.ns;
  static_assert(LatencyHistogram::kBuckets == 23);
  for (std::size_t i = 0; i + 1 < LatencyHistogram::kBuckets; ++i) {
    const uint64_t bound = LatencyHistogram::bound_ns(i);
    EXPECT_EQ(LatencyHistogram::bucket_of(bound), i);
    EXPECT_EQ(LatencyHistogram::bucket_of(bound + 1), i + 1);
  }
}

TEST(LatencyHistogram, KeepsCountAndSum) {
  LatencyHistogram h;
  h.record(600);
  h.record(700);
  h.record(2'000'000'000);
  EXPECT_EQ(h.count(1), 2u);
  EXPECT_EQ(h.count(LatencyHistogram::kBuckets - 1), 1u);
  EXPECT_EQ(h.sum_ns(), 2'000'001'300u);
}

TEST(LatencySampler, TimesOneBatchInSoMany) {
  LatencySampler sampler;
  uint32_t due = 0;
  for (uint32_t i = 0; i < 10 * LatencySampler::kBatchesPerSample; ++i) due += sampler.due() ? 1 : 0;
  EXPECT_EQ(due, 10u);
}

TEST(LatencySampler, BeginsNoSecondPacketWhileOneIsOnItsWay) {
  LatencySampler sampler;
  const auto next = [&sampler] {
    for (uint32_t i = 1; i < LatencySampler::kBatchesPerSample; ++i) EXPECT_FALSE(sampler.due());
    return sampler.due();
  };
  ASSERT_TRUE(next());
  sampler.begin(1000, 2, 7);
  EXPECT_TRUE(sampler.timing());
  EXPECT_EQ(sampler.port(), 2u);
  EXPECT_FALSE(next());
  EXPECT_FALSE(sampler.reached(6));
  EXPECT_TRUE(sampler.reached(7));
  sampler.end(5000);
  EXPECT_FALSE(sampler.timing());
  EXPECT_EQ(sampler.histogram().sum_ns(), 4000u);
  EXPECT_EQ(sampler.histogram().count(LatencyHistogram::bucket_of(4000)), 1u);
  EXPECT_TRUE(next());
  sampler.begin(0, 0, 1);
  sampler.forget();
  EXPECT_FALSE(sampler.timing());
  EXPECT_EQ(sampler.histogram().sum_ns(), 4000u) << "a packet that was lost with its port has no latency";
}

}  // namespace
}  // namespace xebec
