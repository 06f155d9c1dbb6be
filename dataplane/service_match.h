// SPDX-License-Identifier: BSD-2-Clause
// Which packets are a service's, and which of several services that match has them. The most specific:
//
//   1. the longest prefix that contains the address, an address itself being the longest; if none of its services match,
//      the next shorter one
//   2. in there the exact port, then the narrowest range of ports, then any port
//   3. of two that are equal so far the one for the packet's protocol, then the one for any
//
// The table (dataplane/table.h) and the shim's maps (control/shim_image.h) are both made from this.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>

#include "dataplane/ip_prefix.h"

namespace xebec {

struct ServiceMatch {
  /// Services of one protocol are entered before those of any, which take what is left.
  enum class Pass : uint8_t { own_protocol, any_protocol };

  IpPrefix vip;
  uint16_t port = 0;       ///< host order; 0 = any, of a range the first
  uint16_t last_port = 0;  ///< of a range; 0: `port` alone
  uint8_t protocol = 0;    ///< kProtoAny: every one

  bool is_range() const { return last_port > port; }
  /// What the keys of a prefix have where those of an address have 0.
  uint8_t narrower() const { return static_cast<uint8_t>(IpPrefix::kFullLength - vip.length); }
  Pass pass() const;
  /// The protocols under which it is entered. One for any protocol stands under each that has ports, and, where it takes
  /// any port, under kProtoAny for all that have none.
  std::span<const uint8_t> entries() const;
  /// True if some packet may belong to both.
  bool meets(const ServiceMatch& other) const;
  /// "203.0.113.0/24 port 8000-8099 protocol 6"
  std::string to_string() const;

  auto operator<=>(const ServiceMatch&) const = default;
};

}  // namespace xebec
