// SPDX-License-Identifier: BSD-2-Clause
// An address prefix: text both ways, and what it contains.
#include "dataplane/ip_prefix.h"

#include <bit>
#include <cstring>

namespace xebec {
namespace {

// The first `length` of 64 bits set, as they stand in memory.
uint64_t mask_of(unsigned length) {
  if (length == 0) return 0;
  const uint64_t mask = ~uint64_t{0} << (64 - length);
  return std::endian::native == std::endian::little ? __builtin_bswap64(mask) : mask;
}

}  // namespace

IpAddress masked(const IpAddress& address, uint8_t length) {
  uint64_t words[2];
  std::memcpy(words, address.bytes.data(), sizeof words);
  words[0] &= mask_of(length < 64 ? length : 64);
  words[1] &= mask_of(length > 64 ? length - 64u : 0);
  IpAddress out;
  std::memcpy(out.bytes.data(), words, sizeof words);
  return out;
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return IpPrefix{*address, kFullLength};
  const std::string_view digits = text.substr(slash + 1);
  if (digits.empty() || digits.size() > 3 || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  unsigned length = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    length = length * 10 + static_cast<unsigned>(c - '0');
  }
  const unsigned offset = address->is_v4() ? kV4Offset : 0;
  if (length + offset > kFullLength) return std::nullopt;
  return IpPrefix{*address, static_cast<uint8_t>(length + offset)};
}

std::string IpPrefix::to_string() const {
  if (is_single()) return network.to_string();
  return network.to_string() + "/" + std::to_string(length_in_family());
}

bool IpPrefix::has_stray_bits() const {
  return masked(network, length) != network;
}

bool IpPrefix::contains(const IpAddress& address) const {
  // A short IPv6 prefix of zeros would take IPv4 addresses for its own by their sixteen bytes.
  return address.is_v4() == network.is_v4() && masked(address, length) == masked(network, length);
}

}  // namespace xebec
