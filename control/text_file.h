// SPDX-License-Identifier: BSD-2-Clause
// Reading a whole small file, for the daemon: never waits, never mistakes something else for a file.
#pragma once

#include <cerrno>
#include <fstream>
#include <string>

#include <tl/expected.hpp>

namespace xebec {

struct FileError {
  int code = 0;  ///< errno; EISDIR, EINVAL (neither file nor directory) and EFBIG are also our own findings
  std::string message;  ///< "PATH: WHY"
};

/// Regular files up to 64 MiB: the control thread reads them while it serves.
tl::expected<std::string, FileError> read_text_file(const std::string& path);

/// Of a file below /proc or /sys; empty if it cannot be read.
inline std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace xebec
