// SPDX-License-Identifier: BSD-2-Clause
// Sending by injection: one BPF_PROG_RUN for all packets that a port has gathered, each copied by the program
// from the UMEM into an XDP frame and redirected to the egress interface. No skb: 88 to 172 ns a packet at
// 256 a call on veth, where the copy-mode ring takes 700.
//
// A frame is free again when the call returns. What happens behind the redirect (the egress queue is full,
// the interface is down) the kernel tells nobody; it counts it on the interface.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "dataplane/inject_policy.h"
#include "dataplane/ring_transmit.h"
#include "dataplane/transmit.h"
#include "dataplane/umem.h"

namespace xebec {

/// Packets of one call at most. Of the gain over single packets 256 have most, 1,024 nearly all (88 and 70 ns
/// a packet, 63 with a million).
inline constexpr std::size_t kInjectCapacity = 1024;

/// Length of each XDP frame before the program sets it: XEBEC_INJECT_TEMPLATE (bpf/abi.h).
inline constexpr std::size_t kInjectTemplateLength = 64;

/// The list that the program works on, as it lies in the memory that both map: bpf/abi.h struct
/// xebec_inject_list.
struct InjectList {
  struct Packet {
    uint32_t chunk = 0;
    uint16_t begin = 0;
    uint16_t length = 0;
  };
  uint32_t next = 0;
  uint32_t count = 0;
  uint32_t ifindex = 0;
  uint32_t failed = 0;
  std::array<Packet, kInjectCapacity> packets;
};

/// A loaded program whose UMEM map is the memory of the worker's UMEM. The ports of one worker share it: one
/// call at a time.
struct InjectOptions {
  int program_fd = -1;
  InjectList* list = nullptr;
  uint32_t ifindex = 0;     ///< where the port's packets go
  uint32_t max_begin = 0;   ///< of a packet in its chunk
  uint32_t max_length = 0;  ///< of a packet; longer ones go by the ring
};

/// One BPF_PROG_RUN over `packets` entries of the list from list->next on. 0 or an errno; list->next tells
/// how far it came.
int run_injector(int program_fd, uint32_t packets);

class InjectTransmit final : public TransmitEngine {
 public:
  InjectTransmit(Umem& umem, std::unique_ptr<RingTransmit> ring, const InjectOptions& options);
  ~InjectTransmit() override;  ///< sends what is held

  uint32_t submit(std::span<Frame> frames) override;
  void flush(bool more) override;
  uint32_t reap() override { return ring_->reap(); }
  bool pending() const override { return count_ != 0 || ring_->pending(); }
  uint64_t rest_ns() const override;
  /// "inject"; "ring" while injecting is not permitted, and once the kernel has refused to run the program.
  std::string_view name() const override { return usable() ? "inject" : "ring"; }
  TransmitTotals totals() const override;
  SendProgress progress() const override;

  /// From any thread. Whether the driver takes redirected packets at present: what one that does not is given is
  /// lost. From the next packets on; true at first.
  void permit(bool allowed) { permitted_.store(allowed, std::memory_order_relaxed); }

 private:
  bool usable() const {
    return permitted_.load(std::memory_order_relaxed) && !broken_.load(std::memory_order_relaxed);
  }
  bool fits(const Frame& frame) const;
  InjectPolicy::Way choose();
  void inject();
  uint32_t run();
  void forget(uint32_t n);
  void send_by_ring();

  Umem& umem_;
  std::unique_ptr<RingTransmit> ring_;
  InjectOptions options_;
  InjectPolicy policy_;
  std::array<Frame, kInjectCapacity> gathered_;
  uint32_t count_ = 0;
  bool misfit_ = false;   // one of the gathered does not fit a live frame
  bool resting_ = false;  // the last flush() put off what has gathered
  uint32_t count_at_rest_ = 0;
  std::atomic<bool> permitted_{true};
  std::atomic<bool> broken_{false};
  TransmitCounters counters_;
};

}  // namespace xebec
