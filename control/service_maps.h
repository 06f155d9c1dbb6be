// SPDX-License-Identifier: BSD-2-Clause
// The shim's maps of services, and the order in which they change under running traffic.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include <tl/expected.hpp>

#include "control/shim_image.h"
#include "control/steering.h"

namespace xebec {

/// The maps of bpf/abi.h that control/shim_image.h makes. Remembers what they hold: nobody else writes them. The
/// descriptors are the caller's and outlive this.
class ServiceMaps {
 public:
  using Result = tl::expected<void, SteeringError>;

  /// fds: in the order of ShimMap. set_features: writes settings.features.
  ServiceMaps(const std::array<int, kShimMaps>& fds, std::function<Result(uint8_t)> set_features)
      : fds_(fds), set_features_(std::move(set_features)) {}

  /// Makes the maps hold exactly these; a change that cannot be applied changes nothing.
  Result set(const std::vector<SteeredService>& wanted);

 private:
  enum class Order : uint8_t { add_first, remove_first };

  Result change_to(const ShimImage& wanted, Order order);
  Result add(const ShimImage& wanted);
  Result remove(const ShimImage& wanted);
  bool overflows(const ShimImage& wanted) const;

  std::array<int, kShimMaps> fds_;
  std::function<Result(uint8_t)> set_features_;
  ShimImage holds_;
  SourceLists lists_;
};

}  // namespace xebec
