// SPDX-License-Identifier: BSD-2-Clause
// What a network interface's driver says it can do with XDP frames: the kernel's "netdev" netlink family
// (6.3).
#pragma once

#include <cstdint>
#include <string>

#include <tl/expected.hpp>

namespace xebec {

/// Bits of enum netdev_xdp_act, include/uapi/linux/netdev.h, which Debian 12 has not.
inline constexpr uint64_t kXdpRedirectTarget = 1u << 2;  ///< NETDEV_XDP_ACT_NDO_XMIT: ndo_xdp_xmit works now

/// The interface's feature bits. They change while it is up: a veth is a redirect target only while its peer
/// has an XDP program or GRO. The error is a sentence.
tl::expected<uint64_t, std::string> xdp_features(int ifindex);

}  // namespace xebec
