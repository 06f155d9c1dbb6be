// SPDX-License-Identifier: BSD-2-Clause
// Waiting for links that a driver has reset.
#include "control/carrier_wait.h"

#include <algorithm>
#include <thread>

namespace xebec {
namespace {

constexpr std::chrono::milliseconds kLookAgain{20};

}  // namespace

CarrierAnswer wait_for_carrier(const std::vector<std::string>& interfaces,
                               const std::function<bool(const std::string&)>& has_carrier,
                               const std::function<bool()>& pause) {
  CarrierAnswer answer;
  std::copy_if(interfaces.begin(), interfaces.end(), std::back_inserter(answer.lost),
               [&](const std::string& name) { return !has_carrier(name); });
  answer.missing = answer.lost;
  while (!answer.missing.empty() && pause()) std::erase_if(answer.missing, has_carrier);
  return answer;
}

std::function<bool()> pauses_for(std::chrono::milliseconds patience) {
  return [until = std::chrono::steady_clock::now() + patience] {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kLookAgain);
    return true;
  };
}

}  // namespace xebec
