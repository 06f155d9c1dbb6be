// SPDX-License-Identifier: BSD-2-Clause
// Sending by the AF_XDP TX ring.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <xdp/xsk.h>

#include "dataplane/transmit.h"
#include "dataplane/umem.h"

namespace xebec {

/// XDP_PKT_CONTD of linux/if_xdp.h, which Debian 12 has not: of xdp_desc::options, the packet goes on in the next
/// descriptor.
inline constexpr uint32_t kXdpPacketContinues = 1;

/// The AF_XDP TX ring: zero-copy where the driver can, else the kernel builds an skb per packet.
class RingTransmit final : public TransmitEngine {
 public:
  /// The rings belong to the port and outlive this.
  RingTransmit(Umem& umem, xsk_ring_prod& tx, xsk_ring_cons& completion, int fd);

  uint32_t submit(std::span<Frame> frames) override;
  void flush(bool more) override;
  uint32_t reap() override;
  bool pending() const override { return pending_; }
  std::string_view name() const override { return "ring"; }
  TransmitTotals totals() const override;
  SendProgress progress() const override;
  /// Frames submitted and not yet completed.
  uint32_t in_flight() const { return in_flight_; }

 private:
  bool drained() const;

  Umem& umem_;
  xsk_ring_prod& tx_;
  xsk_ring_cons& completion_;
  int fd_;
  bool pending_ = false;
  uint32_t in_flight_ = 0;
  TransmitCounters counters_;
};

}  // namespace xebec
