// SPDX-License-Identifier: BSD-2-Clause
#include "control/report_drain.h"

#include <algorithm>
#include <chrono>

namespace xebec {
namespace {

int64_t whole_ms(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

Json report_drain(const Controller& controller, const std::string& service, const IpAddress& address) {
  const Drain* drain = controller.drains().find({service, address});
  if (drain == nullptr) return nullptr;
  const auto now = std::chrono::steady_clock::now();
  Json remaining = nullptr;
  if (drain->deadline && drain->phase == Drain::Phase::draining)
    remaining = std::max<int64_t>(whole_ms(*drain->deadline - now), 0);
  return {{"phase", drain->phase == Drain::Phase::drained ? "drained" : "draining"},
          {"flows", drain->flows},
          {"flows_at_start", drain->flows_at_start},
          {"elapsed_ms", whole_ms(now - drain->since)},
          {"remaining_ms", remaining},
          {"then_delete", drain->then_remove}};
}

}  // namespace xebec
