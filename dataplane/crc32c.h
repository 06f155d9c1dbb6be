// SPDX-License-Identifier: BSD-2-Clause
// CRC32c (Castagnoli), the checksum of SCTP: RFC 9260 appendix A.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace xebec {

inline constexpr uint32_t kCrc32cInitial = 0xffffffff;

namespace crc {

/// Of every byte, in the reflected form of the polynomial 0x1edc6f41.
constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}
inline constexpr std::array<uint32_t, 256> kTable = make_table();

}  // namespace crc

/// Goes on from `crc`, kCrc32cInitial at first. The result is complemented at the end. A byte at a time: only packets whose
/// sender left the checksum to its device come here.
inline uint32_t crc32c(uint32_t crc, const uint8_t* bytes, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i) crc = crc >> 8 ^ crc::kTable[(crc ^ bytes[i]) & 0xff];
  return crc;
}

}  // namespace xebec
