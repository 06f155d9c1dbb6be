// SPDX-License-Identifier: BSD-2-Clause
// Why a packet was not forwarded. One list makes the enum, the counters, the text of the tool and the doc
// table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace xebec {

// X(name, what the operator reads)
#define XEBEC_DROP_REASONS(X)                                                                               \
  X(not_ip, "neither IPv4 nor IPv6 behind at most two VLAN tags")                                           \
  X(truncated, "shorter than its headers say")                                                              \
  X(bad_ip_header, "IP version, header length or total length is wrong")                                    \
  X(bad_l4_header, "TCP data offset or UDP length is wrong")                                                \
  X(bad_extension, "IPv6 extension headers too many, out of order or malformed")                            \
  X(martian, "source or destination address that may not be on the wire here")                              \
  X(ttl_expired, "TTL or hop limit used up")                                                                \
  X(fragment_unknown, "a later fragment whose first fragment did not come in time")                         \
  X(icmp_unhandled, "ICMP to a VIP: neither a whole echo request nor an error about a flow of any service") \
  X(icmp_echo_limited, "echo request beyond the reply rate limit")                                          \
  X(unsupported_protocol,                                                                                   \
    "an IP protocol without ports that no service at this address takes, or SCTP in fragments to be "       \
    "translated")                                                                                           \
  X(no_service, "no service at this address, protocol and port")                                            \
  X(denied_source, "the service's rules deny the source")                                                   \
  X(rate_limited, "a new flow beyond the service's rate limit")                                             \
  X(no_backend, "the service has no usable backend")                                                        \
  X(backend_down, "of a connection to be reset whose backend takes no packets any more, and not answered")  \
  X(next_hop_unresolved, "the link-layer address of the next hop is not known (yet)")                       \
  X(too_big, "larger than the egress MTU, with the tunnel's overhead, and not answered")                    \
  X(nat_unknown, "a backend's packet, or an error about one, that belongs to no translated connection")     \
  X(nat_exhausted, "no free source port, or no room to remember one more translated connection")            \
  X(proxy_fragment, "a fragment that should carry a PROXY header, which has to begin a whole packet")       \
  X(no_headroom, "no room in the frame to encapsulate")                                                     \
  X(no_free_frame, "no frame free to send a packet in pieces")                                              \
  X(no_egress_port, "the worker has no port on the egress interface")                                       \
  X(tx_full, "the transmit ring stayed full")

enum class DropReason : uint8_t {
#define X(name, text) name,
  XEBEC_DROP_REASONS(X)
#undef X
};

inline constexpr std::size_t kDropReasonCount = 0
#define X(name, text) +1
    XEBEC_DROP_REASONS(X)
#undef X
    ;

struct DropReasonText {
  std::string_view name;
  std::string_view text;
};

/// Indexed by DropReason.
inline constexpr std::array<DropReasonText, kDropReasonCount> kDropReasons = {{
#define X(name, text) {#name, text},
    XEBEC_DROP_REASONS(X)
#undef X
}};

constexpr std::string_view name_of(DropReason reason) {
  return kDropReasons[static_cast<std::size_t>(reason)].name;
}

}  // namespace xebec
