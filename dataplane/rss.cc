// SPDX-License-Identifier: BSD-2-Clause
// Receive-side scaling: which queue a NIC puts a packet on.
#include "dataplane/rss.h"

#include <array>
#include <cstring>

namespace xebec {
namespace {

/// Two IPv6 addresses and two ports.
constexpr std::size_t kMaxInput = 16 + 16 + 2 + 2;
/// The hash looks at 32 bits of the key behind each bit of the input.
constexpr std::size_t kWindowBytes = 4;

struct Input {
  std::array<uint8_t, kMaxInput> bytes{};
  std::size_t size = 0;
  void add(std::span<const uint8_t> more) {
    std::memcpy(bytes.data() + size, more.data(), more.size());
    size += more.size();
  }
  void add_port(uint16_t port) {
    bytes[size++] = static_cast<uint8_t>(port >> 8);
    bytes[size++] = static_cast<uint8_t>(port);
  }
};

Input input_of(const RssTuple& tuple, bool ports) {
  Input input;
  for (const IpAddress* address : {&tuple.source, &tuple.destination}) {
    // An IPv4 address is the last four bytes of its mapped form (dataplane/ip_address.h).
    const std::span<const uint8_t> bytes(address->bytes);
    input.add(address->is_v4() ? bytes.subspan(12) : bytes);
  }
  if (ports) {
    input.add_port(tuple.source_port);
    input.add_port(tuple.destination_port);
  }
  return input;
}

}  // namespace

uint32_t toeplitz(std::span<const uint8_t> key, std::span<const uint8_t> input) {
  uint32_t window = uint32_t{key[0]} << 24 | uint32_t{key[1]} << 16 | uint32_t{key[2]} << 8 | key[3];
  uint32_t hash = 0;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const uint8_t next = key[i + kWindowBytes];
    for (unsigned bit = 0; bit < 8; ++bit) {
      if ((input[i] & (0x80u >> bit)) != 0) hash ^= window;
      window = window << 1 | ((next >> (7 - bit)) & 1u);
    }
  }
  return hash;
}

uint32_t rss_hash(std::span<const uint8_t> key, const RssTuple& tuple, bool ports) {
  const Input input = input_of(tuple, ports);
  return toeplitz(key, std::span(input.bytes).first(input.size));
}

std::optional<uint32_t> queue_of(const RssTuple& tuple, std::span<const uint8_t> key,
                                 std::span<const uint32_t> indirection, bool ports) {
  if (indirection.empty() || key.size() < input_of(tuple, ports).size + kWindowBytes) return std::nullopt;
  return indirection[rss_hash(key, tuple, ports) % indirection.size()];
}

}  // namespace xebec
