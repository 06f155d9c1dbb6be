// SPDX-License-Identifier: BSD-2-Clause
// Request targets: splitting and percent-decoding.
#include "control/http_target.h"

#include <fmt/format.h>

namespace xebec {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

tl::expected<std::string, std::string> decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return tl::unexpected(fmt::format("'{}' is not %XX", text.substr(i, 3)));
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (is_control(c)) {
      return tl::unexpected(fmt::format("control character {:#04x}", static_cast<unsigned char>(c)));
    }
    out += c;
  }
  return out;
}

tl::expected<std::map<std::string, std::string>, std::string> parse_query(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    auto key = decode(pair.substr(0, equals), true);
    if (!key) return tl::unexpected(std::move(key.error()));
    auto value =
        decode(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!value) return tl::unexpected(std::move(value.error()));
    const auto [at, added] = query.emplace(std::move(*key), std::move(*value));
    if (!added) return tl::unexpected(fmt::format("'{}' is given twice", at->first));
  }
  return query;
}

}  // namespace

tl::expected<HttpTarget, std::string> parse_target(std::string_view raw) {
  constexpr std::string_view kScheme = "http://";
  if (raw.starts_with(kScheme)) {  // absolute form: the authority says nothing on a unix socket
    const std::size_t slash = raw.find_first_of("/?", kScheme.size());
    raw = slash == std::string_view::npos ? std::string_view("/") : raw.substr(slash);
  }
  const std::size_t question = raw.find('?');
  auto path = decode(raw.substr(0, question), false);
  if (!path) return tl::unexpected(std::move(path.error()));
  if (*path != "*" && !path->starts_with('/'))
    return tl::unexpected(std::string("the path does not begin with '/'"));
  HttpTarget target{std::move(*path), {}};
  if (question == std::string_view::npos) return target;
  auto query = parse_query(raw.substr(question + 1));
  if (!query) return tl::unexpected(std::move(query.error()));
  target.query = std::move(*query);
  return target;
}

}  // namespace xebec
