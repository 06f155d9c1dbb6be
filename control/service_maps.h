// SPDX-License-Identifier: BSD-2-Clause
// The shim's two service maps, and the order in which they change under running traffic.
#pragma once

#include <cstdint>
#include <set>

#include <tl/expected.hpp>

#include "control/steering.h"
#include "dataplane/ip_address.h"

namespace xebec {

/// `vips` and `services` of bpf/abi.h. Remembers what they hold: nobody else writes them. The descriptors are
/// the caller's and outlive this.
class ServiceMaps {
 public:
  using Services = std::set<SteeredService>;

  ServiceMaps(int vips_fd, int services_fd) : vips_fd_(vips_fd), services_fd_(services_fd) {}

  /// Makes the maps hold exactly these; a change that cannot be applied changes nothing.
  tl::expected<void, SteeringError> set(const Services& wanted);

 private:
  using Vips = std::set<IpAddress>;
  using Result = tl::expected<void, SteeringError>;
  enum class Order : uint8_t { add_first, remove_first };

  Result change_to(const Services& wanted, Order order);
  Result add_services(const Services& services);
  Result add_vips(const Vips& vips);
  Result remove_services(const Services& services);
  Result remove_vips(const Vips& vips);

  int vips_fd_;
  int services_fd_;
  Services services_;
  Vips vips_;
};

}  // namespace xebec
