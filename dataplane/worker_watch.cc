// SPDX-License-Identifier: BSD-2-Clause
// A worker's batches while somebody captures.
#include "dataplane/worker.h"

#include "dataplane/clock.h"

namespace xebec {

void Worker::offer_watched(const CaptureTaps& taps, const Table& table, std::size_t ingress,
                           std::span<Frame> frames, std::span<Packet> packets, std::span<Decision> decisions,
                           bool held, uint64_t now_ns) {
  const uint64_t time_ns = time_of_day_ns();
  for (const auto& tap : taps.all()) tap->before(packets);
  (held ? forward_held : forward_batch)(table, *state_, packets, decisions, now_ns);
  for (const auto& tap : taps.all()) tap->decided(packets, decisions);
  dispatch(table, ingress, frames, packets, decisions);
  for (const auto& tap : taps.all()) tap->done(table, packets, decisions, time_ns);
}

void Worker::show_expired(const CaptureTaps& taps, uint64_t now_ns) {
  const uint64_t time_ns = time_of_day_ns();
  const uint16_t interface = ports_.empty() ? 0 : ports_.front().port->options().interface_index;
  held_.for_each_expired(now_ns, [&](const Frame& first, uint32_t length) {
    for (const auto& tap : taps.all())
      tap->gave_up({umem_->data(first), first.length()}, length, interface, time_ns);
  });
}

}  // namespace xebec
