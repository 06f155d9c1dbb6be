// SPDX-License-Identifier: BSD-2-Clause
// The worker's sampled timing of packets, dataplane/latency.h.
#include "dataplane/worker.h"

#include "dataplane/clock.h"

namespace xebec {

/// Offers a batch, and begins to time the first packet of it that is sent by the first port that sends any.
void Worker::offer_timed(std::size_t ingress, std::span<Frame> frames, uint64_t now_ns) {
  const uint64_t began = monotonic_ns();
  std::array<uint64_t, kMaxInterfaces> accepted{};
  for (std::size_t i = 0; i < ports_.size(); ++i)
    accepted[i] = ports_[i].port->transmit().progress().accepted;
  offer(ingress, frames, {}, now_ns);
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i].port->transmit().progress().accepted == accepted[i]) continue;
    latency_.begin(began, i, accepted[i] + 1);
    return;
  }
}

/// After the engines were flushed. An engine with nothing pending has given everything away, though a zero-copy driver may
/// not have moved the ring's index yet: it will, while this worker sleeps.
void Worker::finish_timing() {
  const TransmitEngine& engine = ports_[latency_.port()].port->transmit();
  if (engine.pending() && !latency_.reached(engine.progress().sent)) return;
  latency_.end(monotonic_ns());
}

}  // namespace xebec
