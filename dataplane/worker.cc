// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/worker.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "dataplane/affinity.h"
#include "dataplane/clock.h"
#include "dataplane/nat_table.h"
#include "dataplane/pieces.h"

namespace xebec {
namespace {

constexpr std::size_t kNoPort = SIZE_MAX;

// Empty rounds before an adaptive worker sleeps. A round costs well under a microsecond; 50 of them bridge
// the gaps inside a burst without holding a CPU that feeds the queue: on veth the sender's softirq runs on it
// (docs/architecture.md).
constexpr uint32_t kSpinRounds = 50;

// A sleeping worker wakes this often to show the shim that it lives. The shim's patience is several of these.
constexpr int kSleepMs = 200;

// How soon frames that the kernel would not take are offered to it again.
constexpr int kPendingMs = 1;

// While packets keep coming, held fragments are looked at every so many rounds: 256 lookups in 64 full batches. In every
// round, whoever sends first fragments all the time could make a worker do nothing else.
constexpr uint32_t kBusyRoundsHeld = 64;

// Frames that do not fit the tx ring: flush and reap this often before dropping them. Each flush hands the
// kernel up to a ring full, so one try nearly always suffices; the bound keeps a dead egress interface from
// stopping the worker.
constexpr int kTransmitTries = 4;

// How often housekeep() is called, at most; a sleeping worker wakes every kSleepMs.
constexpr uint64_t kHousekeepNs = 10'000'000;

uint64_t packets_in(std::span<const Frame> frames) {
  uint64_t packets = 0;
  for (const Frame& frame : frames) packets += frame.continues() ? 0 : 1;
  return packets;
}

/// The last `count` of those that were to be sent as one run were not: for whoever reads the decisions afterwards.
[[gnu::cold]] void mark_unsent(std::span<Decision> decisions, Verdict verdict, uint64_t count) {
  for (std::size_t i = decisions.size(); i-- != 0 && count != 0;) {
    if (decisions[i].verdict != verdict) continue;
    decisions[i].verdict = Verdict::drop;
    decisions[i].reason = DropReason::tx_full;
    --count;
  }
}

}  // namespace

Worker::Worker(WorkerOptions options, std::unique_ptr<Umem> umem, std::vector<WorkerPort> ports,
               const Published<Table>& tables)
    : options_(std::move(options)),
      umem_(std::move(umem)),
      ports_(std::move(ports)),
      state_(std::make_unique<ForwardState>(options_.flows, options_.nat,
                                            options_.nat != nullptr ? options_.id : 0)),
      reader_(tables),
      idle_(options_.idle) {
  state_->workers = options_.workers;
  find_ports();
}

void Worker::find_ports() {
  port_of_interface_.fill(kNoPort);
  for (std::size_t i = 0; i < ports_.size(); ++i)
    port_of_interface_[ports_[i].port->options().interface_index] = i;
  publish_ledger();
}

void Worker::close_ports() {
  ports_.clear();
  umem_.reset();
}

void Worker::adopt(std::unique_ptr<Umem> umem, std::vector<WorkerPort> ports) {
  umem_ = std::move(umem);
  ports_ = std::move(ports);
  latency_.forget();
  find_ports();
}

Worker::~Worker() {
  stop();
  if (wake_fd_ >= 0) close(wake_fd_);
}

tl::expected<void, IoError> Worker::start() {
  stop_.store(false, std::memory_order_relaxed);
  if (wake_fd_ >= 0) close(wake_fd_);
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd_ < 0) {
    return tl::unexpected(IoError{errno, fmt::format("cannot make an eventfd: {}", std::strerror(errno))});
  }
  beat();  // the shim must not find the queue stale between the socket's entry and the first round
  // Signals are the control thread's: the worker inherits a full mask.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  return {};
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  stop_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof one);
  thread_.join();
}

