// SPDX-License-Identifier: BSD-2-Clause
// The host's addresses. A notification only says that something changed; what is there is asked anew.
#include "control/host_addresses.h"

#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <spdlog/spdlog.h>

namespace xebec {

HostAddresses::HostAddresses(EventLoop& loop, std::unique_ptr<Netlink> netlink,
                             std::function<void()> on_change)
    : loop_(loop), netlink_(std::move(netlink)), on_change_(std::move(on_change)) {}

HostAddresses::~HostAddresses() {
  if (watch_ != 0) loop_.unwatch(watch_);
}

tl::expected<std::unique_ptr<HostAddresses>, std::string> HostAddresses::follow(
    EventLoop& loop, std::function<void()> on_change) {
  auto netlink = Netlink::open({RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR});
  if (!netlink) return tl::unexpected(netlink.error());
  std::unique_ptr<HostAddresses> self(new HostAddresses(loop, std::move(*netlink), std::move(on_change)));
  self->watch_ = loop.watch(self->netlink_->fd(), POLLIN, [s = self.get()](short) { s->heard(); });
  self->read();
  return self;
}

void HostAddresses::heard() {
  while (netlink_->receive([](const nlmsghdr*) {}) == Netlink::Heard::more) {
  }
  if (read()) on_change_();
}

/// True if the set has changed.
bool HostAddresses::read() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    spdlog::warn("the host's addresses cannot be read: {}", std::strerror(errno));
    return false;
  }
  std::set<IpAddress> now;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    if (entry->ifa_addr->sa_family == AF_INET) {
      sockaddr_in v4;
      std::memcpy(&v4, entry->ifa_addr, sizeof v4);
      now.insert(IpAddress::from_v4(Be32::from_raw(v4.sin_addr.s_addr)));
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 v6;
      std::memcpy(&v6, entry->ifa_addr, sizeof v6);
      IpAddress address;
      std::memcpy(address.bytes.data(), &v6.sin6_addr, address.bytes.size());
      now.insert(address);
    }
  }
  freeifaddrs(list);
  return std::exchange(addresses_, now) != now;
}

}  // namespace xebec
