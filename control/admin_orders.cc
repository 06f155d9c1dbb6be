// SPDX-License-Identifier: BSD-2-Clause
#include "control/admin_orders.h"

#include <fmt/format.h>

namespace xebec {

void AdminOrders::set(const Key& key, Admin before, Admin now) {
  const auto [it, fresh] = orders_.try_emplace(key);
  if (fresh) it->second.before = before;
  it->second.now = now;
  if (it->second.before == now) orders_.erase(it);
}

std::set<AdminOrders::Key> AdminOrders::merge(Config& wanted) const {
  std::set<Key> standing;
  if (orders_.empty()) return standing;
  for (ServiceConfig& service : wanted.services) {
    for (BackendConfig& backend : service.backends) {
      const auto it = orders_.find({service.name, backend.address});
      if (it == orders_.end() || backend.admin != it->second.before) continue;
      backend.admin = it->second.now;
      standing.insert(it->first);
    }
  }
  return standing;
}

void AdminOrders::settle(const Config& config, const std::set<Key>* standing) {
  if (orders_.empty()) return;
  std::set<Key> obeyed;
  for (const ServiceConfig& service : config.services) {
    for (const BackendConfig& backend : service.backends) {
      const auto it = orders_.find({service.name, backend.address});
      if (it != orders_.end() && it->second.now == backend.admin) obeyed.insert(it->first);
    }
  }
  std::erase_if(orders_, [&](const auto& entry) {
    return !obeyed.contains(entry.first) || (standing != nullptr && !standing->contains(entry.first));
  });
}

std::string AdminOrders::sentence(const Key& key) const {
  const Order& order = orders_.at(key);
  return fmt::format("{0}: backend {1} stays in {2}, as it was told; xebec backend {3} {0} {1} ends that",
                     key.first, key.second.to_string(), to_string(order.now), to_string(order.before));
}

}  // namespace xebec