void Worker::run() {
  name_this_thread(fmt::format("xebec-w{}", options_.id));
  if (options_.cpu) pinned_.store(pin_this_thread(*options_.cpu), std::memory_order_relaxed);
  // What a thread sleeps longer than it asked for; 50 us unless told.
  (void)prctl(PR_SET_TIMERSLACK, 1);
  if (options_.confine) options_.confine();
  reader_.wake();
  uint32_t empty_rounds = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    reader_.quiescent();
    generation_.store(reader_.get()->generation(), std::memory_order_relaxed);
    beat();
    keep_house();
    if (flush_.ordered()) flush_flows();
    uint32_t served = 0;
    for (std::size_t i = 0; i < ports_.size(); ++i) served += serve(i);
    if (!held_.empty() && (served == 0 || ++busy_rounds_held_ % kBusyRoundsHeld == 0))
      offer_held(coarse_monotonic_ns());
    // As long as packets come, more are likely behind them; the first empty round sends what has gathered.
    const bool pending = finish_round(served != 0);
    if (latency_.timing()) finish_timing();
    loop_.rounds.add(1);
    if (served != 0) {
      empty_rounds = 0;
      continue;
    }
    loop_.empty_rounds.add(1);
    if (flush_.ordered()) continue;
    ++empty_rounds;
    const Idle idle = this->idle();
    if (idle == Idle::spin) {
      for (WorkerPort& p : ports_) p.port->busy_poll();
    } else if (const uint64_t rest = rest_ns(); rest != 0) {
      // Not woken by packets: they gather meanwhile, and who sends them does not pay for waking.
      const timespec t{0, static_cast<long>(rest)};
      (void)nanosleep(&t, nullptr);
      empty_rounds = 0;
    } else if (empty_rounds >= kSpinRounds || (idle == Idle::sleep && !pending)) {
      // What the kernel has not taken yet (a full send buffer, an interface that is down) is tried again
      // soon, but not by spinning for as long as it lasts.
      // What a fragment waits for may come to another worker.
      wait_for_work(pending || !held_.empty() ? kPendingMs : kSleepMs);
      empty_rounds = 0;
    }
  }
  drain();
  give_up_held(UINT64_MAX);
  publish_ledger();
  reader_.sleep();
}

/// The shim steers nothing to this worker any more; what had arrived before is still forwarded. Bounded: two
/// full rings.
void Worker::drain() {
  for (uint32_t round = 0; round < 2 * kRingSize / kBatchSize; ++round) {
    reader_.quiescent();
    uint32_t served = 0;
    for (std::size_t i = 0; i < ports_.size(); ++i) served += serve(i);
    if (!held_.empty()) offer_held(coarse_monotonic_ns());
    const bool pending = finish_round(false);
    if (served == 0 && !pending) return;
  }
}

void Worker::beat() {
  const uint64_t now = coarse_monotonic_ns();
  for (const WorkerPort& p : ports_) {
    if (p.heartbeat != nullptr) __atomic_store_n(p.heartbeat, now, __ATOMIC_RELAXED);
  }
}

void Worker::keep_house() {
  const uint64_t now = coarse_monotonic_ns();
  if (now - housekept_ns_ < kHousekeepNs) return;
  housekept_ns_ = now;
  housekeep(*reader_.get(), *state_, now);
}

void Worker::flush_flows() {
  flush_.work(state_->flows, state_->nat->of(state_->worker));
  state_->counters.flows_used.set(state_->flows.stats().used);
}

uint32_t Worker::serve(std::size_t port_index) {
  std::array<Frame, kBatchSize> frames;
  const uint32_t n = ports_[port_index].port->receive(frames);
  if (n == 0) return 0;
  const std::span<Frame> received(frames.data(), n);
  if (latency_.due()) [[unlikely]] {
    offer_timed(port_index, received, coarse_monotonic_ns());
  } else {
    offer(port_index, received, {}, coarse_monotonic_ns());
  }
  return n;
}

