// SPDX-License-Identifier: BSD-2-Clause
// How a service's QUIC connection ids are to be read, as an operator writes it. docs/quic.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/quic_routes.h"

namespace xebec {

/// One configuration of QUIC-LB.
struct QuicLbConfig {
  uint8_t rotation = 0;
  uint8_t server_id_length = 0;
  uint8_t nonce_length = 0;
  std::optional<Aes128::Block> key{};  ///< absent: ids are in clear text
  bool key_hidden = false;             ///< there is a key, and it was not told: the one in force is meant
  bool operator==(const QuicLbConfig&) const = default;
};

struct QuicConfig {
  QuicFormat format = QuicFormat::quic_lb;
  std::vector<QuicLbConfig> configs{};  ///< of format quic_lb
  bool operator==(const QuicConfig&) const = default;
};

/// What workers read ids with.
QuicRoutes::Codes codes_of(const QuicConfig& quic);
/// As ids of the format come out of packets: Katran's are numbers.
ServerId canonical(QuicFormat format, const ServerId& id);

}  // namespace xebec
