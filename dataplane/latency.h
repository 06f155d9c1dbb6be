// SPDX-License-Identifier: BSD-2-Clause
// How long packets stay in a worker, from the moment it takes them from the rx ring until the kernel has them to send:
// measured on one packet in so many batches, and kept as a histogram.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/counters.h"

namespace xebec {

/// Written by one worker, read by anyone. Bucket i counts what took at most bound_ns(i) and more than bound_ns(i - 1);
/// the last one has no bound.
class LatencyHistogram {
 public:
  /// A packet through the rings takes a microsecond at best, and what takes a second is a fault: 0.5 us to 1.07 s.
  static constexpr uint32_t kFirstBit = 9;
  static constexpr uint32_t kLastBit = 30;
  static constexpr std::size_t kBuckets = kLastBit - kFirstBit + 2;

  /// For i < kBuckets - 1.
  static constexpr uint64_t bound_ns(std::size_t i) { return uint64_t{1} << (kFirstBit + i); }
  static constexpr std::size_t bucket_of(uint64_t ns) {
    const auto bits = static_cast<uint32_t>(std::bit_width(ns == 0 ? 0 : ns - 1));  // ns <= 2^bits
    if (bits <= kFirstBit) return 0;
    return bits > kLastBit ? kBuckets - 1 : bits - kFirstBit;
  }

  void record(uint64_t ns) {
    counts_[bucket_of(ns)].add(1);
    sum_ns_.add(ns);
  }
  uint64_t count(std::size_t bucket) const { return counts_[bucket].read(); }
  uint64_t sum_ns() const { return sum_ns_.read(); }

 private:
  std::array<Counter, kBuckets> counts_;
  Counter sum_ns_;
};

/// Says which batch to time, and keeps the packet that is being timed. One at a time: while it is on its way no other
/// is begun.
class LatencySampler {
 public:
  /// Two readings of the clock (some 25 ns each) and two looks at the rings, once in so many batches: below 2 ns a
  /// batch. At a packet a millisecond it is still 15 samples a second.
  static constexpr uint32_t kBatchesPerSample = 64;

  /// Once for each batch.
  bool due() {
    if (--left_ != 0) return false;
    left_ = kBatchesPerSample;
    return !timing_;
  }

  /// The packet was received at `at_ns`; it is sent as soon as the engine of `port` has sent `goal` frames.
  void begin(uint64_t at_ns, std::size_t port, uint64_t goal) {
    began_ns_ = at_ns;
    port_ = port;
    goal_ = goal;
    timing_ = true;
  }
  bool timing() const { return timing_; }
  std::size_t port() const { return port_; }
  bool reached(uint64_t sent) const { return sent >= goal_; }
  void end(uint64_t now_ns) {
    histogram_.record(now_ns - began_ns_);
    timing_ = false;
  }
  /// The packet's port is gone.
  void forget() { timing_ = false; }

  const LatencyHistogram& histogram() const { return histogram_; }

 private:
  uint32_t left_ = kBatchesPerSample;
  bool timing_ = false;
  uint64_t began_ns_ = 0;
  uint64_t goal_ = 0;
  std::size_t port_ = 0;
  LatencyHistogram histogram_;
};

}  // namespace xebec
