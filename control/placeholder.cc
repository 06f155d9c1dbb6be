// SPDX-License-Identifier: BSD-2-Clause
// A device that nothing is sent to, for an XDP program that has to be attached somewhere.
#include "control/placeholder.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "control/netdev.h"

namespace xebec {
namespace {

constexpr char kDevice[] = "/dev/net/tun";
constexpr char kName[] = "xebec-inj%d";  // the kernel puts the first free number in

}  // namespace

tl::expected<Placeholder, std::string> Placeholder::create() {
  const int fd = open(kDevice, O_RDWR | O_CLOEXEC);
  if (fd < 0) return tl::unexpected(fmt::format("cannot open {}: {}", kDevice, std::strerror(errno)));
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::memcpy(request.ifr_name, kName, sizeof kName);
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    const int error = errno;
    close(fd);
    return tl::unexpected(fmt::format("cannot make a tap device: {}", std::strerror(error)));
  }
  std::string name(request.ifr_name, strnlen(request.ifr_name, sizeof request.ifr_name));
  const int ifindex = interface_index(name);
  return Placeholder(fd, ifindex, std::move(name));
}

Placeholder::~Placeholder() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace xebec
