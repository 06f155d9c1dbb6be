// SPDX-License-Identifier: BSD-2-Clause
// A listening TCP socket.
#pragma once

#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "control/endpoint.h"
#include "control/listener.h"

namespace xebec {

/// 127.0.0.0/8 or ::1: nobody but this host reaches it.
bool is_loopback(const IpAddress& address);

class TcpListener final : public Listener {
 public:
  /// Binds and listens; `::` takes IPv6 only. Port 0 takes a free one. The error is a sentence.
  static tl::expected<std::unique_ptr<TcpListener>, std::string> open(const Endpoint& at);
  TcpListener(const TcpListener&) = delete;
  TcpListener& operator=(const TcpListener&) = delete;
  ~TcpListener() override;

  int fd() const override { return fd_; }
  uint16_t port() const;  ///< that it listens on

 private:
  explicit TcpListener(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace xebec
