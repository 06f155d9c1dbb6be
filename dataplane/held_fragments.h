// SPDX-License-Identifier: BSD-2-Clause
// Later fragments that came before their first: kept in their frames, in the order they came, for a bounded number and
// time. The frames are the worker's, in hand; nobody else sees them.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/limits.h"
#include "dataplane/umem.h"

namespace xebec {

class HeldFragments {
 public:
  static constexpr uint32_t kFrames = kHeldFrames;
  static constexpr uint64_t kPatienceNs = kHeldNs;

  bool empty() const { return size_ == 0; }
  uint32_t size() const { return size_; }
  uint32_t free() const { return kFrames - size_; }

  /// The frames of one packet; free() has been asked.
  void keep(std::span<Frame> packet, uint64_t since_ns);
  /// Whole packets, the oldest first, as many as fit; since_ns[i]: when out[i]'s packet came. Returns the frames.
  uint32_t take(std::span<Frame> out, std::span<uint64_t> since_ns);
  /// Calls see(first frame, bytes of the whole packet) of each that give_up() would recycle.
  template <typename See>
  void for_each_expired(uint64_t now_ns, See&& see) {
    for (uint32_t i = 0; i < size_ && now_ns >= at(i).since_ns + kPatienceNs; ++i) {
      const Frame& first = at(i).frame;
      uint32_t length = first.length();
      for (; at(i).frame.continues(); length += at(i).frame.length()) ++i;
      see(first, length);
    }
  }
  /// Recycles whole packets whose patience has ended by now_ns; returns how many.
  uint32_t give_up(uint64_t now_ns, Umem& umem);

 private:
  struct Held {
    Frame frame;
    uint64_t since_ns = 0;
  };
  Held& at(uint32_t index) { return ring_[(first_ + index) % kFrames]; }
  uint32_t frames_of_first();
  Frame pop();

  std::array<Held, kFrames> ring_;
  uint32_t first_ = 0;
  uint32_t size_ = 0;
};
static_assert(HeldFragments::kFrames >= kMaxPacketFrames);

}  // namespace xebec
