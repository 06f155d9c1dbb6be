// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/flow_flush.h"

#include "dataplane/flow_table.h"
#include "dataplane/nat_table.h"

namespace xebec {
namespace {

// Three cache lines a bucket and a slot: some 10 us, as long as a batch of packets takes.
constexpr uint32_t kBucketsAtOnce = 128;
constexpr uint32_t kSlotsAtOnce = 128;

}  // namespace

void FlowFlush::order(FlowFilter filter) {
  filter_ = std::make_unique<const FlowFilter>(std::move(filter));
  flows_.set(0);
  mappings_.set(0);
  place_.store(filter_.get(), std::memory_order_release);
}

void FlowFlush::work(FlowTable& flows, NatTable& nat) {
  const FlowFilter* filter = place_.load(std::memory_order_acquire);
  if (filter == nullptr) return;
  if (bucket_ < flows.buckets()) {
    flows_.add(flows.forget_matching(*filter, bucket_, kBucketsAtOnce));
    bucket_ += kBucketsAtOnce;
    return;
  }
  if (slot_ < nat.slots_used()) {
    mappings_.add(nat.forget_matching(*filter, slot_, kSlotsAtOnce));
    slot_ += kSlotsAtOnce;
    return;
  }
  bucket_ = 0;
  slot_ = 0;
  place_.store(nullptr, std::memory_order_release);
}

}  // namespace xebec
