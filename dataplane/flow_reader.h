// SPDX-License-Identifier: BSD-2-Clause
// A worker's flow table as another thread sees it, while the worker goes on.
//
// No lock and no version: the owner stores each field by itself, in any order, and a reader may find the halves of two flows.
// But a flow's place follows from the hash of its whole key. What was read is shown only if its key's hash says this tag and this
// bucket, which a mixture does with a probability of 2^-16 a bucket of all: never, for whoever looks at a list.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/flow_table.h"

namespace xebec {

struct FlowSeen {
  FlowKey key;
  uint32_t backend_id = 0;
  FlowState state = FlowState::half_open;
  uint32_t silent_s = 0;
};

class FlowReader {
 public:
  /// secret: of the tables that the worker has, by which keys are hashed.
  FlowReader(const FlowTable& table, const HashSecret& secret) : table_(table), secret_(secret) {}

  uint32_t buckets() const { return table_.count_; }

  /// f(const FlowSeen&) -> bool for each flow in so many buckets from `first` on that has not expired; a bucket's flows are shown
  /// all or not at all: false ends it after the bucket. Returns the bucket to go on with; buckets() at the end.
  template <typename F>
  uint32_t look(uint32_t first, uint32_t count, uint64_t now_ns, const F& f) const {
    const uint32_t tick = FlowTable::tick_of(now_ns);
    bool more = true;
    for (; first < table_.count_ && count != 0 && more; ++first, --count) {
      for (uint32_t i = 0; i < kBucketPlaces; ++i) {
        FlowSeen seen;
        if (read(first, i, tick, seen)) more = f(seen) && more;
      }
    }
    return first;
  }

 private:
  bool read(uint32_t bucket, uint32_t i, uint32_t tick, FlowSeen& out) const {
    FlowBucket& b = table_.buckets_[bucket];  // atomic_ref wants it mutable (until C++26); nothing is written
    const uint16_t tag = peek_at(b.tags[i]);
    if (tag == 0) return false;
    const uint32_t ports = peek_at(b.ports[i]);
    uint64_t words[sizeof(FlowAddresses) / 8];
    auto* from = reinterpret_cast<uint64_t*>(&b.addresses[i]);
    for (std::size_t w = 0; w < std::size(words); ++w) words[w] = peek_at(from[w]);
    std::memcpy(static_cast<void*>(&out.key), words, sizeof words);
    std::memcpy(reinterpret_cast<uint8_t*>(&out.key) + offsetof(FlowKey, source_port), &ports, sizeof ports);
    out.key.protocol = peek_at(b.protocols[i]);
    const uint8_t state = peek_at(b.states[i]);
    const auto silence = static_cast<int32_t>(tick - peek_at(b.seen[i]));
    out.backend_id = peek_at(b.backends[i]);
    if ((state & FlowTable::kStateMask) >= kFlowStates ||
        silence > static_cast<int32_t>(__atomic_load_n(&table_.timeouts_[state], __ATOMIC_RELAXED)))
      return false;
    const FlowProbe probe = table_.probe(flow_hash(secret_, out.key));
    if (probe.tag != tag || (probe.first != &b && probe.second != &b)) return false;
    out.state = FlowTable::state_in(state);
    out.silent_s = FlowTable::seconds_of(silence);
    return true;
  }

  const FlowTable& table_;
  const HashSecret& secret_;
};

}  // namespace xebec
