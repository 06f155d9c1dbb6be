// SPDX-License-Identifier: BSD-2-Clause
// Known faults of drivers, as data: which driver, up to which kernel, what happens, and what Xebec does about it.
// docs/drivers.md tells how each was learnt.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/preflight.h"

namespace xebec {

struct KernelVersion {
  uint32_t major = 0;
  uint32_t minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};
/// Of utsname::release, "6.1.0-18-amd64"; 0.0 if it is of no such form.
KernelVersion parse_kernel_version(std::string_view release);
KernelVersion running_kernel();

struct DriverQuirk {
  enum class Answer : uint8_t {
    force_copy,    ///< `bind` auto is copy; `bind` zerocopy obtains it all the same
    keep_sockets,  ///< a worker with a zero-copy socket there has no socket bound anew while it serves
    tell,          ///< only said
  };
  std::string_view driver;
  KernelVersion mended{};  ///< the first kernel without; 0.0: none is known
  Answer answer = Answer::tell;
  std::string_view symptom;
  std::string_view source;  ///< where it was read
  std::string_view mend;    ///< may be empty
};

std::span<const DriverQuirk> all_driver_quirks();
std::vector<DriverQuirk> quirks_of(std::string_view driver, KernelVersion kernel);

/// Whether one of them has this answer.
bool answers(const std::vector<DriverQuirk>& quirks, DriverQuirk::Answer answer);

/// What the preflight says of them. `asked_zerocopy`: the configuration says so and wins.
std::vector<Finding> report_quirks(const std::string& interface, const std::vector<DriverQuirk>& quirks,
                                   bool asked_zerocopy);

}  // namespace xebec
