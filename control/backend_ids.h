// SPDX-License-Identifier: BSD-2-Clause
// Small integers for backends: what flows remember, counters are indexed by and tables hold.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "dataplane/ip_address.h"

namespace xebec {

/// Hands out one id per (service, address) and keeps it for as long as the backend is configured. A released
/// id rests before it is used again, because remembered flows may still carry it; one that does meet its
/// successor is sent to the successor only within the same service (dataplane/forward.cc checks), so nothing
/// ever crosses services.
class BackendIds {
 public:
  /// The backend's id, a new one if it has none. Empty: kMaxBackends are in use.
  std::optional<uint32_t> acquire(const std::string& service, const IpAddress& address);
  std::optional<uint32_t> find(const std::string& service, const IpAddress& address) const;
  void release(const std::string& service, const IpAddress& address);

  /// Visits every id in use.
  template <typename F>
  void for_each(F&& f) const {
    for (const auto& [key, id] : ids_) f(key.first, key.second, id);
  }

  std::size_t size() const { return ids_.size(); }

  /// One above the largest id ever handed out.
  uint32_t end() const { return next_; }

 private:
  static constexpr std::size_t kResting = 1024;  ///< released ids kept out of use, oldest first to return
  std::map<std::pair<std::string, IpAddress>, uint32_t> ids_;
  std::deque<uint32_t> released_;
  uint32_t next_ = 0;
};

}  // namespace xebec
