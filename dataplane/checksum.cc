// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum. Ones'-complement addition does not care about word size (RFC 1071 section 2B), so
// the sum is taken over 64-bit words and folded.
#include "dataplane/checksum.h"

namespace xebec {
namespace {

// gcc and clang compile this to add and adc; the carries collect in the upper half.
__extension__ using Wide = unsigned __int128;

uint64_t load64(const uint8_t* bytes) {
  uint64_t r;
  std::memcpy(&r, bytes, sizeof r);
  return r;
}

// 2^64 and 2^32 are congruent to 1 modulo 2^16 - 1: folding keeps the sum's value and leaves room to add more
// sums.
uint64_t fold_to_33_bits(uint64_t sum) {
  return (sum & 0xffffffffu) + (sum >> 32);
}

}  // namespace

uint64_t checksum_sum(const uint8_t* bytes, std::size_t length) {
  // Two chains, because one would wait for its own carry.
  Wide even = 0;
  Wide odd = 0;
  for (; length >= 32; bytes += 32, length -= 32) {
    even += load64(bytes);
    odd += load64(bytes + 8);
    even += load64(bytes + 16);
    odd += load64(bytes + 24);
  }
  for (; length >= 8; bytes += 8, length -= 8) even += load64(bytes);
  if (length > 0) {
    uint64_t tail = 0;  // little-endian: missing bytes are the zero padding
    std::memcpy(&tail, bytes, length);
    odd += tail;
  }
  uint64_t sum = 0;
  for (const Wide part : {even, odd}) {
    sum += fold_to_33_bits(static_cast<uint64_t>(part));
    sum += fold_to_33_bits(static_cast<uint64_t>(part >> 64));
  }
  return sum;
}

Be16 checksum_update(Be16 checksum, Be16 before, Be16 after) {
  const uint64_t sum = static_cast<uint64_t>(static_cast<uint16_t>(~checksum.raw())) +
                       static_cast<uint16_t>(~before.raw()) + after.raw();
  return checksum_finish(sum);
}

Be16 checksum_update(Be16 checksum, Be32 before, Be32 after) {
  const uint64_t sum = static_cast<uint64_t>(static_cast<uint16_t>(~checksum.raw())) +
                       static_cast<uint32_t>(~before.raw()) + after.raw();
  return checksum_finish(sum);
}

Be16 ipv4_header_checksum(const Ipv4Header* header, std::size_t header_length) {
  const uint64_t sum = checksum_sum(reinterpret_cast<const uint8_t*>(header), header_length);
  // Subtracting a 16-bit word is adding its complement.
  return checksum_finish(sum + static_cast<uint16_t>(~header->checksum.raw()));
}

uint64_t pseudo_header_sum_v6(const uint8_t* source16, const uint8_t* destination16, uint8_t protocol,
                              uint32_t l4_length) {
  uint64_t sum = checksum_sum(source16, 16);
  sum += checksum_sum(destination16, 16);
  sum += Be16::from_host(protocol).raw();
  sum += Be32::from_host(l4_length).raw();
  return sum;
}

}  // namespace xebec
