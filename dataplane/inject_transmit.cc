// SPDX-License-Identifier: BSD-2-Clause
// Sending by injection: one BPF_PROG_RUN for all packets that a port has gathered.
#include "dataplane/inject_transmit.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/clock.h"
#include "dataplane/limits.h"

namespace xebec {
namespace {

// While more packets wait to be received, as many are gathered: of 256 packets a call each costs half of what
// it costs of 64.
constexpr uint32_t kEnough = 256;

// The kernel's own batches within a call. Larger ones outgrow its page pool's cache: at 256 packets a call 88
// ns a packet with 64, 108 with 128, 145 with 256.
constexpr uint32_t kKernelBatch = 64;

// What each XDP frame holds before the program writes it; any bytes do.
constexpr std::array<uint8_t, kInjectTemplateLength> kTemplate{};

uint32_t load(const uint32_t& written_by_program) {
  return __atomic_load_n(&written_by_program, __ATOMIC_RELAXED);
}

/// No memory just now, or interrupted: the next call may do.
bool passing(int error) {
  return error == ENOMEM || error == EINTR || error == EAGAIN;
}

}  // namespace

int run_injector(int program_fd, uint32_t packets) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = kTemplate.data();
  options.data_size_in = kTemplate.size();
  options.repeat = static_cast<int>(packets);
  options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
  options.batch_size = kKernelBatch;
  return -bpf_prog_test_run_opts(program_fd, &options);
}

InjectTransmit::InjectTransmit(Umem& umem, std::unique_ptr<RingTransmit> ring, const InjectOptions& options)
    : umem_(umem), ring_(std::move(ring)), options_(options) {}

InjectTransmit::~InjectTransmit() {
  // Order no longer matters more than delivery. What the ring has no room for was counted as sent, and is
  // not.
  if (count_ != 0) send_by_ring();
  counters_.errors.add(count_);
  for (uint32_t i = 0; i < count_; ++i) umem_.recycle(std::move(gathered_[i]));
}

bool InjectTransmit::fits(const Frame& frame) const {
  const uint64_t begin = frame.address() - Umem::chunk_of(frame.address());
  return begin <= options_.max_begin && frame.length() <= options_.max_length && !frame.continues();
}

uint32_t InjectTransmit::submit(std::span<Frame> frames) {
  const auto n =
      whole_packets(frames, static_cast<uint32_t>(std::min(frames.size(), gathered_.size() - count_)));
  for (uint32_t i = 0; i < n; ++i) {
    misfit_ |= !fits(frames[i]);
    gathered_[count_++] = std::move(frames[i]);
  }
  return n;
}

void InjectTransmit::flush(bool more) {
  if (count_ == 0) {
    ring_->flush(more);
    return;
  }
  if (more && count_ < kEnough) return;
  switch (choose()) {
    case InjectPolicy::Way::ring:
      send_by_ring();
      break;
    case InjectPolicy::Way::inject:
      inject();
      break;
    case InjectPolicy::Way::hold:
      // Who has to complete the ring's packets may be waiting for this CPU.
      sched_yield();
      break;
    case InjectPolicy::Way::gather:
      resting_ = true;
      count_at_rest_ = count_;
      return;
  }
  resting_ = false;
}

InjectPolicy::Way InjectTransmit::choose() {
  if (!usable()) return InjectPolicy::Way::ring;
  if (ring_->in_flight() != 0) ring_->reap();
  return policy_.choose({.packets = count_,
                         .misfit = misfit_,
                         .enough = count_ >= kEnough,
                         .stalled = resting_ && count_ == count_at_rest_,
                         .full = count_ == gathered_.size(),
                         .ring_busy = ring_->in_flight() != 0},
                        monotonic_ns());
}

uint64_t InjectTransmit::rest_ns() const {
  return resting_ ? policy_.rest_ns(monotonic_ns()) : 0;
}

void InjectTransmit::inject() {
  InjectList& list = *options_.list;
  for (uint32_t i = 0; i < count_; ++i) {
    const uint64_t address = gathered_[i].address();
    list.packets[i] = {.chunk = static_cast<uint32_t>(address / kFrameSize),
                       .begin = static_cast<uint16_t>(address % kFrameSize),
                       .length = static_cast<uint16_t>(gathered_[i].length())};
  }
  list.ifindex = options_.ifindex;
  const uint32_t done = run();
  for (uint32_t i = 0; i < done; ++i) umem_.recycle(std::move(gathered_[i]));
  counters_.frames.add(done);
  forget(done);
  if (count_ != 0) send_by_ring();
}

/// The first n have left gathered_.
void InjectTransmit::forget(uint32_t n) {
  if (n == 0) return;  // a frame must not be moved to where it is
  std::move(gathered_.begin() + n, gathered_.begin() + count_, gathered_.begin());
  count_ -= n;
  misfit_ &= count_ != 0;
}

/// Returns how many of the listed packets the program has taken. The rest is not taken because the kernel
/// would not go on.
uint32_t InjectTransmit::run() {
  InjectList& list = *options_.list;
  __atomic_store_n(&list.failed, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&list.next, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&list.count, count_, __ATOMIC_RELAXED);
  uint32_t done = 0;
  while (done < count_) {
    counters_.kicks.add(1);
    const int error = run_injector(options_.program_fd, count_ - done);
    const uint32_t now = std::min(load(list.next), count_);
    if (error != 0) counters_.errors.add(1);
    if (now == done) {
      if (!passing(error)) broken_.store(true, std::memory_order_relaxed);
      break;
    }
    done = now;
  }
  __atomic_store_n(&list.count, 0, __ATOMIC_RELAXED);  // whoever runs the program now gets nothing
  counters_.errors.add(load(list.failed));
  return done;
}

void InjectTransmit::send_by_ring() {
  forget(ring_->submit(std::span(gathered_.data(), count_)));
  ring_->flush(false);
}

TransmitTotals InjectTransmit::totals() const {
  TransmitTotals totals = ring_->totals();
  totals.injected = counters_.frames.read();
  totals.frames += totals.injected;
  totals.kicks += counters_.kicks.read();
  totals.errors += counters_.errors.read();
  return totals;
}

SendProgress InjectTransmit::progress() const {
  const SendProgress ring = ring_->progress();
  const uint64_t injected = counters_.frames.read();
  return {ring.accepted + injected + count_, ring.sent + injected};
}

}  // namespace xebec