void Worker::offer(std::size_t ingress, std::span<Frame> frames, std::span<const uint64_t> held_since_ns,
                   uint64_t now_ns) {
  // After the receive: a packet that the shim steered because of a new service meets a table that has it
  // (services are published to the workers first).
  const Table* table = reader_.get();

  std::array<Packet, kBatchSize> packets;
  std::array<Decision, kBatchSize> decisions;
  std::array<std::span<const uint8_t>, kBatchSize> pieces;  // of packets in several frames, by frame
  uint32_t count = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto before = static_cast<uint32_t>(frames[i].address() - Umem::chunk_of(frames[i].address()));
    Packet& packet = packets[count++];
    packet = {umem_->data(frames[i]), frames[i].length(), before, kFrameSize - before};
    packet.interface = ports_[ingress].port->options().interface_index;
    for (const std::size_t first = i; frames[i].continues();) {
      ++i;  // receive() gives whole packets
      pieces[i] = {umem_->data(frames[i]), frames[i].length()};
      packet.rest_length += frames[i].length();
      packet.rest = std::span(&pieces[first + 1], i - first);
    }
  }
  state_->hold_places = held_.free();
  const std::span batch(packets.data(), count);
  const std::span decided(decisions.data(), count);
  if (const CaptureTaps* taps = taps_.load(std::memory_order_seq_cst); taps != nullptr) [[unlikely]] {
    offer_watched(*taps, *table, ingress, frames, batch, decided, !held_since_ns.empty(), now_ns);
  } else {
    const auto forward = held_since_ns.empty() ? forward_batch : forward_held;
    forward(*table, *state_, batch, decided, now_ns);
    dispatch(*table, ingress, frames, batch, decided);
  }
  if (state_->hold_places != held_.free()) keep_held(frames, held_since_ns, now_ns);
}

void Worker::dispatch(const Table& table, std::size_t ingress, std::span<Frame> frames,
                      std::span<const Packet> packets, std::span<Decision> decisions) {
  // Runs of frames for the same port go out together; with one interface that is the whole batch.
  std::array<Frame, kBatchSize> out;
  std::size_t out_count = 0;
  std::size_t out_port = kNoPort;
  Verdict out_verdict = Verdict::forward;
  std::size_t i = 0;
  const auto flush_run = [&] {
    if (out_count == 0) return;
    const uint64_t dropped = send(out_port, out_verdict, std::span(out.data(), out_count));
    if (dropped != 0) [[unlikely]]
      mark_unsent(decisions.first(i), out_verdict, dropped);
    out_count = 0;
  };
  std::size_t next_frame = 0;
  for (; i < packets.size(); ++i) {
    const std::size_t first = next_frame;
    while (frames[next_frame++].continues()) {
    }
    if (decisions[i].verdict == Verdict::hold) continue;  // the frames stay where they are
    if (decisions[i].verdict == Verdict::cut) [[unlikely]] {
      flush_run();  // what came before goes before
      send_in_pieces(table, packets[i], state_->in_hand[i].parsed, decisions[i]);
      for (std::size_t f = first; f < next_frame; ++f) umem_->recycle(std::move(frames[f]));
      continue;
    }
    std::size_t egress = kNoPort;
    if (decisions[i].verdict == Verdict::forward) egress = port_of_interface_[decisions[i].interface];
    if (decisions[i].verdict == Verdict::reply) egress = ingress;
    if (egress == kNoPort) {
      if (decisions[i].verdict == Verdict::forward) {
        state_->counters.drop(DropReason::no_egress_port);
        // What has this verdict is in nobody's run: mark_unsent() must not find it.
        decisions[i].verdict = Verdict::drop;
        decisions[i].reason = DropReason::no_egress_port;
      }
      for (std::size_t f = first; f < next_frame; ++f) umem_->recycle(std::move(frames[f]));
      continue;
    }
    if (egress != out_port || decisions[i].verdict != out_verdict) flush_run();
    out_port = egress;
    out_verdict = decisions[i].verdict;
    frames[first].set_packet(static_cast<uint64_t>(packets[i].data - umem_->memory()), packets[i].length);
    if (frames[first].continues()) trim(frames.subspan(first, next_frame - first), packets[i]);
    for (std::size_t f = first; f < next_frame; ++f) {
      if (!frames[f].empty()) out[out_count++] = std::move(frames[f]);
    }
  }
  flush_run();
}

/// Takes from a packet's frames what the packet has no longer.
void Worker::trim(std::span<Frame> frames, const Packet& packet) {
  const std::size_t kept = packet.rest.size();
  for (std::size_t i = 0; i < kept; ++i) {
    Frame& frame = frames[i + 1];
    frame.set_packet(frame.address(), static_cast<uint32_t>(packet.rest[i].size()));
  }
  frames[kept].end_packet();
  for (Frame& frame : frames.subspan(kept + 1)) umem_->recycle(std::move(frame));
}

