// SPDX-License-Identifier: BSD-2-Clause
// The kernel around a test: a network namespace of its own, child processes, other people's XDP programs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace xebec::test {

/// While it lives, this thread is in a network namespace of its own, and what was made there goes with it. It
/// has no name, so nothing is left behind even by a crash. Throws std::runtime_error that says what privilege
/// is needed.
class PrivateNetwork {
 public:
  PrivateNetwork();
  ~PrivateNetwork();
  PrivateNetwork(const PrivateNetwork&) = delete;
  PrivateNetwork& operator=(const PrivateNetwork&) = delete;

  /// A veth pair, both ends up, of so many receive and transmit queues each. Returns the ifindex of `name`.
  int add_veth(const std::string& name, const std::string& peer, int queues);

 private:
  int outside_;
};

/// Runs `ip ARGUMENTS`; throws std::runtime_error if that fails.
void ip(const std::string& arguments);

/// Runs `body` in a child process and returns what it returns. What the child writes to stderr is in the
/// result, too.
std::string in_child(const std::function<std::string()>& body);

/// Gives up every capability but these, for good: for use in a child.
void keep_only_capabilities(const std::vector<int>& capabilities);

/// A program that passes everything, with a name of 15 characters at most. The caller closes the descriptor.
int load_foreign_program(const std::string& name);

/// Ids of the programs on an interface; 0 = none.
uint32_t native_program(int ifindex);
uint32_t generic_program(int ifindex);

/// True as soon as `condition` is; false if it is not within the deadline.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds deadline = std::chrono::seconds(5));

}  // namespace xebec::test
