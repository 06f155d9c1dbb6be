// SPDX-License-Identifier: BSD-2-Clause
// Reading a frame at its offsets, as a person with the RFC would: for those who judge what came out. Throws std::out_of_range
// beyond its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "dataplane/ip_address.h"
#include "dataplane/wire.h"
#include "tests/support/frame_builder.h"

namespace xebec::test {

inline std::size_t get16(const Bytes& b, std::size_t at) {
  return std::size_t{b.at(at)} << 8 | b.at(at + 1);
}

inline Bytes part(const Bytes& b, std::size_t begin, std::size_t length) {
  if (begin + length > b.size()) throw std::out_of_range("part of a frame");
  const auto first = b.begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + static_cast<std::ptrdiff_t>(length)};
}

inline std::size_t ip_begin(const Bytes& frame) {
  std::size_t at = 12;
  for (int tags = 0; tags < 2 && (get16(frame, at) == 0x8100 || get16(frame, at) == 0x88a8); ++tags) at += 4;
  return at + 2;
}

inline bool is_v4_packet(const Bytes& frame, std::size_t ip) {
  return frame.at(ip) >> 4 == 4;
}

inline std::size_t ip_size(const Bytes& frame, std::size_t ip) {
  return is_v4_packet(frame, ip) ? get16(frame, ip + 2) : 40 + get16(frame, ip + 4);
}

/// True if the sum over pseudo header and segment says so. `ip`, `l4`: where they begin; `length`: of the segment.
inline bool l4_checksum_right(const Bytes& frame, std::size_t ip, std::size_t l4, std::size_t length,
                              uint8_t protocol) {
  const bool v4 = is_v4_packet(frame, ip);
  Bytes covered;
  if (!(v4 && protocol == kProtoIcmp)) {
    covered = part(frame, ip + (v4 ? 12 : 8), v4 ? 8 : 32);
    covered.insert(covered.end(),
                   {0, protocol, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)});
  }
  const Bytes segment = part(frame, l4, length);
  covered.insert(covered.end(), segment.begin(), segment.end());
  return internet_checksum(covered) == 0;
}

/// An address of the packet's family, as it stands in it.
inline Bytes on_wire(const IpAddress& a) {
  return a.is_v4() ? Bytes(a.bytes.begin() + 12, a.bytes.end()) : Bytes(a.bytes.begin(), a.bytes.end());
}

/// The frame ends behind the IP packet, or where padding of zeros makes it long enough. Empty: right.
inline std::string_view tail_fault(const Bytes& out, std::size_t end) {
  constexpr std::size_t kShortestFrame = 60;
  if (out.size() != (end < kShortestFrame ? kShortestFrame : end)) return "the frame has a wrong length";
  for (std::size_t at = end; at < out.size(); ++at) {
    if (out[at] != 0) return "padding is not zero";
  }
  return "";
}

}  // namespace xebec::test
