// SPDX-License-Identifier: BSD-2-Clause
#include "control/backend_ids.h"

#include "dataplane/limits.h"

namespace xebec {

std::optional<uint32_t> BackendIds::acquire(const std::string& service, const IpAddress& address) {
  const auto key = std::make_pair(service, address);
  if (const auto it = ids_.find(key); it != ids_.end()) return it->second;
  uint32_t id = 0;
  if (released_.size() > kResting || (next_ == kMaxBackends && !released_.empty())) {
    id = released_.front();
    released_.pop_front();
  } else if (next_ < kMaxBackends) {
    id = next_++;
  } else {
    return std::nullopt;
  }
  ids_.emplace(key, id);
  return id;
}

std::optional<uint32_t> BackendIds::find(const std::string& service, const IpAddress& address) const {
  const auto it = ids_.find(std::make_pair(service, address));
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

void BackendIds::release(const std::string& service, const IpAddress& address) {
  const auto it = ids_.find(std::make_pair(service, address));
  if (it == ids_.end()) return;
  released_.push_back(it->second);
  ids_.erase(it);
}

}  // namespace xebec
