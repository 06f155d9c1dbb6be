// SPDX-License-Identifier: BSD-2-Clause
// Our side: forward_batch on frames like a worker's, which lie in 4,096-byte chunks and have waited in a
// ring.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/traffic.h"
#include "dataplane/forward.h"
#include "dataplane/umem_memory.h"

namespace xebec::bench {

class Forwarder {
 public:
  Forwarder(const Scenario& scenario, const Traffic& traffic, uint32_t capacity);
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;
  ~Forwarder();

  /// Opens every flow, and looks at what comes out of each packet.
  void warm_and_check();

  /// CPU time of a packet of known flows in forward_batch alone, over `packets` of the sequence.
  double ns_per_packet(uint32_t packets);

 private:
  void receive(uint32_t count);
  void evict();
  void forward(uint32_t first);
  double forward_warm();  ///< a ring; CPU time
  double forward_cold();
  void check(uint32_t frame) const;

  const Scenario& scenario_;
  const Traffic& traffic_;
  std::unique_ptr<const Table> table_;
  std::unique_ptr<NatTables> nat_;
  std::unique_ptr<ForwardState> state_;
  std::vector<uint8_t> evicting_;  ///< of cold scenarios
  UmemMemory frames_;              ///< the memory that a worker's frames have
  uint8_t* memory_;
  std::vector<uint32_t> flows_in_frames_;  ///< position in the sequence of the packet in each frame
  std::vector<Packet> packets_;
  std::vector<Decision> decisions_;
  std::size_t next_ = 0;
  uint64_t now_ns_ = 1'000'000'000'000;
};

}  // namespace xebec::bench
