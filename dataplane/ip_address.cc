// SPDX-License-Identifier: BSD-2-Clause
// Addresses as text, both ways.
#include "dataplane/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>

namespace xebec {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

struct Run {
  int begin = -1;
  int length = 0;
};

// RFC 5952 section 4.2: "::" stands for the longest run of two or more zero groups, the first of equals.
Run longest_zero_run(const std::array<uint16_t, 8>& groups) {
  Run best;
  Run current;
  for (int i = 0; i < 8; ++i) {
    if (groups[static_cast<std::size_t>(i)] != 0) {
      current = Run{};
      continue;
    }
    if (current.length++ == 0) current.begin = i;
    if (current.length > best.length) best = current;
  }
  return best.length >= 2 ? best : Run{};
}

void append_group(std::string& text, uint16_t group) {
  bool started = false;
  for (int shift = 12; shift >= 0; shift -= 4) {
    const int digit = (group >> shift) & 0xf;
    started = started || digit != 0 || shift == 0;
    if (started) text += kHexDigits[digit];
  }
}

std::string v6_to_string(const std::array<uint8_t, 16>& bytes) {
  std::array<uint16_t, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) {
    groups[i] = static_cast<uint16_t>((bytes[2 * i] << 8) | bytes[2 * i + 1]);
  }
  const Run zeros = longest_zero_run(groups);
  std::string text;
  for (int i = 0; i < 8; ++i) {
    if (i == zeros.begin) {
      text += "::";
      i += zeros.length - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    append_group(text, groups[static_cast<std::size_t>(i)]);
  }
  return text;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  // inet_pton wants a terminated string; the longest valid text is shorter than this buffer, and a NUL inside
  // would hide what follows it.
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (text.size() >= buffer.size() || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::copy(text.begin(), text.end(), buffer.begin());

  Be32 v4;
  if (inet_pton(AF_INET, buffer.data(), v4.bytes) == 1) return from_v4(v4);
  uint8_t v6[16];
  if (inet_pton(AF_INET6, buffer.data(), v6) != 1) return std::nullopt;
  const IpAddress address = from_v6(v6);
  if (address.is_v4()) return std::nullopt;
  return address;
}

std::string IpAddress::to_string() const {
  if (!is_v4()) return v6_to_string(bytes);
  std::string text;
  for (std::size_t i = 12; i < 16; ++i) {
    if (i != 12) text += '.';
    text += std::to_string(bytes[i]);
  }
  return text;
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  MacAddress mac{};
  for (std::size_t i = 0; i < sizeof mac.bytes; ++i) {
    const int high = hex_value(text[3 * i]);
    const int low = hex_value(text[3 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    if (i != 5 && text[3 * i + 2] != ':') return std::nullopt;
    mac.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return mac;
}

std::string to_string(const MacAddress& mac) {
  std::string text;
  for (const uint8_t byte : mac.bytes) {
    if (!text.empty()) text += ':';
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 0xf];
  }
  return text;
}

}  // namespace xebec
