// SPDX-License-Identifier: BSD-2-Clause
#include "control/config_impact.h"

#include <algorithm>
#include <map>

namespace xebec {
namespace {

// Arrays of unequal sizes are compared at so many hashes, evenly spread: to a tenth of a percent.
constexpr uint64_t kSamples = 65536;

uint32_t backend_for(const Service& service, uint64_t hash) {
  const uint16_t index = service.lookup->pick(hash);
  return index == MaglevTable::kNone ? Table::kNone : service.backend_ids[index];
}

bool gets_new_flows(const Service& service, uint32_t id) {
  return std::find(service.backend_ids.begin(), service.backend_ids.end(), id) != service.backend_ids.end();
}

double share_moved(const Service& before, const Service& after) {
  const std::size_t size = before.lookup->slots().size();
  if (before.lookup == after.lookup && before.backend_ids == after.backend_ids) return 0;
  const bool alike = size != 0 && size == after.lookup->slots().size();
  const uint64_t places = alike ? size : kSamples;
  uint64_t moved = 0;
  if (alike) {
    for (std::size_t i = 0; i < size; ++i) {
      moved += before.backend_ids[before.lookup->slots()[i]] != after.backend_ids[after.lookup->slots()[i]];
    }
  } else {
    const uint64_t step = UINT64_MAX / kSamples;
    for (uint64_t i = 0; i < kSamples; ++i)
      moved += backend_for(before, i * step) != backend_for(after, i * step);
  }
  return static_cast<double>(moved) / static_cast<double>(places);
}

}  // namespace

std::vector<ServiceImpact> impact_of(const Table& before, const Table& after,
                                     const std::function<uint64_t(uint32_t)>& live_flows) {
  std::map<std::string_view, uint32_t> later;
  for (uint32_t i = 0; i < after.services().size(); ++i) later.emplace(after.services()[i].name, i);
  std::vector<ServiceImpact> all;
  std::map<std::string_view, std::size_t> row_of;
  std::vector<std::size_t> row_by_index;  // of `before`'s services
  for (const Service& service : before.services()) {
    ServiceImpact impact{service.name, 1, 0, 0, 0};
    if (const auto found = later.find(service.name); found != later.end())
      impact.array_moved = share_moved(service, after.services()[found->second]);
    row_of.emplace(service.name, all.size());
    row_by_index.push_back(all.size());
    all.push_back(std::move(impact));
  }
  for (const Service& service : after.services()) {
    if (!row_of.contains(service.name)) all.push_back({service.name, 1, 0, 0, 0});
  }
  for (uint32_t id = 0; id < before.backends().size(); ++id) {
    const uint64_t flows = live_flows(id);
    if (flows == 0) continue;
    const uint32_t index = before.backends()[id].service;
    if (index >= row_by_index.size()) continue;
    ServiceImpact& impact = all[row_by_index[index]];
    impact.live_flows += flows;
    const auto found = later.find(impact.service);
    const bool stays = found != later.end() && id < after.backends().size() &&
                       after.backends()[id].takes_packets_of(found->second);
    if (!stays) impact.flows_moved += flows;
    if (stays && gets_new_flows(before.services()[index], id) &&
        !gets_new_flows(after.services()[found->second], id))
      impact.flows_draining += flows;
  }
  std::erase_if(all, [](const ServiceImpact& i) {
    return i.array_moved == 0 && i.flows_moved == 0 && i.flows_draining == 0;
  });
  return all;
}

}  // namespace xebec
