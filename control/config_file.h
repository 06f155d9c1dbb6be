// SPDX-License-Identifier: BSD-2-Clause
// The daemon's configuration file: read, and written so that it is never anything but the old text or the new one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "control/text_file.h"

namespace xebec {

class ConfigFile {
 public:
  explicit ConfigFile(std::string path = {}) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  /// Something that was read from it is in force, or was.
  bool known() const { return seen_.has_value(); }

  tl::expected<std::string, FileError> read() const { return read_text_file(path_); }
  /// What read() gave has come into force.
  void took(std::string_view text);

  struct SaveError {
    bool changed = false;  ///< since its text came into force; `force` overwrites it
    std::string message;   ///< "PATH: WHY"
  };
  /// Writes beside it, syncs, renames. What stood there stays as PATH.old, comments and all. Owner and mode stay; a symbolic link
  /// stays, and the file that it names is replaced.
  tl::expected<void, SaveError> save(std::string_view text, bool force);

 private:
  std::string path_;
  std::optional<uint64_t> seen_;  ///< hash of the text last taken or written
};

}  // namespace xebec
