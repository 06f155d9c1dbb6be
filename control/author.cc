// SPDX-License-Identifier: BSD-2-Clause
#include "control/author.h"

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

namespace xebec {

std::string author(std::string_view what, uid_t uid, pid_t pid) {
  std::string text = fmt::format("{} uid {} pid {}", what, uid, pid);
  const int fd = pid > 0 ? open(fmt::format("/proc/{}/comm", pid).c_str(), O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return text;
  char name[32];  // TASK_COMM_LEN is 16
  const ssize_t length = read(fd, name, sizeof name);
  close(fd);
  std::string comm;
  for (ssize_t i = 0; i < length && name[i] != '\n'; ++i) {
    // A process chooses its own name; it must not begin a line in the log.
    const auto c = static_cast<unsigned char>(name[i]);
    comm += c < 0x20 || c > 0x7e ? '?' : name[i];
  }
  return comm.empty() ? text : fmt::format("{} ({})", text, comm);
}

}  // namespace xebec
