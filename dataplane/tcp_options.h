// SPDX-License-Identifier: BSD-2-Clause
// The options of a TCP header, one after the other (RFC 9293 section 3.1).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dataplane/checksum.h"
#include "dataplane/wire.h"

namespace xebec {

inline constexpr uint8_t kTcpOptionEnd = 0;
inline constexpr uint8_t kTcpOptionNothing = 1;
inline constexpr uint8_t kTcpOptionMss = 2;
inline constexpr uint8_t kTcpOptionSack = 5;  // RFC 2018
inline constexpr uint8_t kTcpOptionToa =
    254;  // RFC 4727 keeps it for experiments; LVS FULLNAT and DPVS use it
inline constexpr uint32_t kMaxTcpHeader = 60;  // the data offset counts to 15 words

inline uint32_t tcp_header_length(const uint8_t* tcp) {
  return (view_as<TcpHeader>(tcp)->data_offset >> 4) * 4u;
}

/// Calls `visit(option, length)` for every option that has a length; `option` points at its kind. `available`: bytes of TCP
/// that may be read, at least the fixed header; options beyond are left alone.
template <typename Visit>
void for_each_tcp_option(uint8_t* tcp, std::size_t available, Visit&& visit) {
  const std::size_t end = std::min<std::size_t>(tcp_header_length(tcp), available);
  for (std::size_t at = sizeof(TcpHeader); at < end && tcp[at] != kTcpOptionEnd;) {
    if (tcp[at] == kTcpOptionNothing) {
      ++at;
      continue;
    }
    // A length that is no length, or reaches behind the end: what follows means nothing.
    if (at + 1 >= end || tcp[at + 1] < 2 || at + tcp[at + 1] > end) return;
    const std::size_t length = tcp[at + 1];
    visit(tcp + at, length);
    at += length;
  }
}

/// The same for a visitor that changes options in place. The checksum follows by RFC 1624.
template <typename Visit>
void edit_tcp_options(uint8_t* tcp, std::size_t available, Visit&& visit) {
  const std::size_t end = std::min<std::size_t>(tcp_header_length(tcp), available);
  if (end <= sizeof(TcpHeader)) return;
  const auto sum = [&] {
    return checksum_fold(checksum_sum(tcp + sizeof(TcpHeader), end - sizeof(TcpHeader)));
  };
  const uint16_t before = sum();
  for_each_tcp_option(tcp, available, visit);
  auto& header = *view_as<TcpHeader>(tcp);
  header.checksum = checksum_update(header.checksum, Be16::from_raw(before), Be16::from_raw(sum()));
}

}  // namespace xebec
