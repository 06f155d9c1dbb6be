// SPDX-License-Identifier: BSD-2-Clause
// The translated connections (modes dnat and nat), and the ports they use.
//
//   worker w makes and forgets the mappings of its own NatTable; its block of ports is its own, so no lock is needed.
//   A reply arrives on whatever queue the NIC chose: every worker reads every table, and notes there that a reply was seen.
//
//   slot:   version | last seen from either side | what was seen | live | mapping (words)
//           odd version: being written. A reader copies the words and looks at the version again (a sequence lock;
//           Linux Documentation/locking/seqlock.rst); if it has changed, the mapping was made, brought up to date or forgotten
//           meanwhile, and the reader tries again.
//   index:  hash of the client's key, hash of the reply's key -> slot (nat_index.h)
//
// Fixed memory, touched when used. Timeouts are those of RFC 4787 (UDP) and RFC 5382 (TCP).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/counters.h"
#include "dataplane/flow_filter.h"
#include "dataplane/ip_address.h"
#include "dataplane/limits.h"
#include "dataplane/nat_config.h"
#include "dataplane/nat_index.h"
#include "dataplane/nat_mapping.h"
#include "dataplane/reply_queues.h"
#include "dataplane/zero_pages.h"

namespace xebec {

struct NatTableStats {
  uint64_t created = 0;
  uint64_t expired = 0;
  uint64_t reused = 0;   ///< forgotten early, closed, because its port or place was needed
  uint64_t refused = 0;  ///< no port or no place
  uint32_t used = 0;
};

/// What backends do with TCP connections that clients open. One writer: the thread of the worker that saw it.
struct NatOpenings {
  Counter answered;    ///< SYNs with ACK
  Counter refused;     ///< resets instead
  Counter unanswered;  ///< SYNs that the client sent again, a second or so later, because nothing came
};

/// First replies of connections whose port was chosen so that they come to the queue of the worker that has the connection. One
/// writer: the thread of the worker that saw them.
struct ReplyArrivals {
  Counter home;  ///< they did
  Counter away;
};

/// What a new mapping is made from.
struct NatRequest {
  const FlowKey& forward;
  uint64_t forward_hash;
  FlowKey reply;  ///< as wanted; of mode nat, the destination's address and port are chosen here
  uint32_t backend;
  ReturnPath client;
  std::span<const IpAddress>
      sources;             ///< mode nat: one of these becomes the source. Empty: dnat, reply is complete
  uint16_t interface = 0;  ///< that the replies are expected by
  const ReplyQueues* reply_queues = nullptr;  ///< of that interface; null: nothing is foretold
};

class NatTable {
 public:
  static constexpr uint32_t kNone = NatIndex::kNone;
  static constexpr uint32_t kMaxCapacity = kMaxNatCapacity;

  /// What was seen of a connection, of either side.
  enum Seen : uint8_t {
    kClientFin = 1,
    kClientRst = 2,
    kReply = 4,
    kReplyFin = 8,
    kReplyRst = 16,
    kReplyOpen = 32,  ///< one without SYN since the client's latest SYN: the backend has the connection
    kShiftSent = 64,  ///< ShiftState
    kShiftAcknowledged = 128,
  };

  /// Throws std::invalid_argument for a capacity of 0 or above kMaxCapacity, or fewer ports than workers.
  NatTable(const NatTableConfig& config, uint32_t worker, uint32_t workers);
  NatTable(const NatTable&) = delete;
  NatTable& operator=(const NatTable&) = delete;

  // ---- The owner ----

