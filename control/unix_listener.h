// SPDX-License-Identifier: BSD-2-Clause
// A listening unix stream socket and its file, which live and die together.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "control/listener.h"

namespace xebec {

/// The process that listens on the unix socket `path`, if one does: how a second daemon knows that it is the
/// second.
std::optional<pid_t> listening_process(const std::string& path);

/// Makes the directory of `path` (mode 0750, one level, `group`'s where there is such a group) if it is missing; one that is
/// there stays as it is.
tl::expected<void, std::string> make_socket_directory(const std::string& path, const std::string& group);

class UnixListener final : public Listener {
 public:
  /// Makes the directory as make_socket_directory() does, replaces a socket file that nobody
  /// listens on, binds `path` with mode 0660 and listens. The file belongs to `group` where it
  /// exists and we may give them to it. Refuses a path that something listens on, and one that is no socket.
  /// The error is a sentence.
  static tl::expected<std::unique_ptr<UnixListener>, std::string> open(const std::string& path,
                                                                       const std::string& group);
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  /// Removes the file, unless somebody has put another one in its place.
  ~UnixListener() override;

  int fd() const override { return fd_; }

 private:
  UnixListener(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_;
  std::string path_;
  dev_t device_ = 0;  // of our file
  ino_t inode_ = 0;
};

}  // namespace xebec
