// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/held_fragments.h"

#include <cassert>

namespace xebec {

void HeldFragments::keep(std::span<Frame> packet, uint64_t since_ns) {
  assert(packet.size() <= free());
  for (Frame& frame : packet) {
    Held& place = at(size_++);
    place.frame = std::move(frame);
    place.since_ns = since_ns;
  }
}

uint32_t HeldFragments::frames_of_first() {
  uint32_t frames = 1;
  while (at(frames - 1).frame.continues()) ++frames;
  return frames;
}

Frame HeldFragments::pop() {
  Frame frame = std::move(at(0).frame);
  first_ = (first_ + 1) % kFrames;
  --size_;
  return frame;
}

uint32_t HeldFragments::take(std::span<Frame> out, std::span<uint64_t> since_ns) {
  uint32_t taken = 0;
  while (!empty()) {
    const uint32_t frames = frames_of_first();
    if (frames > out.size() - taken) break;
    for (uint32_t i = 0; i < frames; ++i) {
      since_ns[taken] = at(0).since_ns;
      out[taken++] = pop();
    }
  }
  return taken;
}

uint32_t HeldFragments::give_up(uint64_t now_ns, Umem& umem) {
  uint32_t packets = 0;
  for (; !empty() && now_ns >= at(0).since_ns + kPatienceNs; ++packets) {
    for (uint32_t left = frames_of_first(); left != 0; --left) umem.recycle(pop());
  }
  return packets;
}

}  // namespace xebec
