// SPDX-License-Identifier: BSD-2-Clause
// The memory of a worker as docs/scaling.md tells it, against the sizes that the code has.
#include <linux/if_xdp.h>

#include <fstream>
#include <iterator>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/flow_table.h"
#include "dataplane/forward.h"
#include "dataplane/limits.h"
#include "dataplane/nat_table.h"

namespace xebec {
namespace {

std::string page() {
  std::ifstream file(XEBEC_SOURCE_DIR "/docs/scaling.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string row(const std::string& part, std::size_t bytes) {
  return fmt::format("| {} | {} |", part, bytes / 1024);
}

TEST(MemoryBudget, IsWhatTheCodeTakes) {
  FlowTableConfig flows;
  flows.capacity = kDefaultFlowCapacity;
  const std::string text = page();
  const std::size_t descriptors = 2 * kRingSize * sizeof(xdp_desc),
                    addresses = 2 * kRingSize * sizeof(uint64_t);
  EXPECT_THAT(text, testing::HasSubstr(row("packet memory", std::size_t{kFramesPerPort} * kFrameSize)));
  EXPECT_THAT(
      text, testing::HasSubstr(row("rings (fill, completion, receive, transmit)", descriptors + addresses)));
  EXPECT_THAT(text, testing::HasSubstr(row("free frames", kFramesPerPort * sizeof(uint64_t))));
  EXPECT_THAT(text, testing::HasSubstr(row(fmt::format("flow table, capacity {}", kDefaultFlowCapacity),
                                           FlowTable(flows).memory_bytes())));
  EXPECT_THAT(text, testing::HasSubstr(row("counters of backends", kMaxBackends * sizeof(BackendCounters))));
  EXPECT_THAT(text, testing::HasSubstr(row("flow counts of backends, its own and all workers'",
                                           2 * kMaxBackends * sizeof(Counter))));
  EXPECT_THAT(text, testing::HasSubstr(row("fragments", sizeof(FragmentTable))));
  const NatTable nat(NatTableConfig{}, 0, 1);
  EXPECT_THAT(text, testing::HasSubstr(row(fmt::format("translated connections, capacity {}", nat.capacity()),
                                           nat.memory_bytes())));
}

TEST(MemoryBudget, OfLookupArraysIsTwoBytesASlot) {
  EXPECT_THAT(page(), testing::HasSubstr("131,074 bytes at 65,537"));
  EXPECT_EQ(2 * kDefaultLookupSize, 131'074u);
}

TEST(MemoryBudget, OfAFlowIsAsThePageSays) {
  EXPECT_EQ(sizeof(FlowBucket), 192u);
  EXPECT_EQ(kBucketPlaces, 4u);
  EXPECT_THAT(page(), testing::HasSubstr("192 bytes, four flows"));
}

}  // namespace
}  // namespace xebec
