// SPDX-License-Identifier: BSD-2-Clause
// Known faults of drivers, as data.
#include "control/driver_quirks.h"

#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace xebec {
namespace {

using Answer = DriverQuirk::Answer;

// A row needs a public source that names driver and version. What was only heard of stays out.
constexpr DriverQuirk kQuirks[] = {
    {"ena",
     {},
     Answer::force_copy,
     "zero-copy is only in the vendor's own module, where it was seen to reset the device (2.7.1) and to "
     "corrupt packets "
     "under load (2.13.1)",
     "github.com/amzn/amzn-drivers issues 221, 330",
     "\"bind\": \"zerocopy\" if the module in use is known to be good"},
    // net/mlx5e: XSK queues had ids of their own behind the regular ones; 3db4c85cde7a gave them the regular ids.
    {"mlx5_core",
     {6, 2},
     Answer::force_copy,
     "a zero-copy queue q is number q + channels, and the channel's own queue q receives beside it: hashed "
     "traffic does "
     "not reach the socket",
     "Linux commit 3db4c85cde7a; github.com/OpenDataPlane/odp pull request 1574",
     "Linux 6.2"},
    // Four commits of July and August 2024, among them 405d9999aa0b and 9da75a511c55.
    {"ice",
     {6, 11},
     Answer::keep_sockets,
     "closing and opening zero-copy sockets under traffic can reset the NIC for good",
     "github.com/intel/ethernet-linux-ice issue 61",
     "Linux 6.11"},
    {"ice",
     {},
     Answer::tell,
     "zero-copy under some 80 Mpps was seen to panic Linux 7.0; not explained yet",
     "github.com/intel/ethernet-linux-ice issue 59",
     "\"bind\": \"copy\" if it happens"},
    {"sfc",
     {},
     Answer::tell,
     "attaching XDP while the interface is down was seen to crash Linux 5.15",
     "github.com/Xilinx-CNS/onload issue 177",
     "bring the interface up before the start"},
};

std::optional<uint32_t> leading_number(std::string_view& text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

}  // namespace

KernelVersion parse_kernel_version(std::string_view release) {
  const auto major = leading_number(release);
  if (!major || release.empty() || release.front() != '.') return {};
  release.remove_prefix(1);
  const auto minor = leading_number(release);
  return minor ? KernelVersion{*major, *minor} : KernelVersion{};
}

KernelVersion running_kernel() {
  utsname name{};
  return uname(&name) == 0 ? parse_kernel_version(name.release) : KernelVersion{};
}

std::span<const DriverQuirk> all_driver_quirks() {
  return kQuirks;
}

std::vector<DriverQuirk> quirks_of(std::string_view driver, KernelVersion kernel) {
  std::vector<DriverQuirk> found;
  for (const DriverQuirk& quirk : kQuirks) {
    if (quirk.driver == driver && (quirk.mended == KernelVersion{} || kernel < quirk.mended))
      found.push_back(quirk);
  }
  return found;
}

bool answers(const std::vector<DriverQuirk>& quirks, DriverQuirk::Answer answer) {
  return std::any_of(quirks.begin(), quirks.end(), [&](const DriverQuirk& q) { return q.answer == answer; });
}

std::vector<Finding> report_quirks(const std::string& interface, const std::vector<DriverQuirk>& quirks,
                                   bool asked_zerocopy) {
  std::vector<Finding> findings;
  for (const DriverQuirk& quirk : quirks) {
    std::string_view done;
    if (quirk.answer == Answer::force_copy) {
      done = asked_zerocopy ? "; zero-copy all the same, as configured" : "; so copy mode";
    } else if (quirk.answer == Answer::keep_sockets) {
      done = "; so none is bound anew while packets come";
    }
    findings.push_back(
        {Finding::Level::warn,
         fmt::format("{}: driver {}: {}{} [{}]", interface, quirk.driver, quirk.symptom, done, quirk.source),
         std::string(quirk.mend)});
  }
  return findings;
}

}  // namespace xebec
