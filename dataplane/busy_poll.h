// SPDX-License-Identifier: BSD-2-Clause
// Busy polling: the worker itself drives the NIC's queue, interrupts stay off (kernel:
// Documentation/networking/napi.rst).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "dataplane/io_error.h"

namespace xebec {

/// Sets SO_PREFER_BUSY_POLL, SO_BUSY_POLL and SO_BUSY_POLL_BUDGET on an AF_XDP socket. Needs CAP_NET_ADMIN.
tl::expected<void, IoError> enable_busy_poll(int xsk_fd);

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
