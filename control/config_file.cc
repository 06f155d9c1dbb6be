// SPDX-License-Identifier: BSD-2-Clause
#include "control/config_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#define XXH_INLINE_ALL  // the library is header only here
#include <xxhash.h>

namespace xebec {
namespace {

uint64_t hash_of(std::string_view text) {
  return XXH3_64bits(text.data(), text.size());
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

/// Where the links lead; `path` itself if there is nothing yet.
std::string target_of(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
  return real ? std::string(real.get()) : path;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

/// A new file with this text, on the disk. The errno of what failed, or 0.
int write_synced(const std::string& path, std::string_view text, const struct stat* like) {
  // A hash seed may stand in it.
  const Descriptor file{open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (file.fd < 0) return errno;
  // Owner first: it takes bits off the mode. Who may not give files away keeps them; the mode is kept in any case.
  if (like != nullptr) (void)!fchown(file.fd, like->st_uid, like->st_gid);
  if (fchmod(file.fd, like != nullptr ? like->st_mode & 07777 : 0640) != 0) return errno;
  if (!write_all(file.fd, text) || fsync(file.fd) != 0) return errno;
  return 0;
}

/// Gives `path` a second name, whole or not at all. Not every file system can.
void keep_old(const std::string& path) {
  const std::string fresh = path + ".old.new";
  unlink(fresh.c_str());
  if (link(path.c_str(), fresh.c_str()) != 0) return;
  if (std::rename(fresh.c_str(), (path + ".old").c_str()) != 0) unlink(fresh.c_str());
  // Two names of one file already: rename(2) does nothing then, and leaves both.
  unlink(fresh.c_str());
}

void sync_directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Descriptor open_directory{open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (open_directory.fd >= 0) (void)fsync(open_directory.fd);
}

}  // namespace

void ConfigFile::took(std::string_view text) {
  seen_ = hash_of(text);
}

tl::expected<void, ConfigFile::SaveError> ConfigFile::save(std::string_view text, bool force) {
  const auto failed = [](const std::string& path, int code) {
    return tl::unexpected(SaveError{false, fmt::format("{}: {}", path, std::strerror(code))});
  };
  const std::string path = target_of(path_);
  const auto there = read_text_file(path);
  if (!there && there.error().code != ENOENT) return tl::unexpected(SaveError{false, there.error().message});
  if (there && !force && seen_ != hash_of(*there)) {
    return tl::unexpected(SaveError{true, fmt::format("{}: {}", path,
                                                      seen_ ? "was changed since the daemon read it"
                                                            : "is there, and the daemon has not read it")});
  }
  struct stat status {};
  const bool exists = stat(path.c_str(), &status) == 0;
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());  // of a save that was killed
  if (const int code = write_synced(fresh, text, exists ? &status : nullptr); code != 0) {
    unlink(fresh.c_str());
    return failed(fresh, code);
  }
  if (exists) keep_old(path);
  if (std::rename(fresh.c_str(), path.c_str()) != 0) {
    const int code = errno;
    unlink(fresh.c_str());
    return failed(path, code);
  }
  sync_directory_of(path);
  took(text);
  return {};
}

}  // namespace xebec
