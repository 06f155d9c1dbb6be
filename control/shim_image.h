// SPDX-License-Identifier: BSD-2-Clause
// What the shim's maps have to hold so that it finds for every packet what Table::find_service() finds. Pure: services in,
// entries of bpf/abi.h out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/steering.h"

namespace xebec {

/// Numbers for source rules. A list that changes is a new list under a new number, and services are led over to it when it is
/// complete: entries are changed one by one, and a mixture of two lists could deny what both allow.
class SourceLists {
 public:
  /// Equal rules have one number. Never 0.
  uint32_t number_of(const SourceRules& rules);
  /// Forgets all but these numbers.
  void keep_only(const std::vector<uint32_t>& numbers);

 private:
  using Content = std::pair<std::vector<IpPrefix>, std::vector<IpPrefix>>;
  std::map<Content, uint32_t> numbers_;
  uint32_t last_ = 0;
};

/// The maps, in the order in which entries come: each only leads to what is there already. They go in the opposite order.
enum class ShimMap : uint8_t { sources, services, ranges, prefixes, vips };
inline constexpr std::size_t kShimMaps = 5;

using MapBytes = std::vector<uint8_t>;

struct MapEntry {
  MapBytes value;
  std::string text;  ///< for messages: "203.0.113.10 port 443 protocol 6"
  bool operator==(const MapEntry& other) const { return value == other.value; }
};

/// Contents of one map, by key.
using MapImage = std::map<MapBytes, MapEntry>;

struct ShimImage {
  std::array<MapImage, kShimMaps> maps;
  uint8_t features = 0;                ///< XEBEC_HAS_*
  std::vector<uint32_t> source_lists;  ///< the numbers in use

  MapImage& of(ShimMap map) { return maps[static_cast<std::size_t>(map)]; }
  const MapImage& of(ShimMap map) const { return maps[static_cast<std::size_t>(map)]; }
};

ShimImage shim_image(const std::vector<SteeredService>& services, SourceLists& lists);

}  // namespace xebec
