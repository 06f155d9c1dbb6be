// SPDX-License-Identifier: BSD-2-Clause
#include "control/access.h"

#include <grp.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace xebec {

std::optional<gid_t> group_id(const std::string& name) {
  std::vector<char> buffer(1024);
  group entry{};
  group* found = nullptr;
  int rc = 0;
  while ((rc = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < (1u << 20)) {
    buffer.resize(buffer.size() * 2);
  }
  if (rc != 0 || found == nullptr) return std::nullopt;
  return found->gr_gid;
}

bool may_write(const Peer& peer, uid_t own, std::optional<gid_t> writers) {
  if (peer.uid == 0 || peer.uid == own) return true;
  return writers && std::find(peer.groups.begin(), peer.groups.end(), *writers) != peer.groups.end();
}

}  // namespace xebec
