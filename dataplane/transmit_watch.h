// SPDX-License-Identifier: BSD-2-Clause
// A watch on one TX ring: has the kernel stopped taking descriptors from it? Pure, time is passed in.
#pragma once

#include <cstdint>

namespace xebec {

/// Where a TX ring stands.
struct TransmitProgress {
  uint32_t consumed = 0;  ///< the kernel's index, free-running
  uint32_t waiting = 0;   ///< descriptors behind it
};

class TransmitWatch {
 public:
  /// What is to be done now.
  struct Orders {
    bool tell_stuck = false;
    bool tell_recovered = false;
    bool kick = false;    ///< ask the kernel once more to send
    bool reopen = false;  ///< close the socket and bind a new one
  };

  /// `link_up`: a ring of an interface that is down, or without carrier, may wait for as long as that lasts.
  Orders observe(uint64_t now_ms, const TransmitProgress& progress, bool link_up);
  /// The ring is a new one.
  void reopened(uint64_t now_ms);

  bool stuck() const { return stuck_; }
  uint64_t times_stuck() const { return times_; }
  uint64_t stuck_for_ms(uint64_t now_ms) const { return now_ms - since_ms_; }

  /// A worker that has something to send asks the kernel every millisecond (dataplane/worker.cc), and a NIC that is
  /// paused by its neighbour gives up the frame within a second (802.3x pauses are 336 ms at 100 Mbit/s and less above).
  static constexpr uint64_t kStuckMs = 2000;
  /// A kick or a link that comes back mends it sooner. Binding again costs the queue some ten ms of packets.
  static constexpr uint64_t kReopenMs = 5000;
  /// And is no way to live: some drivers have fallen over sockets that come and go (docs/drivers.md).
  static constexpr uint64_t kBetweenReopensMs = 60'000;

 private:
  bool started_ = false;
  bool stuck_ = false;
  bool ever_reopened_ = false;
  uint32_t consumed_ = 0;
  uint64_t since_ms_ = 0;  // when the ring was last seen to move, or to have nothing to do
  uint64_t reopened_ms_ = 0;
  uint64_t times_ = 0;
};

}  // namespace xebec
