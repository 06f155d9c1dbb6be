// SPDX-License-Identifier: BSD-2-Clause
// "ADDRESS:PORT" as people write it: 192.0.2.1:80, [2001:db8::1]:443.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/ip_address.h"

namespace xebec {

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
};

/// Digits only, 1..65535.
std::optional<uint16_t> parse_port(std::string_view text);

/// An IPv6 address stands in brackets.
std::optional<Endpoint> parse_endpoint(std::string_view text);

}  // namespace xebec
