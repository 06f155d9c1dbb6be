// SPDX-License-Identifier: BSD-2-Clause
#include "control/tcp_listener.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace xebec {
namespace {

constexpr int kBacklog = 128;  // as of the unix socket; clients beyond HttpLimits wait here

socklen_t fill(const Endpoint& at, sockaddr_storage& storage) {
  const auto& bytes = at.address.bytes;
  if (at.address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(at.port);
    std::memcpy(&v4.sin_addr, bytes.data() + 12, sizeof v4.sin_addr);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(at.port);
  std::memcpy(&v6.sin6_addr, bytes.data(), sizeof v6.sin6_addr);
  return sizeof v6;
}

}  // namespace

bool is_loopback(const IpAddress& address) {
  return address.is_v4() ? address.bytes[12] == 127 : address == *IpAddress::parse("::1");
}

tl::expected<std::unique_ptr<TcpListener>, std::string> TcpListener::open(const Endpoint& at) {
  const std::string name = at.address.is_v4() ? fmt::format("{}:{}", at.address.to_string(), at.port)
                                              : fmt::format("[{}]:{}", at.address.to_string(), at.port);
  const auto failure = [&name](const char* what) {
    return tl::unexpected(fmt::format("cannot {} {}: {}", what, name, std::strerror(errno)));
  };
  const int fd =
      socket(at.address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failure("make a TCP socket for");
  std::unique_ptr<TcpListener> listener(new TcpListener(fd));
  // A restart must not wait for the last one's connections in TIME-WAIT.
  const int on = 1;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!at.address.is_v4()) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  sockaddr_storage storage{};
  const socklen_t size = fill(at, storage);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), size) != 0) return failure("bind");
  if (::listen(fd, kBacklog) != 0) return failure("listen on");
  return listener;
}

TcpListener::~TcpListener() {
  close(fd_);
}

uint16_t TcpListener::port() const {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  return ntohs(storage.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(storage).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(storage).sin_port);
}

}  // namespace xebec
