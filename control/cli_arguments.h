// SPDX-License-Identifier: BSD-2-Clause
// The tool's arguments that are more than a word: VIP:PORT/PROTO, ADDR:PORT and KEY=VALUE.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "control/cli_error.h"

namespace xebec {

/// Errors have the code "usage": what cannot be meant is refused before the daemon is asked.
template <typename T>
using Argument = tl::expected<T, CliError>;

/// "203.0.113.10:443/tcp", "[2001:db8::/32]:8000-8099/udp" -> {"vip", "port", "protocol"}.
Argument<CliJson> parse_service_endpoint(const std::string& text);

/// "10.0.0.1", "10.0.0.1:80", "[2001:db8::1]:80", "2001:db8::1" -> {"address"[, "port"]}, the address in
/// canonical form.
Argument<CliJson> parse_backend_address(const std::string& text);

/// "ADDR:PORT" with a number for a port; returned as it stands.
Argument<std::string> parse_source(const std::string& text);

/// "500ms", "60s", "60", "5m", "1h", "1d" -> milliseconds; more than none.
Argument<uint64_t> parse_duration_ms(const std::string& option, const std::string& text);

/// KEY=VALUE with one of `keys`: numbers become numbers, true and false booleans, what stands between commas behind allow
/// and deny a list, and behind backend a list of backends; everything else strings.
Argument<CliJson> parse_settings(const std::vector<std::string>& settings,
                                 std::span<const std::string_view> keys);

}  // namespace xebec
