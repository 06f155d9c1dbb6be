// SPDX-License-Identifier: BSD-2-Clause
// Waiting for links that a driver has reset: attaching XDP or binding a zero-copy socket costs some NICs their carrier
// for seconds, and packets steered meanwhile have no way out.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace xebec {

struct CarrierAnswer {
  std::vector<std::string> lost;     ///< had no carrier at the first look
  std::vector<std::string> missing;  ///< and none at the last
};

/// Looks until all of `interfaces`, which had a carrier before, have it again, or `pause` returns false: time is up.
CarrierAnswer wait_for_carrier(const std::vector<std::string>& interfaces,
                               const std::function<bool(const std::string&)>& has_carrier,
                               const std::function<bool()>& pause);

/// A pause() that waits a little and is over after `patience`.
std::function<bool()> pauses_for(std::chrono::milliseconds patience);

}  // namespace xebec
