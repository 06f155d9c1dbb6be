// SPDX-License-Identifier: BSD-2-Clause
// What a health check to a VIP asks a backend in single packets, and what comes back. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/ip_address.h"

namespace xebec {

/// A SYN, an echo request or a datagram, by `protocol` (ICMP stands for ICMPv6, too).
struct VipQuestion {
  uint8_t protocol = 0;
  IpAddress source;  ///< ours: who has the VIP answers there, and not through us
  IpAddress vip;
  uint16_t source_port = 0;  ///< host byte order; of ICMP none
  uint16_t port = 0;
  uint32_t mark = 0;      ///< random; comes back as sequence number, or in the echo
  std::string payload{};  ///< of a datagram
};

/// As the service's packets come to us, but with a TTL of one: a backend that does not have the VIP and routes would send the packet on, it would come back
/// to us, and another backend would answer.
std::vector<uint8_t> frame_of(const VipQuestion& question);
/// That the connection which a SYN began is not wanted after all.
std::vector<uint8_t> reset_of(const VipQuestion& question);

struct VipAnswer {
  enum class Kind : uint8_t {
    accepted,  ///< SYN with ACK
    reset,
    echo,
    datagram,
    port_unreachable,
    protocol_unreachable,
    passed_on,  ///< its TTL has run out: the VIP is not there
  };
  Kind kind = Kind::accepted;
  uint8_t protocol = 0;  ///< of the question: TCP, UDP or ICMP
  IpAddress from;
  /// What tells the question: its mark of TCP and ICMP, of UDP its source port and address.
  uint32_t mark = 0;
  uint16_t source_port = 0;
  IpAddress to;  ///< ours, that the question came from
  IpAddress
      quoted;  ///< of an ICMP error: where the refused packet went to: the VIP, or with a tunnel's packet the backend
  uint8_t quoted_protocol = 0;  ///< as it stands in the IP header
  uint16_t quoted_port = 0;     ///< of UDP, the destination's
  std::string_view payload{};   ///< of a datagram, in the packet
};

/// `packet`: from its IP header on. nullopt: it answers nothing that is asked here. Of an answer in fragments the first one is read.
std::optional<VipAnswer> read_vip_answer(std::span<const uint8_t> packet);

}  // namespace xebec
