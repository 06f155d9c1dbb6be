// SPDX-License-Identifier: BSD-2-Clause
// A packet as the pure part of the data plane holds it: bytes in memory that may be changed, and how far it may grow.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/limits.h"

namespace xebec {

/// A packet in a frame, or in several: then all its headers are in the first. The memory from data - headroom to
/// data + room is the first frame's own and may be written.
struct Packet {
  uint8_t* data = nullptr;
  uint32_t length = 0;
  uint32_t headroom = 0;     ///< bytes free before data
  uint32_t room = 0;         ///< bytes from data to the end of the frame; length <= room
  uint32_t rest_length = 0;  ///< bytes of the packet in further frames
  std::span<std::span<const uint8_t>>
      rest{};              ///< those bytes, frame by frame; what is cut off gets shorter here, too
  uint16_t interface = 0;  ///< it came in by: index into the daemon's interfaces
};

/// Pads with zeros to kMinFrameLength, as far as there is room.
void pad(Packet& packet);

/// Moves the beginning of the packet by `bytes` towards lower addresses, or higher ones if negative.
inline void move_front(Packet& packet, int32_t bytes) {
  packet.data -= bytes;
  packet.length += static_cast<uint32_t>(bytes);
  packet.headroom -= static_cast<uint32_t>(bytes);
  packet.room += static_cast<uint32_t>(bytes);
}

/// Cuts what lies behind the IP packet (link padding, or a trailer somebody added) and pads with zeros, never
/// with the old bytes of the frame. For a packet in one frame.
inline void fit_length(Packet& packet, uint32_t length) {
  packet.length = length;
  if (length >= kMinFrameLength) return;
  constexpr uint32_t kLastWord = kMinFrameLength - sizeof(uint64_t);
  if (length >= kLastWord && packet.room >= kMinFrameLength) {
    // A bare TCP segment, the usual short packet: one masked word, where calling memset() took 14 instructions (callgrind).
    uint64_t word;
    std::memcpy(&word, packet.data + kLastWord, sizeof word);
    word &= (uint64_t{1} << (length - kLastWord) * 8) - 1;
    std::memcpy(packet.data + kLastWord, &word, sizeof word);
    packet.length = kMinFrameLength;
    return;
  }
  pad(packet);
}

/// fit_length() for a packet in one frame or several. length: of the whole packet.
void fit_frames(Packet& packet, uint32_t length);

/// Sum (dataplane/checksum.h) of `length` bytes from `offset` on, over all frames of the packet.
uint64_t packet_sum(const Packet& packet, uint32_t offset, uint32_t length);

}  // namespace xebec
