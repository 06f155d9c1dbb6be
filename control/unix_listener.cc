// SPDX-License-Identifier: BSD-2-Clause
// Listening unix sockets: taking over stale files without ever taking a living one.
#include "control/unix_listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "control/access.h"

namespace xebec {
namespace {

constexpr int kWaitingClients = 128;
constexpr mode_t kSocketMode = 0660;
constexpr mode_t kDirectoryMode = 0750;

/// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string failure(const std::string& what) {
  return fmt::format("{}: {}", what, std::strerror(errno));
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// A client may use `path` only as its mode and group say, so a group that we are not in and may not give
/// things to leaves it with our own group: stricter, never looser.
void give_to_group(const std::string& path, std::optional<gid_t> gid) {
  if (gid && chown(path.c_str(), static_cast<uid_t>(-1), *gid) != 0) return;
}

/// 0, or the errno of connect(); the process id goes to `pid` if somebody answered.
int probe(const std::string& path, pid_t* pid) {
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return errno;
  const sockaddr_un address = address_of(path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  // The credentials of a listener are those of the process that called listen().
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) *pid = credentials.pid;
  return 0;
}

/// Two daemons that start together must not both find the file stale: who holds the directory looks, removes
/// and binds.
tl::expected<void, std::string> lock_directory(int directory, const std::string& name) {
  using namespace std::chrono_literals;
  for (int attempt = 0; attempt < 50; ++attempt) {
    if (flock(directory, LOCK_EX | LOCK_NB) == 0) return {};
    if (errno != EWOULDBLOCK && errno != EINTR) return tl::unexpected(failure("cannot lock " + name));
    std::this_thread::sleep_for(20ms);
  }
  return tl::unexpected(fmt::format("cannot lock {}: another process has held it for a second", name));
}

/// Leaves nothing at `path`, or says why what is there has to stay.
tl::expected<void, std::string> clear_path(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return tl::unexpected(failure("cannot look at " + path));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return tl::unexpected(fmt::format("cannot listen on {}: a file that is not a socket is there", path));
  }
  pid_t pid = 0;
  switch (const int error = probe(path, &pid)) {
    case 0:
      return tl::unexpected(fmt::format("cannot listen on {}: process {} listens on it already", path, pid));
    case EAGAIN:  // its backlog is full
      return tl::unexpected(fmt::format("cannot listen on {}: another process listens on it already", path));
    case ECONNREFUSED:
      break;
    case ENOENT:
      return {};
    default:
      return tl::unexpected(fmt::format("cannot listen on {}: a socket is there and it answers: {}", path,
                                        std::strerror(error)));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return tl::unexpected(failure("cannot remove the stale " + path));
  return {};
}

}  // namespace

std::optional<pid_t> listening_process(const std::string& path) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) return std::nullopt;
  pid_t pid = 0;
  if (probe(path, &pid) != 0) return std::nullopt;
  return pid;
}

tl::expected<void, std::string> make_socket_directory(const std::string& path, const std::string& group) {
  const std::string parent = parent_of(path);
  if (mkdir(parent.c_str(), kDirectoryMode) != 0) {
    if (errno == EEXIST) return {};
    return tl::unexpected(failure("cannot make the directory " + parent));
  }
  give_to_group(parent, group_id(group));
  if (chmod(parent.c_str(), kDirectoryMode) != 0)
    return tl::unexpected(failure("cannot set the mode of " + parent));
  return {};
}

tl::expected<std::unique_ptr<UnixListener>, std::string> UnixListener::open(const std::string& path,
                                                                            const std::string& group) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return tl::unexpected(fmt::format("cannot listen on '{}': the path of a unix socket has 1 to {} bytes",
                                      path, sizeof(sockaddr_un::sun_path) - 1));
  }
  const std::string parent = parent_of(path);
  const std::optional<gid_t> gid = group_id(group);
  if (auto made = make_socket_directory(path, group); !made) return tl::unexpected(made.error());
  const Fd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return tl::unexpected(failure("cannot open the directory " + parent));
  if (auto locked = lock_directory(directory.get(), parent); !locked) return tl::unexpected(locked.error());
  if (auto cleared = clear_path(path); !cleared) return tl::unexpected(cleared.error());

  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return tl::unexpected(failure("cannot make a unix socket"));
  // The file is born with the mode of its socket less the umask, so it is never more open than it will be.
  if (fchmod(fd.get(), kSocketMode) != 0)
    return tl::unexpected(failure("cannot set the mode of a unix socket"));
  const sockaddr_un address = address_of(path);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return tl::unexpected(failure("cannot bind " + path));
  }
  std::unique_ptr<UnixListener> listener(new UnixListener(fd.release(), path));
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return tl::unexpected(failure("cannot look at " + path));
  listener->device_ = status.st_dev;
  listener->inode_ = status.st_ino;
  give_to_group(path, gid);
  if (chmod(path.c_str(), kSocketMode) != 0) return tl::unexpected(failure("cannot set the mode of " + path));
  if (::listen(listener->fd_, kWaitingClients) != 0)
    return tl::unexpected(failure("cannot listen on " + path));
  return listener;
}

UnixListener::~UnixListener() {
  struct stat status {};
  if (lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    unlink(path_.c_str());
  }
  close(fd_);
}

}  // namespace xebec
