// SPDX-License-Identifier: BSD-2-Clause
// From an errno of bpf(2) to a sentence an operator can act on.
#include "control/steering_error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

namespace xebec {
namespace {

// The verifier's reason is its last line; the instructions before it are for a bug report.
constexpr std::size_t kLogLines = 6;

struct Capability {
  uint32_t number;
  std::string_view name;
};
constexpr std::array<Capability, 2> kNeeded = {{{CAP_BPF, "CAP_BPF"}, {CAP_NET_ADMIN, "CAP_NET_ADMIN"}}};
constexpr Capability kPerfmon = {CAP_PERFMON, "CAP_PERFMON"};

bool has(const Capability& capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return true;  // cannot be told: accuse nobody
  return (data.at(capability.number / 32).effective >> (capability.number % 32) & 1u) != 0;
}

std::string why_not_permitted() {
  std::vector<std::string_view> missing;
  for (const Capability& capability : kNeeded) {
    if (!has(capability)) missing.push_back(capability.name);
  }
  if (!missing.empty())
    return fmt::format("not permitted: this process lacks {}", fmt::join(missing, " and "));
  return "not permitted although this process has CAP_BPF and CAP_NET_ADMIN: a user namespace that is not "
         "the initial "
         "one, a container's seccomp filter, kernel lockdown or a security module forbids bpf(2)";
}

}  // namespace

SteeringError steering_error(SteeringError::Kind kind, std::string message) {
  return {kind, std::move(message)};
}

SteeringError steering_error(std::string_view what, int error, const LibbpfLog& log) {
  using Kind = SteeringError::Kind;
  if (error == EPERM) return {Kind::permission, fmt::format("{}: {}", what, why_not_permitted())};

  std::string message = fmt::format("{}: {}", what, std::generic_category().message(error));
  // EACCES is how the verifier refuses what a program with more privilege might do.
  if (error == EACCES && !has(kPerfmon)) message += fmt::format(" (this process lacks {})", kPerfmon.name);
  for (const std::string& line : log.last_lines(kLogLines)) message += fmt::format("\n  {}", line);

  const bool refused = error == EACCES || error == EINVAL || error == E2BIG || error == EOPNOTSUPP ||
                       error == ENOTSUP || error == ENOSYS || error == EFAULT;
  return {refused ? Kind::unsupported : Kind::other, std::move(message)};
}

}  // namespace xebec
