// SPDX-License-Identifier: BSD-2-Clause
// Receive-side scaling: which queue a NIC puts a packet on. The Toeplitz hash over addresses and ports, keyed, and an
// indirection table from hash to queue, as Microsoft's NDIS defined them and NICs implement them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/ip_address.h"

namespace xebec {

/// A packet's TCP or UDP tuple as it arrives. Both addresses are of one family.
struct RssTuple {
  IpAddress source;
  IpAddress destination;
  uint16_t source_port = 0;  ///< host order
  uint16_t destination_port = 0;
};

/// The Toeplitz hash. `key` is at least four bytes longer than `input`: 40 bytes are enough for IPv6 with ports.
uint32_t toeplitz(std::span<const uint8_t> key, std::span<const uint8_t> input);

/// Of source address, destination address, source port, destination port; `ports` false: of the addresses alone, which is
/// what NICs take of fragments, and many by default of UDP.
uint32_t rss_hash(std::span<const uint8_t> key, const RssTuple& tuple, bool ports = true);

/// nullopt: the key is too short, or the table empty.
std::optional<uint32_t> queue_of(const RssTuple& tuple, std::span<const uint8_t> key,
                                 std::span<const uint32_t> indirection, bool ports = true);

}  // namespace xebec
