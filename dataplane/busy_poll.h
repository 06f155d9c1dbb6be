// SPDX-License-Identifier: BSD-2-Clause
// Busy polling: the worker itself drives the NIC's queue, interrupts stay off (kernel:
// Documentation/networking/napi.rst).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "dataplane/io_error.h"

namespace xebec {

/// Whether the driver sends from the NAPI that it receives with. Only then may SO_PREFER_BUSY_POLL be set: with it the kernel
/// leaves out the wake-up for transmit (xsk_no_wakeup), and polling the receive side has to send. virtio_net has a NAPI of its
/// own for transmit, and what was to be sent stayed in the ring (7.3: 14 of 16 connections without an answer, none after).
bool sends_when_polled(std::string_view driver);

/// Sets SO_BUSY_POLL alone: a receive call on the socket polls its queue, if the kernel knows that. False: refused (CAP_NET_ADMIN).
bool permit_busy_poll(int xsk_fd);

/// Sets SO_BUSY_POLL, SO_BUSY_POLL_BUDGET and, if `prefer`, SO_PREFER_BUSY_POLL on an AF_XDP socket. Needs CAP_NET_ADMIN.
tl::expected<void, IoError> enable_busy_poll(int xsk_fd, bool prefer);

/// Sets an interface's napi_defer_hard_irqs and gro_flush_timeout, and puts the old values back on
/// destruction.
class NapiTuning {
 public:
  static tl::expected<NapiTuning, IoError> apply(const std::string& interface);
  NapiTuning(NapiTuning&&) noexcept = default;
  NapiTuning& operator=(NapiTuning&&) = delete;
  ~NapiTuning();

 private:
  struct Saved {
    std::string path;
    std::string value;
  };
  NapiTuning() = default;
  std::vector<Saved> saved_;
};

}  // namespace xebec
