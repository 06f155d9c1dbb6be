// SPDX-License-Identifier: BSD-2-Clause
// The time of day, as answers have it.
#pragma once

#include <chrono>
#include <string>

namespace xebec {

/// RFC 3339, UTC, with milliseconds.
std::string timestamp(std::chrono::system_clock::time_point at);

}  // namespace xebec
