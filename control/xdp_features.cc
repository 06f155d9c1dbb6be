// SPDX-License-Identifier: BSD-2-Clause
// What a network interface's driver says it can do with XDP frames.
#include "control/xdp_features.h"

#include <libmnl/libmnl.h>

#include <cerrno>
#include <optional>

#include <fmt/format.h>

namespace xebec {
namespace {

// include/uapi/linux/netdev.h
constexpr char kFamily[] = "netdev";
constexpr uint8_t kVersion = 1;
constexpr uint8_t kCmdDevGet = 1;      // NETDEV_CMD_DEV_GET
constexpr uint16_t kAttrIfindex = 1;   // NETDEV_A_DEV_IFINDEX
constexpr uint16_t kAttrFeatures = 3;  // NETDEV_A_DEV_XDP_FEATURES
constexpr char kGroup[] = "mgmt";      // NETDEV_MCGRP_MGMT

XdpFeaturesError cannot_ask(const GenericNetlinkError& error) {
  if (error.code == ENOENT) return {true, "the kernel does not tell XDP features (it does from 6.3 on)"};
  return {false, fmt::format("cannot ask the kernel for XDP features: {}", error.message)};
}

}  // namespace

tl::expected<uint64_t, XdpFeaturesError> xdp_features(int ifindex) {
  auto netlink = GenericNetlink::open(kFamily, kVersion);
  if (!netlink) return tl::unexpected(cannot_ask(netlink.error()));
  const auto answer = netlink->ask(kCmdDevGet, [&](nlmsghdr* request) {
    mnl_attr_put_u32(request, kAttrIfindex, static_cast<uint32_t>(ifindex));
  });
  std::optional<uint64_t> features;
  if (answer) {
    visit_attributes(answer->header(), [&](const nlattr* a) {
      if (mnl_attr_get_type(a) == kAttrFeatures && mnl_attr_validate(a, MNL_TYPE_U64) == 0)
        features = mnl_attr_get_u64(a);
    });
  }
  if (features) return *features;
  return tl::unexpected(
      XdpFeaturesError{false, fmt::format("the kernel does not tell the XDP features: {}",
                                          answer ? "not in its answer" : answer.error().message)});
}

tl::expected<std::unique_ptr<XdpFeatureEvents>, std::string> XdpFeatureEvents::open() {
  auto netlink = GenericNetlink::open(kFamily, kVersion);
  if (!netlink) return tl::unexpected(cannot_ask(netlink.error()).message);
  if (auto r = netlink->listen(kGroup); !r) return tl::unexpected(cannot_ask(r.error()).message);
  return std::unique_ptr<XdpFeatureEvents>(new XdpFeatureEvents(std::move(*netlink)));
}

int XdpFeatureEvents::fd() const {
  return netlink_.fd();
}

void XdpFeatureEvents::drain() {
  (void)netlink_.drain({});  // an overrun is news like any other: everything is asked for anew
}

}  // namespace xebec
