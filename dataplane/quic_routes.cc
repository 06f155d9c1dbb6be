// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/quic_routes.h"

#include <algorithm>
#include <utility>

namespace xebec {

QuicRoutes::QuicRoutes(QuicFormat format, Codes codes, std::vector<Server> servers)
    : format_(format), codes_(std::move(codes)), servers_(std::move(servers)) {
  std::sort(servers_.begin(), servers_.end(), [](const Server& a, const Server& b) { return a.id < b.id; });
}

ServerId QuicRoutes::server_of(std::span<const uint8_t> connection_id) const {
  if (format_ == QuicFormat::katran) return katran_server_id(connection_id);
  const std::size_t rotation = connection_id[0] >> 5;
  return rotation < codes_.size() ? codes_[rotation].decode(connection_id) : ServerId{};
}

uint32_t QuicRoutes::find(std::span<const uint8_t> payload) const {
  const std::span<const uint8_t> connection_id = quic_destination_id(payload);
  if (connection_id.empty()) return kNone;
  const ServerId id = server_of(connection_id);
  if (id.length == 0) return kNone;
  const auto at =
      std::lower_bound(servers_.begin(), servers_.end(), id,
                       [](const Server& server, const ServerId& wanted) { return server.id < wanted; });
  return at != servers_.end() && at->id == id ? at->backend : kNone;
}

}  // namespace xebec
