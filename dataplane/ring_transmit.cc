// SPDX-License-Identifier: BSD-2-Clause
// Sending by the AF_XDP TX ring.
#include "dataplane/ring_transmit.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/limits.h"

namespace xebec {
namespace {

// Kernels before 6.17 send at most 32 packets a call (net/xdp/xsk.c, TX_BATCH_SIZE), so a full ring may need
// this many.
constexpr uint32_t kMaxKicksPerFlush = kRingSize / 32;

}  // namespace

RingTransmit::RingTransmit(Umem& umem, xsk_ring_prod& tx, xsk_ring_cons& completion, int fd)
    : umem_(umem), tx_(tx), completion_(completion), fd_(fd) {}

uint32_t RingTransmit::submit(std::span<Frame> frames) {
  const uint32_t wanted = static_cast<uint32_t>(frames.size());
  const uint32_t n = whole_packets(frames, std::min(wanted, xsk_prod_nb_free(&tx_, wanted)));
  uint32_t index = 0;
  if (n == 0 || xsk_ring_prod__reserve(&tx_, n, &index) != n) return 0;
  for (uint32_t i = 0; i < n; ++i) {
    xdp_desc* descriptor = xsk_ring_prod__tx_desc(&tx_, index + i);
    descriptor->len = frames[i].length();
    descriptor->options = frames[i].continues() ? kXdpPacketContinues : 0;
    descriptor->addr = umem_.give_to_transmit(std::move(frames[i]));
  }
  xsk_ring_prod__submit(&tx_, n);
  counters_.frames.add(n);
  in_flight_ += n;
  pending_ = true;
  return n;
}

bool RingTransmit::drained() const {
  // The kernel moves the consumer index; acquire pairs with its release.
  return __atomic_load_n(tx_.consumer, __ATOMIC_ACQUIRE) == __atomic_load_n(tx_.producer, __ATOMIC_RELAXED);
}

void RingTransmit::flush(bool /*more*/) {
  if (!pending_) return;
  for (uint32_t i = 0; i < kMaxKicksPerFlush && !drained(); ++i) {
    if (!xsk_ring_prod__needs_wakeup(&tx_)) {  // a zero-copy driver is at work on the ring by itself
      pending_ = false;
      return;
    }
    const uint32_t before = __atomic_load_n(tx_.consumer, __ATOMIC_RELAXED);
    counters_.kicks.add(1);
    if (sendto(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) continue;
    switch (errno) {
      case EBUSY:  // the frame at the head was consumed and lost (the egress queue refused it); go on with
                   // the next
        counters_.errors.add(1);
        break;
      case EAGAIN:  // the call's budget, or no room in the completion ring or the send buffer: make room, go
                    // on while it moves
        reap();
        if (__atomic_load_n(tx_.consumer, __ATOMIC_RELAXED) == before) return;
        break;
      case EINTR:
        break;
      default:  // ENETDOWN, ENXIO, ENOBUFS: descriptors wait in the ring for the interface to come back
        counters_.errors.add(1);
        return;
    }
  }
  pending_ = !drained();
}

uint32_t RingTransmit::reap() {
  uint32_t index = 0;
  const uint32_t n = xsk_ring_cons__peek(&completion_, kRingSize, &index);
  for (uint32_t i = 0; i < n; ++i) umem_.take_completed(*xsk_ring_cons__comp_addr(&completion_, index + i));
  if (n != 0) xsk_ring_cons__release(&completion_, n);
  in_flight_ -= n;
  return n;
}

TransmitTotals RingTransmit::totals() const {
  return {counters_.frames.read(), counters_.kicks.read(), counters_.errors.read(), 0};
}

SendProgress RingTransmit::progress() const {
  const uint64_t accepted = counters_.frames.read();
  const uint32_t waiting =
      __atomic_load_n(tx_.producer, __ATOMIC_RELAXED) - __atomic_load_n(tx_.consumer, __ATOMIC_ACQUIRE);
  return {accepted, accepted - waiting};
}

}  // namespace xebec
