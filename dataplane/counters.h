// SPDX-License-Identifier: BSD-2-Clause
// A worker's counters: plain integers it alone writes and anyone may read.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/drop_reason.h"
#include "dataplane/icmp_error_kind.h"
#include "dataplane/limits.h"

namespace xebec {

/// One writer, many readers. A relaxed load and store compile to plain moves: no lock prefix, and no data
/// race.
class Counter {
 public:
  void add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// Per backend id.
struct BackendCounters {
  Counter packets;
  Counter bytes;      ///< of the frames as received
  Counter new_flows;  ///< flows first sent to it, remembered or not
};

/// Owned by one worker. At every batch boundary received = forwarded + passed + replied + sum(drops) + held.
struct alignas(64) WorkerCounters {
  Counter received;
  Counter received_bytes;
  Counter forwarded;
  Counter passed;
  Counter replied;
  std::array<Counter, kDropReasonCount> drops;
  Counter held;                 ///< now: later fragments that wait for their first
  Counter checksums_completed;  ///< partial checksums of offloading senders made whole
  std::array<Counter, kIcmpErrorKinds>
      icmp_errors;      ///< packets turned into one; sent, they are among `replied`
  Counter resets;       ///< segments turned into a TCP reset; sent, they are among `replied`
  Counter mss_clamped;  ///< SYNs whose MSS was lowered
  Counter cut;          ///< packets sent in pieces; each is one of `forwarded`

  Counter nat_replies;        ///< packets translated back to clients
  Counter nat_replies_home;   ///< of those, the ones whose mapping is this worker's own
  Counter nat_client_told;    ///< packets that carry the client's address to a backend (ClientNote)
  Counter nat_client_untold;  ///< ... that should have, and had no room for it
  Counter nat_created, nat_expired, nat_reused, nat_refused, nat_used;  ///< NatTableStats

  Counter flow_hits;
  Counter flow_misses;
  Counter flow_inserts;
  Counter flow_refused;
  Counter second_chances;  ///< unknown connections that went to the pick of before a change
  Counter flows_used;
  Counter quic_routed;    ///< packets whose QUIC connection id named their backend
  Counter quic_unrouted;  ///< those of such services whose id did not: they went by their addresses and ports

  /// kMaxBackends entries, indexed by backend id.
  std::unique_ptr<BackendCounters[]> backends = std::make_unique<BackendCounters[]>(kMaxBackends);

  void drop(DropReason reason) { drops[static_cast<std::size_t>(reason)].add(1); }
};

}  // namespace xebec
