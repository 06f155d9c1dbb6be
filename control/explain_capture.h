// SPDX-License-Identifier: BSD-2-Clause
// The packets of a capture through the core, one at a time, as one worker would have met them.
#pragma once

#include <cstdint>
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
  std::span<const uint8_t> out;  ///< the frame that leaves; valid until the next packet

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
  CaptureExplainer(const Table& table, const FlowTableConfig& flows, ShimView shim, uint64_t start_ns);

  PacketExplanation explain(const CapturedPacket& packet);
  const CaptureTotals& totals() const { return totals_; }
  const WorkerCounters& counters() const { return state_->counters; }

 private:
  void advance_clock(const CapturedPacket& packet);
  PacketExplanation forward(const CapturedPacket& packet);

  const Table& table_;
  ShimView shim_;
  std::unique_ptr<ForwardState> state_;
  std::vector<uint8_t> frame_;
  CaptureTotals totals_;
  uint64_t now_ns_;
  std::optional<std::pair<int64_t, uint32_t>> latest_;  ///< time of the capture: seconds, nanoseconds
};

}  // namespace xebec
