// SPDX-License-Identifier: BSD-2-Clause
// An IPv4 or IPv6 address in 16 bytes, the one form that keys, tables and configuration use.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/wire.h"

namespace xebec {

/// Network byte order; IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), which never stands for an IPv6 host here.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  static IpAddress from_v4(Be32 address);
  static IpAddress from_v6(const uint8_t (&address)[16]);
  /// Dotted quad or RFC 4291 text, nothing around it. "::ffff:1.2.3.4" is refused: write 1.2.3.4.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const;
  /// The last four bytes; meaningful if is_v4().
  Be32 v4() const;
  /// RFC 5952 form.
  std::string to_string() const;

  auto operator<=>(const IpAddress&) const = default;
};

/// "aa:bb:cc:dd:ee:ff", either case.
std::optional<MacAddress> parse_mac(std::string_view text);
std::string to_string(const MacAddress& mac);

}  // namespace xebec