/// Frames that a ring takes; returns those that none would.
std::span<Frame> Worker::submit(std::size_t port_index, std::span<Frame> frames) {
  TransmitEngine& engine = ports_[port_index].port->transmit();
  std::span<Frame> rest = frames.subspan(engine.submit(frames));
  for (int i = 0; i < kTransmitTries && !rest.empty(); ++i) {
    engine.flush(false);
    engine.reap();
    rest = rest.subspan(engine.submit(rest));
  }
  return rest;
}

/// The pieces are frames of our own; the packet is forwarded if a ring has them all. One piece short, the others are of no use to the
/// backend, but a ring gives none back.
void Worker::send_in_pieces(const Table& table, const Packet& packet, const ParsedPacket& parsed,
                            Decision& decision) {
  const auto give_up = [&](DropReason reason) {
    state_->counters.drop(reason);
    decision.verdict = Verdict::drop;
    decision.reason = reason;
  };
  const std::size_t egress = port_of_interface_[decision.interface];
  if (egress == kNoPort) return give_up(DropReason::no_egress_port);
  const Pieces pieces(packet, parsed, table.backends()[decision.backend]);
  std::array<Frame, Pieces::kMaxCount> frames;
  uint32_t made = 0;
  for (; made < pieces.count(); ++made) {
    frames[made] = umem_->allocate();
    if (frames[made].empty()) break;
    Packet out{
        .data = umem_->data(frames[made]), .headroom = kFrameHeadroom, .room = kFrameSize - kFrameHeadroom};
    pieces.write(made, out);
    frames[made].set_packet(static_cast<uint64_t>(out.data - umem_->memory()), out.length);
  }
  std::span<Frame> rest(frames.data(), made);
  const bool enough = made == pieces.count();
  if (enough) rest = submit(egress, rest);
  if (!enough) {
    give_up(DropReason::no_free_frame);
  } else if (!rest.empty()) {
    give_up(DropReason::tx_full);
  } else {
    state_->counters.forwarded.add(1);
    state_->counters.cut.add(1);
  }
  for (Frame& frame : rest) umem_->recycle(std::move(frame));
}

/// Counts a frame as forwarded or replied once a ring has it, and as dropped (tx_full) if none would:
/// forward_batch leaves that to its caller. Returns how many were dropped: the last ones.
uint64_t Worker::send(std::size_t port_index, Verdict verdict, std::span<Frame> frames) {
  uint64_t packets = packets_in(frames), dropped = 0;
  for (Frame& frame : submit(port_index, frames)) {
    if (!frame.continues()) {
      state_->counters.drop(DropReason::tx_full);
      ++dropped;
    }
    umem_->recycle(std::move(frame));
  }
  packets -= dropped;
  (verdict == Verdict::reply ? state_->counters.replied : state_->counters.forwarded).add(packets);
  return dropped;
}

/// Returns true if packets still wait to be sent.
bool Worker::finish_round(bool more) {
  bool pending = false;
  for (WorkerPort& p : ports_) {
    p.port->transmit().flush(more);
    p.port->transmit().reap();
    p.port->refill();
    pending |= p.port->transmit().pending();
  }
  publish_ledger();
  return pending;
}

/// How long all engines that have something to send would rather wait; 0 if one would not.
uint64_t Worker::rest_ns() const {
  uint64_t shortest = UINT64_MAX;
  for (const WorkerPort& p : ports_) {
    if (p.port->transmit().pending()) shortest = std::min(shortest, p.port->transmit().rest_ns());
  }
  return shortest == UINT64_MAX ? 0 : shortest;
}

void Worker::wait_for_work(int timeout_ms) {
  std::array<pollfd, kMaxInterfaces + 1> fds;
  std::size_t n = 0;
  fds[n++] = {wake_fd_, POLLIN, 0};
  for (const WorkerPort& p : ports_) fds[n++] = {p.port->fd(), POLLIN, 0};
  loop_.sleeps.add(1);
  reader_.sleep();
  (void)poll(fds.data(), n, timeout_ms);
  reader_.wake();
}

void Worker::publish_ledger() {
  const FrameCounts counts = umem_->counts();
  loop_.frames_free.set(counts.free);
  loop_.frames_receive.set(counts.receive);
  loop_.frames_transmit.set(counts.transmit);
  loop_.frames_in_hand.set(counts.in_hand);
}

}  // namespace xebec
