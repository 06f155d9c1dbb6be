// SPDX-License-Identifier: BSD-2-Clause
// A network of a test's own: the process moves into a network namespace that ends with it, with a sysfs that shows it.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

namespace xebec {

/// Runs a command of the test's own making; a failure if it fails.
inline void run_command(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr) << command;
  std::array<char, 1024> buffer;
  while (const std::size_t got = fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), got);
  ASSERT_EQ(pclose(pipe), 0) << command << ": " << output;
}

class OwnNetwork : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0u) << "this test makes network namespaces: run it as root";
    ASSERT_EQ(unshare(CLONE_NEWNET | CLONE_NEWNS), 0) << std::strerror(errno);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << std::strerror(errno);
    ASSERT_EQ(mount("sysfs", "/sys", "sysfs", 0, nullptr), 0) << std::strerror(errno);
  }
};

}  // namespace xebec
