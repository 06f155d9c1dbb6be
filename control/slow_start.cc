// SPDX-License-Identifier: BSD-2-Clause
#include "control/slow_start.h"

#include <algorithm>

namespace xebec {
namespace {

uint64_t step_of(const ServiceConfig& service) {
  return std::max<uint64_t>(service.slow_start_ms / SlowStart::kSteps, SlowStart::kStepMs);
}

}  // namespace

bool SlowStart::settles(const std::string& service, uint64_t now_ms) const {
  const auto first = first_ms_.find(service);
  return first == first_ms_.end() || now_ms - first->second < kSettleMs;
}

uint32_t SlowStart::permille(const ServiceConfig& service, const IpAddress& backend, uint64_t now_ms) const {
  if (service.slow_start_ms == 0) return kWhole;
  const auto since = since_ms_.find({service.name, backend});
  if (since == since_ms_.end()) return settles(service.name, now_ms) ? kWhole : kFirst;
  const uint64_t elapsed = now_ms - since->second;
  if (since->second == kLongAgo || elapsed >= service.slow_start_ms) return kWhole;
  // In steps, so that tables built for other reasons in between leave the lookup array alone.
  const uint64_t reached = elapsed / step_of(service) * step_of(service);
  return kFirst + static_cast<uint32_t>((kWhole - kFirst) * reached / service.slow_start_ms);
}

void SlowStart::observe(const Config& config, const std::function<bool(const Key&)>& takes, uint64_t now_ms) {
  std::map<Key, uint64_t> since;
  std::map<std::string, uint64_t> first;
  for (const ServiceConfig& service : config.services) {
    bool any = false;
    for (const BackendConfig& backend : service.backends) {
      const Key key{service.name, backend.address};
      if (!takes(key)) continue;
      any = true;
      const auto known = since_ms_.find(key);
      const uint64_t began = settles(service.name, now_ms) ? kLongAgo : now_ms;
      since.emplace(key, known != since_ms_.end() ? known->second : began);
    }
    const auto known = first_ms_.find(service.name);
    if (known != first_ms_.end()) {
      first.insert(*known);
    } else if (any) {
      first.emplace(service.name, now_ms);
    }
  }
  since_ms_ = std::move(since);
  first_ms_ = std::move(first);
}

std::optional<uint64_t> SlowStart::next_step_ms(const Config& config, uint64_t now_ms) const {
  std::optional<uint64_t> next;
  for (const ServiceConfig& service : config.services) {
    if (service.slow_start_ms == 0) continue;
    for (auto it = since_ms_.lower_bound({service.name, IpAddress{}});
         it != since_ms_.end() && it->first.first == service.name; ++it) {
      const uint64_t elapsed = now_ms - it->second;
      if (it->second == kLongAgo || permille(service, it->first.second, now_ms) == kWhole) continue;
      const uint64_t step = step_of(service);
      const uint64_t due = std::min<uint64_t>((elapsed / step + 1) * step, service.slow_start_ms);
      next = std::min(next.value_or(UINT64_MAX), it->second + due);
    }
  }
  if (next) next = std::max(*next, now_ms + kStepMs);
  return next;
}

}  // namespace xebec
