// SPDX-License-Identifier: BSD-2-Clause
// A port: one (interface, queue) as its worker sees it, an AF_XDP socket with its four rings.
//
//   fill ring    worker -> kernel   empty frames to receive into
//   rx ring      kernel -> worker   received packets
//   tx ring      worker -> kernel   packets to send            (dataplane/ring_transmit.h)
//   completion   kernel -> worker   frames whose packet is out  (dataplane/ring_transmit.h)
//
// Opened on the control thread, used by one worker, closed on the control thread after the worker has ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <tl/expected.hpp>

#include "dataplane/counters.h"
#include "dataplane/inject_transmit.h"
#include "dataplane/io_error.h"
#include "dataplane/transmit.h"
#include "dataplane/transmit_watch.h"
#include "dataplane/umem.h"
#include "dataplane/xsk_socket.h"

namespace xebec {

struct PortOptions {
  std::string interface;
  uint16_t interface_index = 0;  ///< into the daemon's interfaces, not the kernel's ifindex
  uint32_t queue = 0;
  bool zerocopy = false;     ///< ask for XDP_ZEROCOPY; false asks for XDP_COPY
  bool multi_frame = false;  ///< receive packets that are longer than a frame (XDP_USE_SG, Linux 6.6)
  std::optional<InjectOptions> inject;  ///< send by the injector where it pays; absent: by the ring alone
};

/// Statistics of the kernel for the socket (XDP_STATISTICS, linux/if_xdp.h).
struct PortStatistics {
  uint64_t rx_dropped = 0;  ///< for other reasons, too long a frame among them
  uint64_t rx_invalid = 0;  ///< bad fill descriptors
  uint64_t tx_invalid = 0;  ///< bad tx descriptors
  uint64_t rx_ring_full = 0;
  uint64_t fill_ring_empty = 0;
};

class XskPort {
 public:
  explicit XskPort(PortOptions options) : options_(std::move(options)) {}
  ~XskPort() { close(); }
  XskPort(const XskPort&) = delete;
  XskPort& operator=(const XskPort&) = delete;

  /// Creates the socket, fills its fill ring and binds it. The first port of a Umem registers it with the kernel, and with its
  /// options decides how those that follow are bound. EBUSY and ENOBUFS are retried with backoff until `patience` has passed:
  /// the kernel lets go of a dead process's socket some hundred ms late. After an error it wants to be closed, as the Umem's other
  /// ports do: frames lie in its fill ring.
  tl::expected<void, IoError> open(Umem& umem, std::chrono::milliseconds patience);

  /// Closes the socket, and with it gives up the frames that are in its rings.
  void close();

  /// Takes up to frames.size() received frames, whole packets only; returns how many. frames.size() is at least
  /// kMaxPacketFrames.
  uint32_t receive(std::span<Frame> frames);
  /// Tops up the fill ring from the free frames, and wakes the driver if it asked for that.
  void refill();
  /// One busy-poll round: the kernel polls the NIC's queue on this thread, if it has a NAPI id. Wakes the driver in any case.
  void busy_poll();

  /// Where the TX ring stands; any thread.
  TransmitProgress transmit_progress() const;
  /// Asks the kernel to send what waits in the TX ring; any thread.
  void kick();

  TransmitEngine& transmit() { return *transmit_; }
  const TransmitEngine& transmit() const { return *transmit_; }
  /// The transmit engine, if it is the injector; else nullptr.
  InjectTransmit* injection() { return injection_; }
  const PortOptions& options() const { return options_; }
  int fd() const { return socket_.fd(); }
  bool zerocopy() const { return zerocopy_; }    ///< as read back from the kernel (XDP_OPTIONS)
  uint32_t napi_id() const { return napi_id_; }  ///< 0: none was found, busy polling does nothing
  /// Looks for the queue's NAPI id, if it is not known, and returns it or 0. Before Linux 6.14 it comes with the first packet, and
  /// with zero-copy also with the first system call that may poll. The control thread's, while the worker runs or not.
  uint32_t find_napi_id();
  PortStatistics statistics() const;

 private:
  tl::expected<void, IoError> bind_once(Umem& umem);
  void read_back();
  void read_napi_id();
  void give_frames();

  PortOptions options_;
  Umem* umem_ = nullptr;
  XskSocket socket_;
  std::unique_ptr<TransmitEngine> transmit_;
  InjectTransmit* injection_ = nullptr;  // transmit_, or nothing
  bool zerocopy_ = false;
  uint32_t napi_id_ = 0;
};

}  // namespace xebec
