// SPDX-License-Identifier: BSD-2-Clause
// A worker's memory of decisions: flow -> backend, with TCP state and age. Fixed memory, no allocation after
// construction, bounded probes. One thread.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/flow_key.h"
#include "dataplane/limits.h"

namespace xebec {

enum class FlowState : uint8_t {
  half_open,    ///< TCP: only the client's SYN was seen
  established,  ///< TCP: a later segment was seen, or the flow was picked up mid-way
  closing,      ///< TCP: FIN or RST was seen
  datagram,     ///< UDP
};

/// Seconds a flow may be silent in each state before its place may be reused.
struct FlowTimeouts {
  uint32_t established_s = 3600;
  uint32_t syn_s = 10;
  uint32_t fin_s = 10;
  uint32_t udp_s = 30;
};

struct FlowTableConfig {
  uint32_t capacity = kDefaultFlowCapacity;  ///< rounded up to a power of two
  FlowTimeouts timeouts;
  uint32_t max_inserts_per_s = 1'000'000;  ///< beyond it new flows are forwarded unremembered
};

/// What a lookup answers. `backend_id` is what insert() or move() stored.
struct FlowHit {
  bool found = false;
  uint32_t backend_id = 0;
  uint32_t slot = 0;  ///< to pass to move() within the same batch
};

struct FlowTableStats {
  uint64_t inserts = 0;
  uint64_t evicted_expired = 0;
  uint64_t evicted_half_open = 0;   ///< a live half-open or closing flow gave way to a new one
  uint64_t refused_full = 0;        ///< every candidate place held a live established flow
  uint64_t refused_rate = 0;        ///< beyond max_inserts_per_s
  uint32_t used = 0;                ///< places ever filled and not erased; expired ones count until reused
};

class FlowTable {
 public:
  explicit FlowTable(const FlowTableConfig& config);
  ~FlowTable();
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  /// Asks for the cache lines lookup() will touch. Call for a whole batch before the first lookup().
  void prefetch(uint64_t hash) const;

  /// Finds a live flow and advances it: age := now, TCP state by `tcp_flags` (0 for UDP).
  /// A SYN without ACK on a closing flow is a new connection: not found, the old entry is forgotten.
  /// now_ns: monotonic.
  FlowHit lookup(const FlowKey& key, uint64_t hash, uint8_t tcp_flags, uint64_t now_ns);

  /// Remembers a flow that lookup() did not find. False: refused, see stats(). At most 8 places are looked at; an
  /// expired one is taken first, then a free one's absence makes a half-open or closing flow give way, never an
  /// established TCP or live UDP flow for a half-open one.
  bool insert(const FlowKey& key, uint64_t hash, uint32_t backend_id, uint8_t tcp_flags, uint64_t now_ns);

  /// Gives a flow found in this batch another backend.
  void move(uint32_t slot, uint32_t backend_id);

  const FlowTableStats& stats() const;
  uint32_t capacity() const;
  std::size_t memory_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace xebec
