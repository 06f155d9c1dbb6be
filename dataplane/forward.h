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
#include "dataplane/rate_limit.h"
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

static_assert(sizeof(Decision) == 16);

/// What the stages of a batch know of a packet; two cache lines, and one address for all of it.
struct alignas(64) PacketInHand {
  enum class Way : uint8_t {
    settled,  ///< dropped already
    flow,     ///< one of a flow, whole, to a service that remembers: the usual case
    special,  ///< anything else; decide() knows
  };
  ParsedPacket parsed;
  FlowProbe probe{};                ///< tag 0: no flow to look up
  uint64_t hash = 0;                ///< of the flow, or of a later fragment's datagram
  uint32_t service = Table::kNone;  ///< index into the table's services
  Way way = Way::settled;
};
static_assert(sizeof(PacketInHand) == 128);

/// What one worker remembers between batches.
struct ForwardState {
  explicit ForwardState(const FlowTableConfig& flow_config) : flows(flow_config) {}

  FlowTable flows;
  FragmentTable fragments;
  RateLimit echo_replies{kEchoRepliesPerSecond, kEchoReplyBurst};
  SourceRates new_flows;
  uint32_t workers = 1;  ///< that share the services' rate limits
  WorkerCounters counters;
  /// When a new connection last went unremembered or was forgotten; then no unknown one has a second chance.
  uint64_t forgot_ns = 0;

  // Scratch of the batch in hand, here so that nothing is allocated or zeroed per batch.
  std::array<PacketInHand, kBatchSize> in_hand;
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
