// SPDX-License-Identifier: BSD-2-Clause
#include "control/status_page.h"

#include <sys/random.h>

#include <array>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

namespace xebec {

extern const std::string_view kStatusPageHtml;  // cmake/EmbedText.cmake makes it of status_page.html

namespace {

constexpr std::string_view kPlaceholder = "@NONCE@";

std::string nonce() {
  std::array<uint8_t, 16> random;
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    throw std::runtime_error("no random numbers");
  std::string text;
  for (const uint8_t byte : random) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

HttpResponse status_page() {
  const std::string once = nonce();
  HttpResponse page{200, "", "text/html; charset=utf-8"};
  std::string_view rest = kStatusPageHtml;
  for (std::size_t at; (at = rest.find(kPlaceholder)) != std::string_view::npos;) {
    page.body.append(rest.substr(0, at)).append(once);
    rest.remove_prefix(at + kPlaceholder.size());
  }
  page.body.append(rest);
  page.headers = {
      {"Content-Security-Policy",
       fmt::format("default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; "
                   "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                   once)},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cache-Control", "no-store"}};
  return page;
}

}  // namespace xebec
