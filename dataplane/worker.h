// SPDX-License-Identifier: BSD-2-Clause
// A worker: one pinned thread that owns a UMEM, the ports of its queue on every interface, its flow table and
// its counters, and moves packets between them.
//
//   receive a batch -> load the table -> forward_batch -> transmit or recycle -> reap completions -> refill
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <tl/expected.hpp>

#include "dataplane/capture_tap.h"
#include "dataplane/counters.h"
#include "dataplane/flow_flush.h"
#include "dataplane/forward.h"
#include "dataplane/held_fragments.h"
#include "dataplane/io_error.h"
#include "dataplane/latency.h"
#include "dataplane/published.h"
#include "dataplane/table.h"
#include "dataplane/umem.h"
#include "dataplane/xsk_port.h"

namespace xebec {

/// What a worker does when its rings are empty.
enum class Idle : uint8_t {
  spin,      ///< never sleeps; drives the NIC's queue itself (busy polling)
  adaptive,  ///< looks again a few times, then sleeps until a packet comes
  sleep,     ///< sleeps at once: an interrupt wakes it
};

/// A worker's port and where to tell the shim that the worker lives.
struct WorkerPort {
  std::unique_ptr<XskPort> port;
  uint64_t* heartbeat = nullptr;  ///< bpf/abi.h struct xebec_heartbeat::at_ns; may be null
};

struct WorkerOptions {
  uint32_t id = 0;
  uint32_t workers = 1;  ///< of the daemon: ForwardState::workers
  std::optional<uint32_t> cpu;
  Idle idle = Idle::adaptive;
  FlowTableConfig flows;
  NatTables* nat = nullptr;       ///< of all workers; outlives them. Null: this worker's alone
  std::function<void()> confine;  ///< called on its thread before the first packet; may be empty
};

/// Counters of the loop itself; written by the worker, read by anyone.
struct LoopCounters {
  Counter rounds;
  Counter empty_rounds;
  Counter sleeps;
  Counter frames_free, frames_receive, frames_transmit, frames_in_hand;
};

class Worker {
 public:
  /// Ports are open and share `umem`. Members are destroyed in the order that the kernel needs: ports before
  /// their UMEM.
  Worker(WorkerOptions options, std::unique_ptr<Umem> umem, std::vector<WorkerPort> ports,
         const Published<Table>& tables);
  ~Worker();  ///< stops
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// From now on its decisions about first fragments count here, too. Before both start; keeps what it reads alive.
  void read_fragments_of(const Worker& other);

  tl::expected<void, IoError> start();
  /// Asks the thread to end and waits for it. Packets received before are still forwarded, as far as two full
  /// rings go. The caller has taken the services out of the shim first. Idempotent.
  void stop();
  /// Of a worker that does not run: closes its ports and frees its UMEM, with the packets that were in their rings. Flows
  /// and counters stay.
  void close_ports();
  /// Gives it others, for start() to begin with.
  void adopt(std::unique_ptr<Umem> umem, std::vector<WorkerPort> ports);

  /// Captures to be served from the next batch on; null: none. The old ones are let go of as a table is: Published::retire().
  void set_taps(const CaptureTaps* taps) { taps_.store(taps, std::memory_order_seq_cst); }

  const WorkerOptions& options() const { return options_; }  ///< as it was made: idle() may be another by now
  Idle idle() const { return idle_.load(std::memory_order_relaxed); }
  /// From the next round on, or the end of the sleep that it is in. Whoever lets it spin has made its ports ready for that.
  void set_idle(Idle idle) { idle_.store(idle, std::memory_order_relaxed); }
  const ForwardState& state() const { return *state_; }
  /// Where the control thread tells this worker what all have; running or not.
  FleetCounts& fleet() { return state_->fleet; }
  const LoopCounters& loop() const { return loop_; }
  /// Orders to forget flows are left here; a worker that sleeps hears of one when it wakes.
  FlowFlush& flush() { return flush_; }
  const LatencyHistogram& latency() const { return latency_.histogram(); }
  const Umem* umem() const { return umem_.get(); }  ///< null between close_ports() and adopt()
  Umem* umem() { return umem_.get(); }
  const std::vector<WorkerPort>& ports() const { return ports_; }
  const Published<Table>::Reader& reader() const { return reader_; }
  /// Generation of the table that the round before used at the latest; a sleeping worker will use the current
  /// one.
  uint64_t generation() const { return generation_.load(std::memory_order_relaxed); }
  bool pinned() const { return pinned_.load(std::memory_order_relaxed); }

 private:
  void run();
  uint32_t serve(std::size_t port_index);
  void offer_timed(std::size_t ingress, std::span<Frame> frames, uint64_t now_ns);
  void finish_timing();
  /// held_since_ns: of each frame when its packet came, if they were held; else empty.
  void offer(std::size_t ingress, std::span<Frame> frames, std::span<const uint64_t> held_since_ns,
             uint64_t now_ns);
  /// table: by which it was decided. Another may be in force by now, whose ids are others'.
  void dispatch(const Table& table, std::size_t ingress, std::span<Frame> frames,
                std::span<const Packet> packets, std::span<Decision> decisions);
  void offer_watched(const CaptureTaps& taps, const Table& table, std::size_t ingress,
                     std::span<Frame> frames, std::span<Packet> packets, std::span<Decision> decisions,
                     bool held, uint64_t now_ns);
  void show_expired(const CaptureTaps& taps, uint64_t now_ns);
  void keep_held(std::span<Frame> frames, std::span<const uint64_t> held_since_ns, uint64_t now_ns);
  void offer_held(uint64_t now_ns);
  void give_up_held(uint64_t now_ns);
  void trim(std::span<Frame> frames, const Packet& packet);
  std::span<Frame> submit(std::size_t port_index, std::span<Frame> frames);
  [[gnu::cold, gnu::noinline]] void send_in_pieces(const Table& table, const Packet& packet,
                                                   const ParsedPacket& parsed, Decision& decision);
  uint64_t send(std::size_t port_index, Verdict verdict, std::span<Frame> frames);
  bool finish_round(bool more);
  void drain();
  uint64_t rest_ns() const;
  void wait_for_work(int timeout_ms);
  void beat();
  void keep_house();
  void flush_flows();
  void find_ports();
  void publish_ledger();

  WorkerOptions options_;
  std::unique_ptr<Umem> umem_;
  std::vector<WorkerPort> ports_;
  std::unique_ptr<ForwardState> state_;
  Published<Table>::Reader reader_;
  LoopCounters loop_;
  FlowFlush flush_;
  LatencySampler latency_;
  HeldFragments held_;
  uint32_t busy_rounds_held_ = 0;         // that went by while held_ had something
  uint64_t first_fragments_offered_ = 0;  // as many had been seen when held_ was last offered
  std::array<std::size_t, kMaxInterfaces> port_of_interface_{};  // kNoPort where this worker has none
  int wake_fd_ = -1;                                             // eventfd: ends a sleep
  uint64_t housekept_ns_ = 0;
  std::atomic<const CaptureTaps*> taps_{nullptr};
  std::atomic<Idle> idle_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> pinned_{false};
  std::atomic<uint64_t> generation_{0};
  std::thread thread_;
};

}  // namespace xebec
