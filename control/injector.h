// SPDX-License-Identifier: BSD-2-Clause
// The injector's owner: loads bpf/inject.bpf.c for one worker, with a map that is to be the worker's packet
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "dataplane/inject_transmit.h"
#include "dataplane/umem_memory.h"

namespace xebec {

/// Outlives the worker whose ports send by it.
class Injector {
 public:
  /// Loads the program and its maps for so many frames, attaches it to a placeholder, and has it run once for
  /// the proof. The error is a sentence: why this kernel, or this process, cannot inject.
  static tl::expected<std::unique_ptr<Injector>, std::string> load(uint32_t frame_count);
  virtual ~Injector() = default;

  /// The packet memory, for the worker's UMEM.
  virtual tl::expected<UmemMemory, IoError> memory() const = 0;
  /// For a port of that worker that sends by the interface, whose MTU is known: the kernel redirects no frame that is longer
  /// than MTU, Ethernet header and one VLAN tag (include/linux/netdevice.h, is_skb_forwardable()), and says so nowhere.
  virtual InjectOptions options(int ifindex, uint32_t mtu) const = 0;
  /// Longest packet that a live frame holds here.
  virtual uint32_t max_length() const = 0;
  virtual const std::string& placeholder() const = 0;  ///< the device's name
};

}  // namespace xebec
