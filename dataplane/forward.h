// SPDX-License-Identifier: BSD-2-Clause
// The heart: a batch of packets in, a verdict for each out. No sockets, no clock, no globals: the worker, the
// unit tests, the fuzzers and the benchmarks are its callers.
//
//   parse -> hash -> flow lookup -> (miss) the service's algorithm -> rewrite, or translate (nat.h)
//   of no service, in a table that translates: a backend's reply, perhaps -> its mapping -> translate
//
// in stages over the batch, each prefetching what the next will read.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/counters.h"
#include "dataplane/drop_reason.h"
#include "dataplane/fleet_counts.h"
#include "dataplane/flow_table.h"
#include "dataplane/fragment_table.h"
#include "dataplane/limits.h"
#include "dataplane/parse.h"
#include "dataplane/picker.h"
#include "dataplane/rate_limit.h"
#include "dataplane/rewrite.h"
#include "dataplane/table.h"

namespace xebec {

class NatTables;

enum class Verdict : uint8_t {
  forward,  ///< send the frame, as rewritten, from `interface`
  reply,  ///< send the frame, now an answer, back out of the interface it came in by: an echo reply, or an ICMP error or TCP
          ///< reset that says what `reason` says
  drop,   ///< recycle the frame; `reason` says why
  cut,    ///< send it from `interface` in Pieces, made of the packet: as received, but as Pieces wants it
  hold,   ///< keep the frame and offer it to forward_held() later, or give it up by drop_held()
};

/// How the backend was found.
enum class FlowOrigin : uint8_t {
  none,
  hit,
  created,
  unremembered,
  stateless,
  moved,
  second_chance,
  connection_id
};

/// What was decided for one packet, and everything rewriting needs to know.
struct Decision {
  Verdict verdict = Verdict::drop;
  DropReason reason = DropReason::not_ip;
  FlowOrigin origin = FlowOrigin::none;
  bool to_client = false;  ///< a backend's packet, translated back
  uint16_t interface = 0;
  uint32_t service = Table::kNone;  ///< index into the table's services
  uint32_t backend = Table::kNone;  ///< backend id; decide() alone also says kFragmentOfMapping
};

static_assert(sizeof(Decision) == 16);

/// What the stages of a batch know of a packet; two cache lines, and one address for all of it.
struct alignas(64) PacketInHand {
  enum class Way : uint8_t {
    settled,  ///< dropped already
    flow,     ///< one of a flow, whole, to a service that remembers, and opens no connection: the usual case
    special,  ///< anything else: replies of backends, and what decide() knows
  };
  ParsedPacket parsed;
  FlowProbe probe{};                ///< tag 0: no flow to look up
  uint64_t hash = 0;                ///< of the flow, or of a later fragment's datagram
  uint32_t service = Table::kNone;  ///< index into the table's services
  uint32_t mapping_guess = 0;       ///< where the NAT table most likely has its mapping
  Way way = Way::settled;
};
static_assert(sizeof(PacketInHand) == 128);

/// How many a rate lets through at once.
constexpr uint32_t icmp_burst(uint32_t per_second) {
  return (per_second + kIcmpBurstDivisor - 1) / kIcmpBurstDivisor;
}

/// What one worker remembers between batches.
struct ForwardState {
  /// shared_nat: what all workers translate by, this worker's number among them. Without it the state has its own, for one.
  explicit ForwardState(const FlowTableConfig& flow_config, NatTables* shared_nat = nullptr,
                        uint32_t number = 0);
  ~ForwardState();

  FlowTable flows;
  const std::shared_ptr<FragmentTable> fragments = std::make_shared<FragmentTable>();
  std::vector<SharedFragmentTable> other_fragments;  ///< the other workers'; there before the first batch
  uint32_t hold_places = 0;  ///< frames that the caller can hold; counted down by what is decided to be held
  RateLimit echo_replies{0, 0};  ///< the table says how many of both
  RateLimit icmp_errors{0, 0};
  RateLimit resets{0, 0};
  SourceRates new_flows;
  FleetCounts fleet;  ///< the control thread tells here what others have
  Picker picker;
  uint32_t workers = 1;  ///< that share rate limits, turns and knowledge of each other's flows
  std::unique_ptr<NatTables> own_nat;
  NatTables* nat;
  uint32_t worker;
  WorkerCounters counters;
  /// When a new connection last went unremembered or was forgotten; then no unknown one has a second chance.
  uint64_t forgot_ns = 0;
  uint64_t timeouts_of = UINT64_MAX;  ///< generation of the table whose timeouts the flow table has
  uint64_t housekept_ns = 0;          ///< when housekeep() last swept the flow table
  uint64_t nat_kept_ns = 0;           ///< ... looked for expired translations

  // Scratch of the batch in hand, here so that nothing is allocated or zeroed per batch.
  std::array<PacketInHand, kBatchSize> in_hand;
};

/// Decides and rewrites. packets.size() == decisions.size() <= kBatchSize. Packets with verdict forward or reply are rewritten
/// in place (data and length may move), those to cut have their checksum completed and their MSS lowered; dropped and held
/// ones are unchanged. Counts received packets, drops and per-backend packets; `forwarded` and `replied` are the caller's to
/// count, once the frame is really sent. now_ns: monotonic, not before the last call's.
void forward_batch(const Table& table, ForwardState& state, std::span<Packet> packets,
                   std::span<Decision> decisions, uint64_t now_ns);

/// The same for packets that were decided to be held, but they are not received a second time.
void forward_held(const Table& table, ForwardState& state, std::span<Packet> packets,
                  std::span<Decision> decisions, uint64_t now_ns);

/// Gives up packets that were held: they are dropped as fragment_unknown.
void drop_held(WorkerCounters& counters, uint64_t packets);

/// How many first fragments all workers have seen: as long as it stays, offering held ones again is of no use.
uint64_t first_fragments_seen(const ForwardState& state);
/// What is to be done from time to time, packets or none: forgets flows and translated connections that have expired.
/// Bounded; the more often it is called, the less it does at once.
void housekeep(const Table& table, ForwardState& state, uint64_t now_ns);

/// Counts a batch whose frames were all sent: for callers without a ring that may be full.
void count_sent(WorkerCounters& counters, std::span<const Decision> decisions);

}  // namespace xebec
