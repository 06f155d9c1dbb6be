// SPDX-License-Identifier: BSD-2-Clause
// An address prefix: the addresses whose first bits are given. One address is the prefix of full length.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/ip_address.h"

namespace xebec {

struct IpPrefix {
  static constexpr uint8_t kFullLength = 128;
  /// What an IPv4 prefix is longer by in sixteen bytes: a /24 has length 120.
  static constexpr uint8_t kV4Offset = 96;

  IpAddress network;             ///< the bits behind the prefix are 0
  uint8_t length = kFullLength;  ///< of the sixteen bytes; at least kV4Offset if network.is_v4()

  /// "203.0.113.0/24", "2001:db8::/32", or an address alone. Bits behind the prefix are kept as written:
  /// has_stray_bits() tells, so that the reader can say what was meant.
  static std::optional<IpPrefix> parse(std::string_view text);
  /// RFC 4632 and RFC 4291 form; a single address without its length.
  std::string to_string() const;

  /// As people count: 0..32 or 0..128.
  uint8_t length_in_family() const {
    return network.is_v4() ? static_cast<uint8_t>(length - kV4Offset) : length;
  }
  bool is_single() const { return length == kFullLength; }
  bool has_stray_bits() const;
  bool contains(const IpAddress& address) const;
  bool contains(const IpPrefix& other) const { return length <= other.length && contains(other.network); }

  auto operator<=>(const IpPrefix&) const = default;
};

/// The address with all bits behind the first `length` 0.
IpAddress masked(const IpAddress& address, uint8_t length);

}  // namespace xebec
