// SPDX-License-Identifier: BSD-2-Clause
// What an HTTP request line asks for: the path and the query, decoded.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace xebec {

struct HttpTarget {
  std::string path;                          ///< begins with '/', or is "*"
  std::map<std::string, std::string> query;  ///< "?a" is {"a", ""}
  bool operator==(const HttpTarget&) const = default;
};

/// Reads the request target as sent (RFC 9112 section 3.2, origin, absolute or asterisk form). Refused,
/// because guessing would act on something else than was meant: escapes that are not %XX, NUL and control
/// characters, a query key twice. In the query '+' is a space. The error is a sentence without its full stop.
tl::expected<HttpTarget, std::string> parse_target(std::string_view raw);

}  // namespace xebec
