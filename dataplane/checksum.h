// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum (RFC 1071), its incremental update (RFC 1624), and the partial sums that offloading
// senders leave.
//
// A "sum" is a ones'-complement sum of 16-bit words in memory order, not yet folded or complemented; sums of
// adjacent even-length pieces may simply be added.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/ip_address.h"
#include "dataplane/wire.h"

namespace xebec {

/// Sum of bytes, an odd last byte padded with zero.
uint64_t checksum_sum(const uint8_t* bytes, std::size_t length);

/// Folds a sum to 16 bits, carries added back in. A number added to itself with the halves swapped has the sum of both
/// halves in its upper half, and the carry of that sum has come in from the lower one: six instructions, where
/// masking and adding twice for each of the two steps took fourteen.
constexpr uint16_t checksum_fold(uint64_t sum) {
  sum += std::rotl(sum, 32);
  auto half = static_cast<uint32_t>(sum >> 32);
  half += std::rotl(half, 16);
  return static_cast<uint16_t>(half >> 16);
}

/// The value to store in a checksum field, from the sum of everything it covers.
inline Be16 checksum_finish(uint64_t sum) {
  return Be16::from_raw(static_cast<uint16_t>(~checksum_fold(sum)));
}

/// RFC 1624 eqn. 3: HC' = ~(~HC + ~m + m'), for a field of the covered data that changes from `before` to
/// `after`.
Be16 checksum_update(Be16 checksum, Be16 before, Be16 after);
Be16 checksum_update(Be16 checksum, Be32 before, Be32 after);

/// IPv4 header checksum of `header_length` bytes, the checksum field itself taken as zero.
Be16 ipv4_header_checksum(const Ipv4Header* header, std::size_t header_length);

/// Pseudo-header sums (RFC 9293 section 3.1, RFC 8200 section 8.1). l4_length: header and payload, host
/// order.
inline uint64_t pseudo_header_sum_v4(Be32 source, Be32 destination, uint8_t protocol, uint32_t l4_length) {
  return uint64_t{source.raw()} + destination.raw() + Be16::from_host(protocol).raw() +
         Be32::from_host(l4_length).raw();
}
uint64_t pseudo_header_sum_v6(const uint8_t* source16, const uint8_t* destination16, uint8_t protocol,
                              uint32_t l4_length);

/// True if `field` is what a sender with transmit checksum offload leaves (Linux CHECKSUM_PARTIAL): the
/// folded pseudo-header sum, not complemented. The pseudo-header is never all zeros, and a sum of anything else never
/// folds to 0 but to 0xffff: a UDP field of 0 (no checksum) is not taken for a partial one, and Linux's csum_fold()
/// leaves the same representation as ours. A false positive (1 in 65,536) is harmless to a caller who
/// then computes the full checksum, because that is right either way.
inline bool checksum_is_partial(Be16 field, uint64_t pseudo_header_sum) {
  return field.raw() == checksum_fold(pseudo_header_sum);
}

}  // namespace xebec
