// SPDX-License-Identifier: BSD-2-Clause
// The peer: an in-kernel balancer (compare/baseline.bpf.c) on the same traffic, run by BPF_PROG_RUN. Needs
// root.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/traffic.h"

namespace xebec::bench {

class KernelPeer {
 public:
  /// Room for `capacity` connections; everything else as the traffic needs it. Ends the process if the kernel
  /// says no.
  KernelPeer(const Scenario& scenario, const Traffic& traffic, uint32_t capacity);
  ~KernelPeer();
  KernelPeer(const KernelPeer&) = delete;
  KernelPeer& operator=(const KernelPeer&) = delete;

  /// Sends each flow's packet once, looks at what comes out of some, and remembers every flow on the way.
  void warm_and_check();

  /// CPU time of a packet of known flows, over `packets` of the sequence: balancer with wrapper, less the
  /// wrapper alone.
  double ns_per_packet(uint32_t packets);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace xebec::bench
