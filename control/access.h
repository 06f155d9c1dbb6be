// SPDX-License-Identifier: BSD-2-Clause
// Who may do what over the control socket. The socket's mode says who gets in; this says who may change things.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>

namespace xebec {

/// Who may connect (the socket is theirs, mode 0660), and who of them may change things as well.
inline constexpr const char* kReadGroup = "xebec";
inline constexpr const char* kWriteGroup = "xebec-admin";

/// A group's number; empty: there is none of this name.
std::optional<gid_t> group_id(const std::string& name);

/// Whose process is at the other end, as the kernel tells (SO_PEERCRED, SO_PEERGROUPS).
struct Peer {
  uid_t uid = static_cast<uid_t>(-1);
  std::span<const gid_t> groups;  ///< primary and supplementary
};

/// root, the daemon's own user, and members of `writers` where there is such a group.
bool may_write(const Peer& peer, uid_t own, std::optional<gid_t> writers);

}  // namespace xebec
