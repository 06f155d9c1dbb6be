// SPDX-License-Identifier: BSD-2-Clause
// A worker's fragments that wait for their first: offered again when some worker has seen a first one, given up after
// their time.
#include <algorithm>

#include "dataplane/worker.h"

namespace xebec {

void Worker::read_fragments_of(const Worker& other) {
  state_->other_fragments.push_back(other.state_->fragments);
}

/// What dispatch() has left over.
void Worker::keep_held(std::span<Frame> frames, std::span<const uint64_t> held_since_ns, uint64_t now_ns) {
  for (std::size_t end = 0; end < frames.size();) {
    const std::size_t first = end;
    while (frames[end++].continues()) {
    }
    if (frames[first].empty()) continue;
    held_.keep(frames.subspan(first, end - first), held_since_ns.empty() ? now_ns : held_since_ns[first]);
  }
}

/// A reply never follows from it, so the port that it names means nothing: a later fragment is not answered.
void Worker::offer_held(uint64_t now_ns) {
  // Read before the tables: what is remembered from here on makes another offer.
  const uint64_t first_fragments = first_fragments_seen(*state_);
  if (first_fragments != first_fragments_offered_) {
    first_fragments_offered_ = first_fragments;
    std::array<Frame, kBatchSize> frames;
    std::array<uint64_t, kBatchSize> since_ns;
    for (uint32_t left = held_.size(); left != 0;) {
      const uint32_t n =
          held_.take(std::span(frames).first(std::min<std::size_t>(left, kBatchSize)), since_ns);
      offer(0, std::span(frames.data(), n), std::span(since_ns.data(), n), now_ns);
      left -= n;
    }
  }
  give_up_held(now_ns);
}

void Worker::give_up_held(uint64_t now_ns) {
  if (const CaptureTaps* taps = taps_.load(std::memory_order_seq_cst); taps != nullptr) [[unlikely]]
    show_expired(*taps, now_ns);
  drop_held(state_->counters, held_.give_up(now_ns, *umem_));
}

}  // namespace xebec
