// SPDX-License-Identifier: BSD-2-Clause
#include "control/netdev.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace xebec {
namespace {

/// One SIOCETHTOOL call; false if the kernel or the driver does not answer.
bool ethtool(const std::string& name, void* request) {
  if (name.size() >= IFNAMSIZ) return false;
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  ifreq ifr{};
  std::memcpy(ifr.ifr_name, name.c_str(), name.size());
  ifr.ifr_data = static_cast<char*>(request);
  const bool ok = ioctl(fd, SIOCETHTOOL, &ifr) == 0;
  close(fd);
  return ok;
}

std::optional<uint32_t> flags_of(const std::string& name) {
  ethtool_value value{};
  value.cmd = ETHTOOL_GFLAGS;
  if (!ethtool(name, &value)) return std::nullopt;
  return value.data;
}

}  // namespace

int interface_index(const std::string& name) {
  return static_cast<int>(if_nametoindex(name.c_str()));
}

uint32_t receive_queues(const std::string& name) {
  uint32_t n = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net/" + name + "/queues", error)) {
    if (entry.path().filename().string().starts_with("rx-")) ++n;
  }
  return n;
}

uint32_t mtu_of(const std::string& name) {
  std::ifstream file("/sys/class/net/" + name + "/mtu");
  uint32_t mtu = 0;
  file >> mtu;
  return mtu;
}

std::string driver_of(const std::string& name) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (!ethtool(name, &info) || info.driver[0] == '\0') return "unknown";
  return info.driver;
}

std::optional<bool> has_lro(const std::string& name) {
  const auto flags = flags_of(name);
  if (!flags) return std::nullopt;
  return (*flags & ETH_FLAG_LRO) != 0;
}

std::optional<bool> strips_vlan_tags(const std::string& name) {
  const auto flags = flags_of(name);
  if (!flags) return std::nullopt;
  return (*flags & ETH_FLAG_RXVLAN) != 0;
}

}  // namespace xebec
