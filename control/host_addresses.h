// SPDX-License-Identifier: BSD-2-Clause
// The addresses this host has, followed as they come and go.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include <tl/expected.hpp>

#include "control/event_loop.h"
#include "control/netlink.h"
#include "dataplane/ip_address.h"

namespace xebec {

/// One thread, the loop's.
class HostAddresses {
 public:
  /// on_change runs on the loop after the set has changed.
  static tl::expected<std::unique_ptr<HostAddresses>, std::string> follow(EventLoop& loop,
                                                                          std::function<void()> on_change);
  ~HostAddresses();
  HostAddresses(const HostAddresses&) = delete;
  HostAddresses& operator=(const HostAddresses&) = delete;

  const std::set<IpAddress>& all() const { return addresses_; }

 private:
  HostAddresses(EventLoop& loop, std::unique_ptr<Netlink> netlink, std::function<void()> on_change);
  void heard();
  bool read();

  EventLoop& loop_;
  std::unique_ptr<Netlink> netlink_;
  std::function<void()> on_change_;
  EventLoop::WatchId watch_ = 0;
  std::set<IpAddress> addresses_;
};

}  // namespace xebec
