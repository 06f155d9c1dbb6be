// SPDX-License-Identifier: BSD-2-Clause
// Instructions of socket filters (SO_ATTACH_FILTER, linux/filter.h) as they read best in a table.
#pragma once

#include <linux/filter.h>

#include <cstdint>

namespace xebec::classic_bpf {

/// mode: BPF_ABS from the packet's begin, BPF_IND from there and the index register. size: BPF_B, BPF_H, BPF_W.
constexpr sock_filter load(int mode, int size, int at) {
  return {static_cast<uint16_t>(BPF_LD | mode | size), 0, 0, static_cast<uint32_t>(at)};
}
/// The index register is the length of the IPv4 header at `at`.
constexpr sock_filter load_ip_length(uint32_t at) {
  return {static_cast<uint16_t>(BPF_LDX | BPF_B | BPF_MSH), 0, 0, at};
}
/// Goes on so many instructions further, by whether the loaded value is this.
constexpr sock_filter equal(uint32_t value, uint8_t if_so, uint8_t if_not) {
  return {static_cast<uint16_t>(BPF_JMP | BPF_JEQ | BPF_K), if_so, if_not, value};
}
/// ... by whether it has any of these bits.
constexpr sock_filter has_any(uint32_t bits, uint8_t if_so, uint8_t if_not) {
  return {static_cast<uint16_t>(BPF_JMP | BPF_JSET | BPF_K), if_so, if_not, bits};
}
/// So many bytes of the packet are taken; 0: it is not for us.
constexpr sock_filter take(uint32_t bytes) {
  return {static_cast<uint16_t>(BPF_RET | BPF_K), 0, 0, bytes};
}

}  // namespace xebec::classic_bpf
