// SPDX-License-Identifier: BSD-2-Clause
// What belongs to an installation rather than to a configuration: the one-daemon lock and the hash seed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <tl/expected.hpp>

namespace xebec {

/// Held for the life of a daemon: a second one on the same socket path finds it taken. Released by the kernel
/// whatever ends the process.
class InstanceLock {
 public:
  struct Error {
    bool taken = false;  ///< by a living daemon
    std::string message;
  };
  /// Tries for half a second: a predecessor that was just killed may still be on its way out.
  static tl::expected<std::unique_ptr<InstanceLock>, Error> take(const std::string& path);
  ~InstanceLock();
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_;
};

/// The seed of `state_dir`, made at random and kept there (0600) the first time, so that a restart hashes as
/// before. Where it cannot be kept, `warning` says so and the seed is good for this run only.
std::array<uint8_t, 16> installation_seed(const std::string& state_dir, std::string& warning);

}  // namespace xebec
