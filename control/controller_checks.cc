// SPDX-License-Identifier: BSD-2-Clause
// What is checked, and how checks to a VIP get to their backends.
#include <algorithm>

#include "control/controller.h"
#include "control/probe_frames.h"

namespace xebec {

void Controller::follow_checks() {
  const std::vector<HealthCheck> checks = checks_of(served());
  health_->follow(checks);
  const bool asks =
      std::any_of(checks.begin(), checks.end(), [](const HealthCheck& c) { return c.vip.has_value(); });
  if (!asks) vip_prober_->rest();
}

tl::expected<VipWay, std::string> Controller::way_to_vip(const HealthCheck& check) const {
  const auto status = builder_.status().find(check.key());
  const auto backends = engine_->table().backends();
  if (status == builder_.status().end() || status->second.id >= backends.size())
    return tl::unexpected(std::string("the backend is in no table"));
  VipWay way{.backend = backends[status->second.id], .ifindex = 0, .source = {}};
  const NextHop& hop = way.backend.next_hop;
  if (!hop.resolved || hop.interface >= engine_->interfaces().size())
    return tl::unexpected(std::string("no way to the backend is known"));
  way.ifindex = engine_->interfaces()[hop.interface].ifindex;
  const bool v4 = check.vip->is_v4();
  // What is sent in a VIP's name would be taken for a forgery.
  const auto is_vip = [&](const IpAddress& address) {
    return std::any_of(config_.services.begin(), config_.services.end(),
                       [&](const ServiceConfig& s) { return s.match().vip.contains(address); });
  };
  if (const ResolvedHop* resolved = hops_->find(check.backend);
      resolved != nullptr && resolved->preferred_source) {
    if (const IpAddress& source = *resolved->preferred_source; source.is_v4() == v4 && !is_vip(source)) {
      way.source = source;
      return way;
    }
  }
  std::set<IpAddress> own = addresses_->all();
  std::erase_if(own, is_vip);
  const IpAddress* source = own_address(own, v4);
  if (source == nullptr)
    return tl::unexpected(
        std::string(v4 ? "no IPv4 address of ours to ask from" : "no IPv6 address of ours to ask from"));
  way.source = *source;
  return way;
}

}  // namespace xebec
