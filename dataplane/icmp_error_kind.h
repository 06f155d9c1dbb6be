// SPDX-License-Identifier: BSD-2-Clause
// The ICMP errors that Xebec sends in its VIPs' names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace xebec {

enum class IcmpErrorKind : uint8_t {
  too_big,           ///< IPv4 "fragmentation needed" (RFC 1191), IPv6 "packet too big" (RFC 4443 section 3.2)
  time_exceeded,     ///< TTL or hop limit used up (RFC 792, RFC 4443 section 3.3)
  port_unreachable,  ///< no backend takes it, and its service says so (RFC 792, RFC 4443 section 3.1)
};
inline constexpr std::size_t kIcmpErrorKinds = 3;

constexpr std::string_view name_of(IcmpErrorKind kind) {
  constexpr std::string_view kNames[kIcmpErrorKinds] = {"too_big", "time_exceeded", "port_unreachable"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace xebec
