// SPDX-License-Identifier: BSD-2-Clause
#include "control/api_backend.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

namespace xebec {
namespace {

// As long as a confirmation: longer ones mean something else.
constexpr uint64_t kLongestDrainMs = 24 * 3'600'000;

int64_t milliseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

HttpResponse drain(const Call& call, const IpAddress& address, bool then_remove) {
  const auto deadline_ms = number_in_query(call, "deadline_ms", 0, kLongestDrainMs);
  if (!deadline_ms) return deadline_ms.error();
  Drains::Order order;
  order.then_remove = then_remove;
  if (*deadline_ms != 0) order.deadline = std::chrono::milliseconds(*deadline_ms);
  return answer(call.controller.drain_backend(call.path[1], address, order, call.terms()), 200);
}

}  // namespace

HttpResponse change_backend(const Call& call) {
  Controller& c = call.controller;
  const auto address = IpAddress::parse(call.path[3]);
  if (!address) return failure(400, "usage", fmt::format("backend: {} is not an IP address", call.path[3]));
  if (call.path.size() == 5) return drain(call, *address, false);
  if (call.request.method == "DELETE") {
    if (call.flag("drain")) return drain(call, *address, true);
    return answer(c.remove_backend(call.path[1], *address, call.terms()), 200);
  }
  const auto body = parse_body(call.request.body);
  if (!body) return body.error();
  return answer(c.set_backend(call.path[1], *address, *body, call.terms()), 200);
}

Json report_drain(const Controller& controller, const std::string& service, const IpAddress& address) {
  const Drain* drain = controller.drains().find({service, address});
  if (drain == nullptr) return nullptr;
  const auto now = std::chrono::steady_clock::now();
  Json remaining = nullptr;
  if (drain->deadline && drain->phase == Drain::Phase::draining)
    remaining = std::max<int64_t>(milliseconds(*drain->deadline - now), 0);
  return {{"phase", drain->phase == Drain::Phase::drained ? "drained" : "draining"},
          {"flows", drain->flows},
          {"flows_at_start", drain->flows_at_start},
          {"elapsed_ms", milliseconds(now - drain->since)},
          {"remaining_ms", remaining},
          {"then_delete", drain->then_remove}};
}

}  // namespace xebec
