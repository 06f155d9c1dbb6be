// SPDX-License-Identifier: BSD-2-Clause
// What the shim's maps have to hold.
#include "control/shim_image.h"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "bpf/abi.h"
#include "dataplane/port_segments.h"

namespace xebec {
namespace {

static_assert(XEBEC_ANY_PROTOCOL == kProtoAny);

template <typename T>
MapBytes bytes_of(const T& value) {
  MapBytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

xebec_address address_of(const IpAddress& address) {
  xebec_address out{};
  static_assert(sizeof out.bytes == sizeof address.bytes);
  std::memcpy(out.bytes, address.bytes.data(), sizeof out.bytes);
  return out;
}

/// Fills the image service by service: those of one protocol before those of any, as Table does.
class Painter {
 public:
  Painter(const std::vector<SteeredService>& services, SourceLists& lists) : services_(services) {
    for (const SteeredService& service : services) {
      any_passes_ |= service.passes;
      if (!service.passes) serving_.insert(service.match.vip);
      lists_.push_back(service.sources ? lists.number_of(*service.sources) : 0);
      if (service.sources) add_sources(lists_.back(), *service.sources, service.match);
    }
    for (const auto pass : {ServiceMatch::Pass::own_protocol, ServiceMatch::Pass::any_protocol}) {
      for (std::size_t i = 0; i < services.size(); ++i) {
        if (services[i].match.pass() == pass) add_service(i);
      }
    }
    add_ranges();
    add_prefixes();
  }

  ShimImage take() { return std::move(image_); }

 private:
  void add_service(std::size_t index) {
    const ServiceMatch& match = services_[index].match;
    add_vip(match.vip);
    if (match.protocol == kProtoAny) image_.features |= XEBEC_HAS_ANY_PROTOCOL;
    if (match.is_range()) {
      for (const uint8_t protocol : match.entries()) {
        ranges_[{match.vip, protocol}].push_back(
            {match.port, match.last_port, static_cast<uint32_t>(index), static_cast<uint8_t>(match.pass())});
      }
      return;
    }
    for (const uint8_t protocol : match.entries()) {
      const xebec_service_key key{.vip = address_of(match.vip.network),
                                  .port = Be16::from_host(match.port).raw(),
                                  .protocol = protocol,
                                  .narrower = match.narrower()};
      // What is there already is of the packet's own protocol, and wins.
      image_.of(ShimMap::services).try_emplace(bytes_of(key), entry_of(index));
    }
  }

  MapEntry entry_of(std::size_t index) const {
    const uint32_t passed = services_[index].passes ? 1 : 0;
    return {bytes_of(xebec_service_value{lists_[index], passed}), services_[index].match.to_string()};
  }

  /// Of an address in `vip`, none of whose services there has a backend: its pings, errors and fragments are the host's, too.
  bool passes(const IpPrefix& vip) const {
    if (!any_passes_ || serving_.contains(vip)) return false;
    return std::none_of(serving_.begin(), serving_.end(),
                        [&](const IpPrefix& other) { return !other.is_single() && other.contains(vip); });
  }

  void add_vip(const IpPrefix& vip) {
    if (vip.is_single()) {
      image_.of(ShimMap::vips)
          .try_emplace(
              bytes_of(address_of(vip.network)),
              MapEntry{bytes_of(xebec_service_value{0, passes(vip) ? 1u : 0u}), "VIP " + vip.to_string()});
    } else {
      prefixes_.insert(vip);
    }
  }

  void add_ranges() {
    for (auto& [where, ranges] : ranges_) {
      const auto& [vip, protocol] = where;
      image_.features |= XEBEC_HAS_RANGES;
      for (const PortSegment& segment : port_segments(std::move(ranges))) {
        for (const PortBlock& block : port_blocks(segment.first, segment.last)) {
          const xebec_range_key key{.length = XEBEC_RANGE_FIXED_BITS + uint32_t{block.length},
                                    .vip = address_of(vip.network),
                                    .narrower = static_cast<uint8_t>(IpPrefix::kFullLength - vip.length),
                                    .protocol = protocol,
                                    .port = Be16::from_host(block.first).raw()};
          image_.of(ShimMap::ranges).emplace(bytes_of(key), entry_of(segment.owner));
        }
      }
    }
  }

  void add_prefixes() {
    if (!prefixes_.empty()) image_.features |= XEBEC_HAS_PREFIXES;
    std::vector<IpPrefix> open;  // in a set's order outer prefixes come before those inside them
    for (const IpPrefix& prefix : prefixes_) {
      while (!open.empty() && !open.back().contains(prefix)) open.pop_back();
      const xebec_prefix_key key{.length = prefix.length, .address = address_of(prefix.network)};
      const xebec_prefix_value value{.network = address_of(prefix.network),
                                     .narrower = static_cast<uint8_t>(IpPrefix::kFullLength - prefix.length),
                                     .outer = open.empty() ? uint8_t{0} : open.back().length,
                                     .passes = passes(prefix) ? uint8_t{1} : uint8_t{0},
                                     .zero = {}};
      image_.of(ShimMap::prefixes)
          .emplace(bytes_of(key), MapEntry{bytes_of(value), "VIP " + prefix.to_string()});
      open.push_back(prefix);
    }
  }

  void add_sources(uint32_t list, const SourceRules& rules, const ServiceMatch& of) {
    image_.source_lists.push_back(list);
    const auto add = [&](const IpPrefix& prefix, uint32_t length, bool denied) {
      const xebec_source_key key{
          .length = XEBEC_SOURCE_FIXED_BITS + length, .list = list, .source = address_of(prefix.network)};
      image_.of(ShimMap::sources)
          .insert_or_assign(bytes_of(key),
                            MapEntry{bytes_of(xebec_source_value{denied ? 1u : 0u}),
                                     "source " + prefix.to_string() + " of " + of.to_string()});
    };
    if (!rules.allows_unlisted()) add({}, 0, true);
    for (const IpPrefix& prefix : rules.allow()) add(prefix, prefix.length, false);
    for (const IpPrefix& prefix : rules.deny()) add(prefix, prefix.length, true);
  }

  const std::vector<SteeredService>& services_;
  std::vector<uint32_t> lists_;  // of each service
  std::map<std::tuple<IpPrefix, uint8_t>, std::vector<PortRange>> ranges_;
  std::set<IpPrefix> prefixes_;
  bool any_passes_ = false;
  std::set<IpPrefix> serving_;  // VIPs of services that do not pass
  ShimImage image_;
};

}  // namespace

uint32_t SourceLists::number_of(const SourceRules& rules) {
  const auto [it, inserted] = numbers_.try_emplace(Content{rules.allow(), rules.deny()}, 0u);
  if (inserted) it->second = ++last_;
  return it->second;
}

void SourceLists::keep_only(const std::vector<uint32_t>& numbers) {
  std::erase_if(numbers_, [&](const auto& entry) {
    return std::find(numbers.begin(), numbers.end(), entry.second) == numbers.end();
  });
}

ShimImage shim_image(const std::vector<SteeredService>& services, SourceLists& lists) {
  return Painter(services, lists).take();
}

}  // namespace xebec
