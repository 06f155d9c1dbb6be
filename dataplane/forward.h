// SPDX-License-Identifier: BSD-2-Clause
// The heart: a batch of packets in, a verdict for each out. No sockets, no clock, no globals: the worker, the
// unit tests, the fuzzers and the benchmarks are its callers.
//
//   parse -> hash -> flow lookup -> (miss) lookup array -> rewrite
//
// in stages over the batch, each prefetching what the next will read.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/counters.h"
#include "dataplane/drop_reason.h"
#include "dataplane/flow_table.h"
#include "dataplane/fragment_table.h"
#include "dataplane/limits.h"
#include "dataplane/parse.h"
#include "dataplane/rewrite.h"
#include "dataplane/table.h"

namespace xebec {

enum class Verdict : uint8_t {
  forward,  ///< send the frame, as rewritten, from `interface`
  reply,    ///< send the frame, now an answer, back out of the interface it came in by
  drop,     ///< recycle the frame; `reason` says why
};

/// How the backend was found.
enum class FlowOrigin : uint8_t { none, hit, created, unremembered, stateless, moved };

/// What was decided for one packet, and everything rewriting needs to know.
struct Decision {
  Verdict verdict = Verdict::drop;
  DropReason reason = DropReason::not_ip;
  FlowOrigin origin = FlowOrigin::none;
  uint16_t interface = 0;
  uint32_t service = Table::kNone;  ///< index into the table's services
  uint32_t backend = Table::kNone;  ///< backend id
};

/// Tokens refilled with time: at most `per_second` a second, `burst` at once. Time is passed in.
class RateLimit {
 public:
  RateLimit(uint32_t per_second, uint32_t burst) : per_second_(per_second), burst_(burst), tokens_(burst) {}
  bool take(uint64_t now_ns);

 private:
  uint64_t per_second_;
  uint64_t burst_;
  uint64_t tokens_;
  uint64_t refilled_ns_ = 0;
};

/// What one worker remembers between batches.
struct ForwardState {
  explicit ForwardState(const FlowTableConfig& flow_config) : flows(flow_config) {}

  FlowTable flows;
  FragmentTable fragments;
  RateLimit echo_replies{kEchoRepliesPerSecond, kEchoReplyBurst};
  WorkerCounters counters;

  // Scratch of the batch in hand, here so that nothing is allocated or zeroed per batch.
  std::array<ParsedPacket, kBatchSize> parsed;
  std::array<uint64_t, kBatchSize> hashes;
  std::array<FlowProbe, kBatchSize> probes;  ///< tag 0: no flow to look up
};

/// Decides and rewrites. packets.size() == decisions.size() <= kBatchSize. Packets with verdict forward or
/// reply are rewritten in place (data and length may move); others are unchanged. Counts received packets,
/// drops and per-backend packets; `forwarded` and `replied` are the caller's to count, once the frame is
/// really sent. now_ns: monotonic, not before the last call's.
void forward_batch(const Table& table, ForwardState& state, std::span<Packet> packets,
                   std::span<Decision> decisions, uint64_t now_ns);

/// Counts a batch whose frames were all sent: for callers without a ring that may be full.
void count_sent(WorkerCounters& counters, std::span<const Decision> decisions);

}  // namespace xebec