  /// The first reply of a connection came to this worker. foretold: of its table; home: which is this one.
  void note_arrival(uint8_t foretold, bool home) {
    if (foretold == 0) return;
    ReplyArrivals& arrivals = arrivals_[foretold - 1u];
    (home ? arrivals.home : arrivals.away).add(1);
  }
  /// By backend id, below kMaxBackends.
  NatOpenings& openings(uint32_t backend) { return openings_[backend]; }
  /// A SYN came some time ago, and no packet of the backend since. Before forwarded() of another.
  bool awaits_answer(uint32_t slot, uint64_t now_ns) const {
    return (seen(slot) & kReply) == 0 &&
           slots_[slot].client_tick.load(std::memory_order_relaxed) != tick_of(now_ns);
  }
  /// The slot of the client's flow to this backend; kNone if there is none that lives. `guess`: where it most likely is, any number.
  uint32_t find_forward(const FlowKey& key, uint64_t hash, uint32_t backend, uint64_t now_ns,
                        uint32_t guess = kNone) const;
  /// The slot of the mapping that has this reply key, or kNone: what find_reply() says.
  uint32_t find_own_reply(const FlowKey& key, uint64_t hash, uint32_t guess = kNone) const;
  /// The mapping in a slot just found, where it lies: nobody else writes it. Until the next call that writes.
  const NatMapping& mapping(uint32_t slot) const { return slots_[slot].mapping; }
  /// Makes a mapping; kNone: refused, there is no port or no place for it.
  uint32_t create(const NatRequest& request, const HashSecret& secret, uint64_t now_ns, NatMapping& out);
  /// A packet of the client passes: age and TCP state.
  void client_passed(uint32_t slot, uint8_t tcp_flags, uint64_t now_ns);
  /// The same, and where he is now. `mapping`: as found, and brought up to date.
  void forwarded(uint32_t slot, NatMapping& mapping, uint8_t tcp_flags, const ReturnPath& client,
                 uint64_t now_ns);
  /// A SYN of the client's, whose stream gets `length` bytes before `first`. While an older connection stands, it is only
  /// noted: the backend may refuse it.
  void opens(uint32_t slot, NatMapping& mapping, uint32_t first, uint32_t length);
  /// The connection of the latest SYN has replaced the one that stood.
  void replace_connection(uint32_t slot, NatMapping& mapping, uint32_t length);
  void see(uint32_t slot, uint8_t what);
  void forget(uint32_t slot);
  /// Looks at up to `slots` slots and forgets those that have expired.
  void expire(uint64_t now_ns, uint32_t slots);
  /// Forgets what matches in so many slots from `first` on; returns how many.
  uint32_t forget_matching(const FlowFilter& filter, uint32_t first, uint32_t slots);
  /// Slots from here on were never used.
  uint32_t slots_used() const { return fresh_; }

  // ---- Any thread ----

  /// Copies a mapping that has this reply key; its slot, or kNone.
  uint32_t find_reply(const FlowKey& key, uint64_t hash, NatMapping& out) const;
  /// The same by the client's key, whatever the backend.
  uint32_t find_client(const FlowKey& key, uint64_t hash, NatMapping& out) const;
  /// The mapping in the slot; false if there is none now, or if its owner was stopped amid writing it.
  bool read(uint32_t slot, NatMapping& out) const;
  /// A packet of the backend has passed. `mapping`: as found in the slot, which may hold another by now; that one is not marked.
  /// `also`: of Seen. Returns what was seen before.
  uint8_t replied(uint32_t slot, const NatMapping& mapping, uint8_t tcp_flags, uint64_t now_ns,
                  uint8_t also = 0);
  const NatOpenings& openings(uint32_t backend) const { return openings_[backend]; }
  /// What was seen of the connection in the slot.
  uint8_t seen(uint32_t slot) const {
    return static_cast<uint8_t>(slots_[slot].seen.load(std::memory_order_relaxed));
  }
  /// Whether it was foretold that the connection's replies come home, and as what, for note_arrival(); 0: it was not.
  uint8_t foretold(uint32_t slot) const { return slots_[slot].foretold.load(std::memory_order_relaxed); }
  /// Of connections whose replies were expected by the interface, as far as they came to this worker.
  const ReplyArrivals& arrivals(std::size_t interface, HashClass hash_class) const {
    return arrivals_[place_of(interface, hash_class)];
  }

  // Memory that find_forward() and find_reply() will read: first where they look, then what they find there, most likely in
  // the slot that is returned.
  void prefetch_forward(uint64_t hash) const { forwards_.prefetch(hash); }
  void prefetch_reply(uint64_t hash) const { replies_.prefetch(hash); }
  uint32_t prefetch_forward_mapping(uint64_t hash) const { return prefetch_slot(forwards_.candidate(hash)); }
  uint32_t prefetch_reply_mapping(uint64_t hash) const { return prefetch_slot(replies_.candidate(hash)); }
  const NatTableStats& stats() const { return stats_; }  ///< the owner's
  uint32_t used() const { return used_.load(std::memory_order_relaxed); }
  uint32_t capacity() const { return config_.capacity; }
  std::size_t memory_bytes() const {
    return config_.capacity * (sizeof(Slot) + sizeof *free_.get()) + forwards_.memory_bytes() +
           replies_.memory_bytes();
  }
  uint16_t first_port() const { return first_port_; }
  uint32_t ports() const { return ports_; }  ///< of this table, from first_port() on

 private:
  /// As which a mapping is written, and read by others than its owner.
  using Word [[gnu::may_alias]] = uint64_t;
  static constexpr std::size_t kWords = sizeof(NatMapping) / sizeof(Word);
  static_assert(sizeof(NatMapping) % sizeof(Word) == 0 && alignof(NatMapping) % alignof(Word) == 0);
  struct alignas(64) Slot {
    std::atomic<uint32_t> version;      ///< 0: never used
    std::atomic<uint32_t> client_tick;  ///< when a packet of his last passed
    std::atomic<uint32_t> reply_tick;
    std::atomic<uint32_t> seen;     ///< Seen, and above it the mapping's generation
    std::atomic<uint8_t> live;      ///< 0: nothing in it
    std::atomic<uint8_t> foretold;  ///< 1 + place_of(), or 0
    NatMapping mapping;  ///< the owner reads it; it writes, and others read, by words under the version
  };

