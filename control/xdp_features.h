// SPDX-License-Identifier: BSD-2-Clause
// What a network interface's driver says it can do with XDP frames: the kernel's "netdev" netlink family
// (6.3).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "control/generic_netlink.h"

namespace xebec {

/// Bits of enum netdev_xdp_act, include/uapi/linux/netdev.h, which Debian 12 has not.
inline constexpr uint64_t kXdpRedirectTarget = 1u << 2;  ///< NETDEV_XDP_ACT_NDO_XMIT: ndo_xdp_xmit works now

struct XdpFeaturesError {
  bool never = false;   ///< this kernel tells of no interface (before 6.3); else it may another time
  std::string message;  ///< a sentence
};

/// The interface's feature bits. They change while it is up: a veth is a redirect target only while its peer
/// has an XDP program or GRO.
tl::expected<uint64_t, XdpFeaturesError> xdp_features(int ifindex);

/// Tells when any interface's bits have changed.
class XdpFeatureEvents {
 public:
  /// The error is a sentence.
  static tl::expected<std::unique_ptr<XdpFeatureEvents>, std::string> open();
  XdpFeatureEvents(const XdpFeatureEvents&) = delete;
  XdpFeatureEvents& operator=(const XdpFeatureEvents&) = delete;

  int fd() const;  ///< readable when something has changed; non-blocking
  void drain();    ///< takes all that is there; what it says is asked for anew by xdp_features()

 private:
  explicit XdpFeatureEvents(GenericNetlink netlink) : netlink_(std::move(netlink)) {}
  GenericNetlink netlink_;
};

}  // namespace xebec
