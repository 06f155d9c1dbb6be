// SPDX-License-Identifier: BSD-2-Clause
// The packets of a capture through the core, one at a time, as one worker would have met them.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/capture_file.h"
#include "control/config.h"
#include "control/shim_view.h"
#include "dataplane/forward.h"
#include "dataplane/nat_table.h"

namespace xebec {

/// What became of one packet. Names are those of the JSON; an empty one does not apply.
struct PacketExplanation {
  uint64_t packet = 0;  ///< its place in the capture, from 1
  std::string_view verdict;
  std::string_view reason;  ///< of a drop
  std::string_view service;
  std::string backend;
  std::string_view mode;
  std::string_view flow;
  std::vector<uint8_t> out;  ///< the frame that leaves
  std::vector<std::vector<uint8_t>>
      more_out;         ///< the other pieces of a packet that is cut; `out` is the first
  int64_t seconds = 0;  ///< the packet's time
  uint32_t nanoseconds = 0;

  nlohmann::ordered_json json() const;
};

/// Packets by what became of them.
struct CaptureTotals {
  uint64_t packets = 0;
  uint64_t cut_short = 0;  ///< by the capture's snapshot length
  std::map<std::string_view, uint64_t> verdicts;
  std::map<std::string_view, uint64_t> reasons;

  /// "3 packets: 1 forward, 1 pass, 0 reply, 1 drop (ttl_expired 1)"
  std::string summary() const;
};

/// A shim and one worker that has seen nothing yet. The capture's times are its clock, from `start_ns` on.
class CaptureExplainer {
 public:
  /// `table` outlives this and was built at `start_ns`.
  CaptureExplainer(const Table& table, const FlowTableConfig& flows, const NatTableConfig& nat, ShimView shim,
                   uint64_t start_ns);

  /// The next packet. Returns the packets that are settled now, in the capture's order: one that waits for its datagram's first
  /// fragment holds up those behind it until that comes or the time is over.
  std::vector<PacketExplanation> take(const CapturedPacket& packet);
  /// The capture is over: what still waits is given up.
  std::vector<PacketExplanation> finish();
  /// A packet for itself: it waits for nothing.
  PacketExplanation explain(const CapturedPacket& packet);
  const CaptureTotals& totals() const { return totals_; }
  const WorkerCounters& counters() const { return state_->counters; }

 private:
  void advance_clock(const CapturedPacket& packet);
  /// A packet that came, and, while `bytes` are there, waits for its first fragment.
  struct Waiting {
    PacketExplanation explanation;
    std::vector<uint8_t> bytes;
    uint64_t until_ns = 0;
  };
  PacketExplanation begin(const CapturedPacket& packet);
  /// offered: it was there before.
  PacketExplanation forward(std::span<const uint8_t> bytes, bool offered);
  void cut(const Packet& packet, const Decision& decision, PacketExplanation& result) const;
  void give_up_expired();
  void offer_held();
  static void give_up(Waiting& waiting, WorkerCounters& counters);
  void count(const PacketExplanation& explanation);
  std::vector<PacketExplanation> settled();

  const Table& table_;
  ShimView shim_;
  NatTables nat_;
  std::unique_ptr<ForwardState> state_;
  std::vector<uint8_t> frame_;
  std::deque<Waiting> waiting_;   ///< the oldest waits for its first fragment, unless this is empty
  std::vector<Waiting*> held_;    ///< those in `waiting_` that still wait; at most kHeldFrames
  uint64_t forgot_at_ns_ = 0;     ///< when mappings were last looked through
  uint64_t first_fragments_ = 0;  ///< that had been seen when the held ones were last offered
  CaptureTotals totals_;
  uint64_t now_ns_;
  std::optional<std::pair<int64_t, uint32_t>> latest_;  ///< time of the capture: seconds, nanoseconds
};

}  // namespace xebec
