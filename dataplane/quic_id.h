// SPDX-License-Identifier: BSD-2-Clause
// QUIC connection ids that say which server they belong to: where one is in a packet (RFC 8999, of whatever version the
// packet is), and what it says by draft-ietf-quic-load-balancers-21 ("QUIC-LB") or in Katran's way.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/aes128.h"

namespace xebec {

/// QUIC-LB sections 3.1 and 5.3: three bits name a configuration, and 7 means none; a server id of 1 byte at least and a
/// nonce of 4 at least in what QUIC version 1 leaves of its 20.
inline constexpr uint8_t kQuicRotations = 7;
inline constexpr uint8_t kMinServerIdLength = 1;
inline constexpr uint8_t kMinNonceLength = 4;
inline constexpr uint8_t kMaxQuicBlock = 19;  ///< server id and nonce
inline constexpr uint8_t kMaxServerIdLength = kMaxQuicBlock - kMinNonceLength;

/// Opaque bytes: ids of different lengths are different ids.
struct ServerId {
  std::array<uint8_t, kMaxServerIdLength> bytes{};  ///< zeros behind `length`
  uint8_t length = 0;                               ///< 0: none
  auto operator<=>(const ServerId&) const = default;
};
static_assert(sizeof(ServerId) == 16);

/// The destination connection id of the first packet in a UDP payload. Of a packet with a short header all that follows:
/// how long the id is, only its server knows. Empty if there is none.
std::span<const uint8_t> quic_destination_id(std::span<const uint8_t> payload);

/// One configuration of QUIC-LB.
struct QuicLbCode {
  uint8_t server_id_length = 0;  ///< 0: there is no such configuration
  uint8_t nonce_length = 0;
  std::optional<Aes128> cipher{};  ///< absent: the id is in clear text

  /// Of a connection id, its first byte included. Empty (length 0) if that is too short.
  ServerId decode(std::span<const uint8_t> connection_id) const;
};

/// Katran's number is an id of four bytes, most significant first. Versions 1, 2 and 3 carry 16, 24 and 32 bits of it. Empty
/// if the id is none of Katran's or says server 0, which is none.
ServerId katran_server_id(std::span<const uint8_t> connection_id);
inline constexpr uint8_t kKatranIdLength = 4;

}  // namespace xebec
