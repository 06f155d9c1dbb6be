// SPDX-License-Identifier: BSD-2-Clause
// Where a service's backends come from, if a name tells them: `backends_from` of docs/config.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace xebec {

enum class DnsRecords : uint8_t { a, aaaa, srv };

struct DnsSource {
  std::string name;
  std::optional<DnsRecords> type;    ///< absent: addresses of the VIP's family
  uint16_t port = 0;                 ///< of the backends; 0: the service's. SRV says it itself
  uint32_t weight = 100;             ///< the same
  uint32_t min_ttl_s = 5;            ///< an answer is good for its TTL, but no shorter than this
  uint32_t max_ttl_s = 300;          ///< ... and no longer
  std::vector<std::string> servers;  ///< "ADDRESS" or "ADDRESS:PORT"; none: those of /etc/resolv.conf
  bool operator==(const DnsSource&) const = default;
};

}  // namespace xebec
