// SPDX-License-Identifier: BSD-2-Clause
// A worker's memory of decisions: flow -> backend, with TCP state and age. Fixed memory, no allocation after
// construction, bounded probes. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/flow_key.h"
#include "dataplane/limits.h"

namespace xebec {

enum class FlowState : uint8_t {
  half_open,    ///< TCP: only the client's SYN was seen
  established,  ///< TCP: a later segment was seen
  closing,      ///< TCP: FIN or RST was seen
  datagram,     ///< UDP
  picked_up,  ///< TCP: one segment from mid-way was seen and no other; kept as long as established, gives way
              ///< as half_open
};

/// Seconds a flow may be silent in each state before its place may be reused.
struct FlowTimeouts {
  uint32_t established_s = 3600;
  uint32_t syn_s = 10;
  uint32_t fin_s = 10;
  uint32_t udp_s = 30;
};

struct FlowTableConfig {
  /// Flows it shall hold at once. A quarter more places are made, 60 bytes a flow, so that a table with this
  /// many flows refuses fewer than 1 in 10,000 for want of a place.
  uint32_t capacity = kDefaultFlowCapacity;
  FlowTimeouts timeouts;
  uint32_t max_inserts_per_s = 1'000'000;  ///< beyond it new flows are forwarded unremembered
};

/// What a lookup answers. `backend_id` is what insert() or move() stored. Eight bytes, so that it is returned in one
/// register: with a bool it was built on the stack and read back before the stores were done; perf showed 40 % of
/// lookup() waiting there, and does no more.
struct FlowHit {
  static constexpr uint32_t kNoSlot = UINT32_MAX;
  uint32_t backend_id = 0;
  uint32_t slot = kNoSlot;  ///< to pass to move() before the next insert()
  bool found() const { return slot != kNoSlot; }
};

struct FlowTableStats {
  uint64_t inserts = 0;
  uint64_t evicted_expired = 0;
  uint64_t evicted_half_open = 0;  ///< a live half-open, closing or once-seen flow gave way to a new one
  uint64_t relocated = 0;          ///< a flow went to its other bucket to make room
  uint64_t refused_full = 0;       ///< no candidate place was free or gave way
  uint64_t refused_rate = 0;       ///< beyond max_inserts_per_s
  uint32_t used = 0;               ///< places ever filled and not erased; expired ones count until reused
};

class FlowTable {
 public:
  static constexpr uint32_t kMaxCapacity = 1u << 30;

  /// Throws std::invalid_argument for a capacity of 0 or above kMaxCapacity, std::bad_alloc for want of
  /// address space. Memory is zero pages until flows come, first touched by the thread that inserts.
  explicit FlowTable(const FlowTableConfig& config);
  ~FlowTable();
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  /// Asks for the cache lines that tell whether a flow may be there. Call for a whole batch, then
  /// prefetch_entry() for the whole batch, then lookup().
  void prefetch(uint64_t hash) const;
  /// Asks for the addresses lookup() will compare; reads what prefetch() has brought.
  void prefetch_entry(uint64_t hash) const;

  /// Finds a live flow and advances it: age := now, TCP state by `tcp_flags` (0 for UDP).
  /// A SYN without ACK on a closing flow is a new connection: not found, the old entry is forgotten. On an
  /// established one it may be forged, so it changes nothing. now_ns: monotonic.
  FlowHit lookup(const FlowKey& key, uint64_t hash, uint8_t tcp_flags, uint64_t now_ns);

  /// Finds a live flow and changes nothing, neither age nor state: for a packet that only speaks about it
  /// (ICMP errors).
  FlowHit peek(const FlowKey& key, uint64_t hash, uint64_t now_ns) const;

  /// Remembers a flow that lookup() did not find. False: refused, see stats(). A flow has at most 8 places.
  /// Taken is an expired one, else a free one, else that of the half-open, closing or once-seen flow which
  /// was silent longest; else one flow may go to its other bucket. An established TCP or live UDP flow never
  /// gives way. A FIN or RST makes nobody give way. A flow that is there after all, because an earlier packet
  /// of the batch made it, is advanced as by lookup() and gets `backend_id`.
  bool insert(const FlowKey& key, uint64_t hash, uint32_t backend_id, uint8_t tcp_flags, uint64_t now_ns);

  /// Gives a flow found in this batch another backend.
  void move(uint32_t slot, uint32_t backend_id);

  const FlowTableStats& stats() const;
  /// Places; stats().used never exceeds it.
  uint32_t capacity() const;
  std::size_t memory_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace xebec
