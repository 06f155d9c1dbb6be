// SPDX-License-Identifier: BSD-2-Clause
// Which backend of a service a QUIC packet's connection id belongs to. docs/quic.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/quic_id.h"

namespace xebec {

enum class QuicFormat : uint8_t { quic_lb, katran };

/// Immutable. Made anew for each table, for it holds that table's backend ids.
class QuicRoutes {
 public:
  struct Server {
    ServerId id;
    uint32_t backend = 0;
  };
  using Codes = std::array<QuicLbCode, kQuicRotations>;  ///< by config rotation

  /// No server id twice.
  QuicRoutes(QuicFormat format, Codes codes, std::vector<Server> servers);

  static constexpr uint32_t kNone = UINT32_MAX;

  /// The backend that the connection id of a UDP payload's first packet names; kNone if it is not routable: no id, no such
  /// configuration, too short, or no such server. payload: what of it is at hand.
  uint32_t find(std::span<const uint8_t> payload) const;
  std::span<const Server> servers() const { return servers_; }

 private:
  ServerId server_of(std::span<const uint8_t> connection_id) const;

  QuicFormat format_;
  Codes codes_;
  std::vector<Server>
      servers_;  // sorted by id: whoever sends ids of his own choice cannot make the search longer
};

}  // namespace xebec
