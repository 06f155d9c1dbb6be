// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/xsk_port.h"

#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "dataplane/busy_poll.h"
#include "dataplane/ring_transmit.h"

namespace xebec {
namespace {

// Newer than the headers of Debian 12; values from include/uapi of Linux 6.17.
constexpr int kXdpMaxTxSkbBudget = 9;   // XDP_MAX_TX_SKB_BUDGET, linux/if_xdp.h
constexpr uint16_t kXdpUseSg = 1 << 4;  // XDP_USE_SG, linux/if_xdp.h

// Copy-mode transmit charges every skb to the socket until the receiver has consumed it; the default buffer
// holds a few hundred packets and then stalls the ring.
constexpr int kSendBufferBytes = 16 << 20;

bool continues(const xdp_desc& descriptor) {
  return (descriptor.options & kXdpPacketContinues) != 0;
}

using namespace std::chrono_literals;
constexpr auto kFirstBackoff = 5ms;
constexpr auto kLongestBackoff = 80ms;

}  // namespace

void XskPort::close() {
  injection_ = nullptr;
  transmit_.reset();  // it may still have something to send by the socket
  socket_.close();
}

tl::expected<void, IoError> XskPort::open(Umem& umem, std::chrono::milliseconds patience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  auto backoff = std::chrono::milliseconds(kFirstBackoff);
  umem_ = &umem;
  if (auto made = socket_.open(); !made) return made;
  if (umem.registered_with() < 0) {
    if (auto registered = umem.register_with(fd()); !registered) return registered;
  }
  // Drivers take their first empty frames when the socket is bound, and some (ice) have to find them then.
  give_frames();
  for (;;) {
    auto bound = bind_once(umem);
    if (bound) break;
    const bool passing = bound.error().code == EBUSY || bound.error().code == ENOBUFS;
    if (!passing || std::chrono::steady_clock::now() + backoff > give_up) return bound;
    std::this_thread::sleep_for(backoff);
    backoff = std::min(backoff * 2, std::chrono::milliseconds(kLongestBackoff));
  }
  read_back();
  auto ring = std::make_unique<RingTransmit>(umem, socket_.tx(), socket_.completion(), fd());
  if (options_.inject) {
    auto inject = std::make_unique<InjectTransmit>(umem, std::move(ring), *options_.inject);
    injection_ = inject.get();
    transmit_ = std::move(inject);
  } else {
    transmit_ = std::move(ring);
  }
  refill();
  return {};
}

tl::expected<void, IoError> XskPort::bind_once(Umem& umem) {
  const auto flags =
      static_cast<uint16_t>(XDP_USE_NEED_WAKEUP | (options_.zerocopy ? XDP_ZEROCOPY : XDP_COPY) |
                            (options_.multi_frame ? kXdpUseSg : 0));
  const auto ifindex = static_cast<int>(if_nametoindex(options_.interface.c_str()));
  const int error = ifindex == 0 ? ENODEV : socket_.bind(umem, ifindex, options_.queue, flags);
  if (error == 0) return {};
  const char* why = error == EBUSY        ? "another socket holds the queue"
                    : error == EOPNOTSUPP ? "the driver has no zero-copy"
                    : error == EINVAL && options_.multi_frame
                        ? "packets longer than a frame need Linux 6.6, or a smaller MTU"
                        : std::strerror(error);
  return tl::unexpected(
      IoError{error, fmt::format("cannot bind an AF_XDP socket to {} queue {} ({}): {}", options_.interface,
                                 options_.queue, options_.zerocopy ? "zero-copy" : "copy", why)});
}

void XskPort::read_back() {
  xdp_options options{};
  socklen_t length = sizeof options;
  if (getsockopt(fd(), SOL_XDP, XDP_OPTIONS, &options, &length) == 0) {
    zerocopy_ = (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  }
  read_napi_id();

  // All three are improvements only: where the kernel refuses one, sending is slower, not wrong.
  if (setsockopt(fd(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof kSendBufferBytes) != 0) {
    (void)setsockopt(fd(), SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
  }
  const uint32_t budget = kRingSize;
  (void)setsockopt(fd(), SOL_XDP, kXdpMaxTxSkbBudget, &budget, sizeof budget);
}

void XskPort::read_napi_id() {
  socklen_t length = sizeof napi_id_;
  if (getsockopt(fd(), SOL_SOCKET, SO_INCOMING_NAPI_ID, &napi_id_, &length) != 0) napi_id_ = 0;
}

uint32_t XskPort::find_napi_id() {
  if (napi_id_ != 0) return napi_id_;
  if (permit_busy_poll(fd())) busy_poll();
  read_napi_id();
  return napi_id_;
}

uint32_t XskPort::receive(std::span<Frame> frames) {
  uint32_t index = 0;
  const uint32_t n = xsk_ring_cons__peek(&socket_.rx(), static_cast<uint32_t>(frames.size()), &index);
  // What the ring holds may end within a packet; its beginning waits there for the rest.
  uint32_t whole = n;
  while (whole != 0 && continues(*xsk_ring_cons__rx_desc(&socket_.rx(), index + whole - 1))) --whole;
  for (uint32_t i = 0; i < whole; ++i) {
    const xdp_desc* descriptor = xsk_ring_cons__rx_desc(&socket_.rx(), index + i);
    frames[i] = umem_->take_received(descriptor->addr, descriptor->len, continues(*descriptor));
  }
  if (whole != n) xsk_ring_cons__cancel(&socket_.rx(), n - whole);
  if (whole != 0) xsk_ring_cons__release(&socket_.rx(), whole);
  return whole;
}

void XskPort::give_frames() {
  // In batches: below that the ring's shared cache line would bounce for a handful of frames.
  const uint32_t space = xsk_prod_nb_free(&socket_.fill(), kBatchSize);
  const uint32_t n = std::min(space, umem_->free_count());
  uint32_t index = 0;
  if (n >= kBatchSize && xsk_ring_prod__reserve(&socket_.fill(), n, &index) == n) {
    for (uint32_t i = 0; i < n; ++i) {
      *xsk_ring_prod__fill_addr(&socket_.fill(), index + i) = umem_->give_to_fill(umem_->allocate());
    }
    xsk_ring_prod__submit(&socket_.fill(), n);
  }
}

void XskPort::refill() {
  give_frames();
  if (xsk_ring_prod__needs_wakeup(&socket_.fill())) busy_poll();
}

void XskPort::busy_poll() {
  (void)recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

TransmitProgress XskPort::transmit_progress() const {
  // The consumer first: what is put in between counts as waiting, never as less than nothing.
  const uint32_t consumed = __atomic_load_n(socket_.tx().consumer, __ATOMIC_ACQUIRE);
  return {consumed, __atomic_load_n(socket_.tx().producer, __ATOMIC_ACQUIRE) - consumed};
}

void XskPort::kick() {
  (void)sendto(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
}

PortStatistics XskPort::statistics() const {
  xdp_statistics s{};
  socklen_t length = sizeof s;
  PortStatistics result;
  if (getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &s, &length) != 0) return result;
  result.rx_dropped = s.rx_dropped;
  result.rx_invalid = s.rx_invalid_descs;
  result.tx_invalid = s.tx_invalid_descs;
  result.rx_ring_full = s.rx_ring_full;
  result.fill_ring_empty = s.rx_fill_ring_empty_descs;
  return result;
}

}  // namespace xebec
