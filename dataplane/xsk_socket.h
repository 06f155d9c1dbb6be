// SPDX-License-Identifier: BSD-2-Clause
// An AF_XDP socket and its four rings, in the kernel's own steps (Documentation/networking/af_xdp.rst): open, register
// memory or share it, fill the fill ring, bind. libxdp has rings made and the socket bound by one call, which leaves no moment to
// fill in between; drivers take their first empty frames while they bind.
#pragma once

#include <cstdint>
#include <string>

#include <xdp/xsk.h>
#include <tl/expected.hpp>

#include "dataplane/io_error.h"
#include "dataplane/umem.h"

namespace xebec {

class XskSocket {
 public:
  XskSocket() = default;
  ~XskSocket() { close(); }
  XskSocket(const XskSocket&) = delete;  // who uses the rings has references to them
  XskSocket& operator=(const XskSocket&) = delete;

  /// A socket with four rings of kRingSize, of no queue yet. Needs CAP_NET_RAW (EPERM).
  tl::expected<void, IoError> open();
  /// Binds it to a queue. `flags` (XDP_COPY and so on) count for the one that its UMEM is registered with; the others
  /// are bound as that one is, and after it. Returns 0, or an errno; after EBUSY it may be tried again.
  int bind(Umem& umem, int ifindex, uint32_t queue, uint16_t flags);
  /// Also unmaps the rings: as long as they are mapped the kernel keeps the queue.
  void close();

  int fd() const { return fd_; }
  xsk_ring_prod& fill() { return fill_; }
  xsk_ring_cons& completion() { return completion_; }
  xsk_ring_cons& rx() { return rx_; }
  xsk_ring_prod& tx() { return tx_; }
  const xsk_ring_prod& tx() const { return tx_; }

 private:
  struct Mapping {
    void* at = nullptr;
    std::size_t bytes = 0;
  };
  int make_rings();

  int fd_ = -1;
  Mapping mappings_[4];
  xsk_ring_prod fill_{};
  xsk_ring_cons completion_{};
  xsk_ring_cons rx_{};
  xsk_ring_prod tx_{};
};

}  // namespace xebec
