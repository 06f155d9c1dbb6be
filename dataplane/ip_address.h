// SPDX-License-Identifier: BSD-2-Clause
// An IPv4 or IPv6 address in 16 bytes, the one form that keys, tables and configuration use.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/wire.h"

namespace xebec {

/// Network byte order; IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), which never stands for an IPv6 host
/// here.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  static IpAddress from_v4(Be32 address) {
    IpAddress r;
    r.bytes[10] = r.bytes[11] = 0xff;
    std::memcpy(r.bytes.data() + 12, address.bytes, 4);
    return r;
  }
  static IpAddress from_v6(const uint8_t (&address)[16]) {
    IpAddress r;
    std::memcpy(r.bytes.data(), address, 16);
    return r;
  }
  /// Dotted quad or RFC 4291 text, nothing around it. "::ffff:1.2.3.4" is refused: write 1.2.3.4.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const { return std::memcmp(bytes.data(), kV4Prefix, sizeof kV4Prefix) == 0; }
  /// The last four bytes; meaningful if is_v4().
  Be32 v4() const {
    Be32 r;
    std::memcpy(r.bytes, bytes.data() + 12, 4);
    return r;
  }
  /// RFC 5952 form.
  std::string to_string() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  static constexpr uint8_t kV4Prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
};

/// "aa:bb:cc:dd:ee:ff", either case.
std::optional<MacAddress> parse_mac(std::string_view text);
std::string to_string(const MacAddress& mac);

}  // namespace xebec
