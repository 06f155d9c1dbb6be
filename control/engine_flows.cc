// SPDX-License-Identifier: BSD-2-Clause
// What the workers together remember of each backend: added up for the operator, and told to the workers for algorithms that
// compare it.
#include "control/engine.h"

#include <algorithm>
#include <vector>

namespace xebec {

FlowCount Engine::flows(uint32_t backend_id) const {
  FlowCount sum;
  for (const auto& worker : workers_) {
    const FlowCount count = worker->state().flows.counts().of(backend_id);
    sum.flows += count.flows;
    sum.open += count.open;
  }
  return sum;
}

bool Engine::shares_flow_counts() const {
  if (workers_.size() < 2) return false;  // who is alone knows everything
  const auto services = table().services();
  return std::any_of(services.begin(), services.end(),
                     [](const Service& service) { return counts_flows(service.algorithm); });
}

void Engine::share_flow_counts() {
  std::vector<uint32_t> open(workers_.size());
  for (const Service& service : table().services()) {
    if (!counts_flows(service.algorithm)) continue;
    for (const uint32_t id : service.backend_ids) {
      uint32_t all = 0;
      for (std::size_t w = 0; w < workers_.size(); ++w) {
        open[w] = workers_[w]->state().flows.counts().of(id).open;
        all += open[w];
      }
      for (std::size_t w = 0; w < workers_.size(); ++w) workers_[w]->fleet().set(id, all, open[w]);
    }
  }
}

}  // namespace xebec
