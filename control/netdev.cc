// SPDX-License-Identifier: BSD-2-Clause
#include "control/netdev.h"

#include <net/if.h>

#include <filesystem>
#include <fstream>

namespace xebec {

int interface_index(const std::string& name) {
  return static_cast<int>(if_nametoindex(name.c_str()));
}

std::string name_of_interface(int ifindex) {
  char name[IF_NAMESIZE];
  return if_indextoname(static_cast<unsigned>(ifindex), name) == nullptr ? "" : name;
}

int sysfs_index(const std::string& name) {
  std::ifstream file("/sys/class/net/" + name + "/ifindex");
  int index = 0;
  file >> index;
  return index;
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

bool has_carrier(const std::string& name) {
  std::ifstream file("/sys/class/net/" + name + "/carrier");  // EINVAL while the interface is down
  int carrier = 0;
  return (file >> carrier) && carrier != 0;
}

std::optional<MacAddress> mac_of(const std::string& name) {
  std::ifstream file("/sys/class/net/" + name + "/address");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return parse_mac(line);
}

}  // namespace xebec
