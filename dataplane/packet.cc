// SPDX-License-Identifier: BSD-2-Clause
// A packet in one frame or several.
#include "dataplane/packet.h"

#include <algorithm>

#include "dataplane/checksum.h"

namespace xebec {

void pad(Packet& packet) {
  const uint32_t padded = std::min(kMinFrameLength, packet.room);
  if (packet.length >= padded) return;
  std::memset(packet.data + packet.length, 0, padded - packet.length);
  packet.length = padded;
}

void fit_frames(Packet& packet, uint32_t length) {
  const uint32_t beyond = length - std::min(length, packet.length);
  if (beyond < packet.rest_length) {
    std::size_t frames = 0;
    for (uint32_t left = beyond; left != 0; ++frames) {
      auto& piece = packet.rest[frames];
      piece = piece.first(std::min<std::size_t>(piece.size(), left));
      left -= static_cast<uint32_t>(piece.size());
    }
    packet.rest = packet.rest.first(frames);
    packet.rest_length = beyond;
  }
  if (packet.rest_length == 0) fit_length(packet, length);
}

uint64_t packet_sum(const Packet& packet, uint32_t offset, uint32_t length) {
  uint32_t here = std::min(length, packet.length - offset);
  uint64_t sum = checksum_sum(packet.data + offset, here);
  uint32_t done = here;
  for (const auto& piece : packet.rest) {
    here = static_cast<uint32_t>(std::min<std::size_t>(length - done, piece.size()));
    const uint16_t words = checksum_fold(checksum_sum(piece.data(), here));
    // Behind an odd number of bytes every byte stands in the other half of its word (RFC 1071 section 2B).
    sum += done % 2 == 0 ? words : static_cast<uint16_t>(words << 8 | words >> 8);
    done += here;
  }
  return sum;
}

}  // namespace xebec
