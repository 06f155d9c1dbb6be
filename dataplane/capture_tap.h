// SPDX-License-Identifier: BSD-2-Clause
// Where a worker's batches can be watched: packets as they came, and what became of them. There while a capture runs.
//
//   before(): copies what is sampled, since forwarding rewrites in place
//   decided(): copies what leaves, before the rings take it; and drops, which nobody rewrites, if only those are asked for
//   done(): knows every verdict, those of full rings too; what the filter wants goes into the ring
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/capture_ring.h"
#include "dataplane/forward.h"
#include "dataplane/packet.h"
#include "dataplane/table.h"

namespace xebec {

constexpr uint64_t bit_of(DropReason reason) {
  return uint64_t{1} << static_cast<unsigned>(reason);
}
static_assert(kDropReasonCount < 64);
inline constexpr uint64_t kAllDropReasons = (uint64_t{1} << kDropReasonCount) - 1;

struct CaptureFilter {
  uint64_t reasons = 0;  ///< bits; 0: whatever the verdict
  std::string service;   ///< empty: any, and packets of none
  std::optional<IpAddress> backend;
  uint32_t snaplen = kMaxCapturedBytes;  ///< at most that
  uint32_t sample = 1;                   ///< one packet in so many is looked at
  bool sent = false;                     ///< what leaves, too
};

/// One capture's, at one worker.
class CaptureTap {
 public:
  CaptureTap(CaptureFilter filter, std::size_t ring_bytes);

  void before(std::span<const Packet> packets);
  void decided(std::span<const Packet> packets, std::span<const Decision> decisions);
  void done(const Table& table, std::span<const Packet> packets, std::span<const Decision> decisions,
            uint64_t time_ns);
  /// A fragment that nobody waits for any more: `first` is its first frame.
  void gave_up(std::span<const uint8_t> first, uint32_t length, uint16_t interface, uint64_t time_ns);

  CaptureRing& ring() { return ring_; }

 private:
  /// Copies of a batch's packets, each in a place of its own.
  struct Copies {
    std::unique_ptr<uint8_t[]> memory;
    std::array<uint32_t, kBatchSize> length{};  ///< of the whole packet
    std::array<uint32_t, kBatchSize> captured{};
  };
  bool sampled() { return ++count_ % filter_.sample == 0; }
  bool wants(const Table& table, const Decision& decision) const;
  void copy(Copies& copies, std::size_t index, const Packet& packet) const;
  void push(const Copies& copies, std::size_t index, CaptureRecord record);

  CaptureFilter filter_;
  bool late_;  // only dropped packets that are as they came: copied once it is known which
  uint64_t count_ = 0;
  uint64_t sampled_ = 0;  // a bit a packet of the batch
  Copies received_, sent_;
  CaptureRing ring_;
};

/// All captures', at one worker. Made anew for every change.
class CaptureTaps {
 public:
  explicit CaptureTaps(std::vector<std::shared_ptr<CaptureTap>> taps) : taps_(std::move(taps)) {}
  std::span<const std::shared_ptr<CaptureTap>> all() const { return taps_; }

 private:
  std::vector<std::shared_ptr<CaptureTap>> taps_;
};

}  // namespace xebec