  // Ages in ticks of 2^30 ns, about a second: written by two threads only when it changes.
  static uint32_t tick_of(uint64_t now_ns) { return static_cast<uint32_t>(now_ns >> 30); }
  static uint32_t timeout_ticks(uint32_t seconds) {
    return static_cast<uint32_t>((uint64_t{seconds} * 1'000'000'000 >> 30) + 1);
  }

  uint32_t prefetch_slot(uint32_t slot) const {
    if (slot == kNone) return slot;
    const auto* line = reinterpret_cast<const char*>(slots_ + slot);
    for (std::size_t at = 0; at < sizeof(Slot); at += alignof(Slot)) __builtin_prefetch(line + at);
    return slot;
  }
  bool is_forward(uint32_t slot, const FlowKey& key, uint32_t backend, uint64_t now_ns) const;
  bool is_reply(uint32_t slot, const FlowKey& key) const;
  void write(Slot& slot, const NatMapping& mapping);
  uint32_t silent_ticks(const Slot& slot, uint64_t now_ns) const;
  bool is_closed(const Slot& slot) const;
  bool has_expired(const Slot& slot, uint64_t now_ns) const;
  bool gives_way(uint32_t slot, uint64_t now_ns) const;
  bool reply_is_free(const FlowKey& reply, uint64_t hash, uint64_t now_ns);
  /// The port was chosen so that replies come home: what to write into Slot::foretold, else 0. nullopt: there is none.
  std::optional<uint8_t> choose_source(const NatRequest& request, const HashSecret& secret, uint64_t now_ns,
                                       NatMapping& mapping);
  uint8_t choose_home_port(const NatRequest& request, const HashSecret& secret, uint64_t now_ns,
                           NatMapping& mapping);
  uint32_t take_slot(uint64_t now_ns);
  uint8_t protocol_of(const Slot& slot) const;
  static std::size_t place_of(std::size_t interface, HashClass hash_class) {
    return interface * kHashClasses + static_cast<std::size_t>(hash_class);
  }
  static_assert(kMaxInterfaces * kHashClasses < UINT8_MAX, "Slot::foretold");

  NatTableConfig config_;
  uint32_t worker_;
  uint16_t first_port_;
  uint32_t ports_;
  ZeroPages pages_;
  Slot* slots_;
  ZeroPages opening_pages_;
  NatOpenings* openings_;
  NatIndex forwards_;
  NatIndex replies_;
  std::unique_ptr<uint32_t[]> free_;  ///< stack of slots given back
  uint32_t free_count_ = 0;
  uint32_t fresh_ = 0;   ///< slots from here on were never used
  uint32_t cursor_ = 0;  ///< where expire() goes on
  struct Exhausted {
    uint64_t until_ns = 0;
    uint32_t backend = kNone;
  };
  std::array<Exhausted, 64> exhausted_{};  ///< by backend, modulo: no port was to be had, latest only
  NatTableStats stats_;
  std::array<ReplyArrivals, kMaxInterfaces * kHashClasses> arrivals_{};  ///< by place_of()
  std::atomic<uint32_t> used_{0};
};

/// The tables of all workers.
class NatTables {
 public:
  NatTables(const NatTableConfig& config, uint32_t workers);
  NatTable& of(uint32_t worker) { return *tables_[worker]; }
  const NatTable& of(uint32_t worker) const { return *tables_[worker]; }
  uint32_t workers() const { return static_cast<uint32_t>(tables_.size()); }

  /// Where replies that arrive by the interface are expected; null: nothing is foretold. Between two quiescent points.
  const ReplyQueues* reply_queues(uint16_t interface) const {
    return reply_queues_[interface].load(std::memory_order_seq_cst);
  }
  /// From now on. The control thread's, which keeps the old one as long as a worker may hold it (Published::retire).
  void set_reply_queues(std::size_t interface, const ReplyQueues* queues) {
    reply_queues_[interface].store(queues, std::memory_order_seq_cst);
  }
  /// As far as all workers have seen.
  struct Arrivals {
    uint64_t home = 0;
    uint64_t away = 0;
  };
  Arrivals arrivals(std::size_t interface, HashClass hash_class) const;

 private:
  std::vector<std::unique_ptr<NatTable>> tables_;
  std::array<std::atomic<const ReplyQueues*>, kMaxInterfaces> reply_queues_{};
};

}  // namespace xebec
