// SPDX-License-Identifier: BSD-2-Clause
#include "control/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

namespace xebec {
namespace {

constexpr std::size_t kLargest = 64u << 20;

tl::unexpected<FileError> failed(const std::string& path, int code, const char* why) {
  return tl::unexpected(FileError{code, path + ": " + why});
}

}  // namespace

tl::expected<std::string, FileError> read_text_file(const std::string& path) {
  // Without O_NONBLOCK, opening a FIFO that nobody writes would wait for ever.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed(path, errno, std::strerror(errno));
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    const bool directory = S_ISDIR(status.st_mode);
    close(fd);
    return directory ? failed(path, EISDIR, "is a directory") : failed(path, EINVAL, "is not a regular file");
  }
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int code = n < 0 ? errno : 0;
      close(fd);
      if (code != 0) return failed(path, code, std::strerror(code));
      return text;
    }
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > kLargest) {
      close(fd);
      return failed(path, EFBIG, "is larger than 64 MiB");
    }
  }
}

}  // namespace xebec
