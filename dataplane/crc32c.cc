// SPDX-License-Identifier: BSD-2-Clause
// CRC32c by the instruction that x86 has for it since SSE4.2, which x86-64-v2 includes; elsewhere by a table.
#include "dataplane/crc32c.h"

#include <algorithm>
#include <array>
#include <cstring>

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

namespace xebec {

#ifdef __SSE4_2__
uint32_t crc32c_update(uint32_t crc, const uint8_t* bytes, std::size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; bytes += 8, length -= 8) {
    uint64_t word;
    std::memcpy(&word, bytes, sizeof word);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; length > 0; ++bytes, --length) crc = _mm_crc32_u8(crc, *bytes);
  return crc;
}
#else
uint32_t crc32c_update(uint32_t crc, const uint8_t* bytes, std::size_t length) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78u : 0u);
      made[i] = value;
    }
    return made;
  }();
  for (; length > 0; ++bytes, --length) crc = (crc >> 8) ^ table[(crc ^ *bytes) & 0xff];
  return crc;
}
#endif

uint32_t packet_crc32c(const Packet& packet, uint32_t offset, uint32_t length, std::size_t field) {
  constexpr uint8_t kZeros[4] = {};
  const uint32_t here = std::min(length, packet.length - offset);
  const uint8_t* const begin = packet.data + offset;
  uint32_t crc = crc32c_update(~0u, begin, field);
  crc = crc32c_update(crc, kZeros, sizeof kZeros);
  const std::size_t after = field + sizeof kZeros;
  crc = crc32c_update(crc, begin + after, here - after);
  uint32_t done = here;
  for (const auto& piece : packet.rest) {
    const std::size_t part = std::min<std::size_t>(length - done, piece.size());
    crc = crc32c_update(crc, piece.data(), part);
    done += static_cast<uint32_t>(part);
  }
  return ~crc;  // little-endian in the packet (RFC 9260 appendix A), as it is here
}

}  // namespace xebec
