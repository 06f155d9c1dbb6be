// SPDX-License-Identifier: BSD-2-Clause
// Packets of a flow that nobody sent, run through forward_batch to see what it does with them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "control/explain.h"
#include "dataplane/forward.h"

namespace xebec {

/// What happened to one.
struct TrialResult {
  Decision decision;
  uint64_t hash = 0;        ///< that the core chose by; meaningless where no service was found
  uint32_t in_length = 0;   ///< of the frame
  uint32_t out_length = 0;  ///< of the frame; 0 unless sent
};

/// A worker that has seen nothing yet, and frames of `tuple` for it: untagged, DF, zeros as payload.
class Trial {
 public:
  enum class Kind : uint8_t {
    opening,  ///< TCP: a SYN
    middle,   ///< TCP: an ACK
  };

  Trial(const Table& table, const Tuple& tuple, uint64_t now_ns);

  /// The shortest frame there is of the protocol.
  TrialResult send(Kind kind);
  /// The longest opening packet that is forwarded; decision.verdict is not `forward` if none is.
  TrialResult send_longest();

 private:
  TrialResult send(Kind kind, uint32_t ip_length);
  void write(Kind kind, uint32_t ip_length);

  const Table& table_;
  Tuple tuple_;
  uint64_t now_ns_;
  std::unique_ptr<ForwardState> state_;
  std::vector<uint8_t> memory_;
};

}  // namespace xebec
