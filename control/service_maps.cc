// SPDX-License-Identifier: BSD-2-Clause
// The shim's maps of services, and the order in which they change under running traffic.
#include "control/service_maps.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "bpf/abi.h"
#include "control/libbpf_log.h"
#include "control/steering_error.h"

namespace xebec {
namespace {

using Error = SteeringError;
using Result = ServiceMaps::Result;

constexpr std::array<std::size_t, kShimMaps> kCapacity = {
    2 * (XEBEC_MAX_SOURCE_PREFIXES + XEBEC_MAX_SERVICES), XEBEC_MAX_SERVICE_ENTRIES, XEBEC_MAX_RANGE_BLOCKS,
    XEBEC_MAX_VIPS, XEBEC_MAX_VIPS};

/// Waits until every run of the program that began before has ended. XDP programs run inside RCU read-side
/// sections, and membarrier(2) waits for those (kernel/sched/membarrier.c: synchronize_rcu). Where it is
/// refused (nohz_full, seccomp) nothing is waited for, and a few packets in a million changes (measured) can
/// be passed to the kernel.
void wait_for_running_programs() {
  syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/// Entries of `from` that `other` has not.
std::size_t missing(const MapImage& from, const MapImage& other) {
  return static_cast<std::size_t>(std::count_if(
      from.begin(), from.end(), [&](const auto& entry) { return !other.contains(entry.first); }));
}

/// True if packets of an entry that goes may belong to one that comes: always said so where there is more than an entry a
/// port at an address of its own.
bool replaces(const ShimImage& wanted, const ShimImage& holds) {
  if ((wanted.features | holds.features) != 0) return true;
  if (!holds.of(ShimMap::sources).empty()) return true;  // a list that goes may be searched right now
  std::set<MapBytes> coming;                             // VIPs with new entries
  const auto vip_of = [](const MapBytes& key) {
    return MapBytes(key.begin(), key.begin() + sizeof(xebec_address));
  };
  const MapImage& before = holds.of(ShimMap::services);
  const MapImage& after = wanted.of(ShimMap::services);
  for (const auto& [key, entry] : after) {
    if (!before.contains(key)) coming.insert(vip_of(key));
  }
  return std::any_of(before.begin(), before.end(), [&](const auto& entry) {
    return !after.contains(entry.first) && coming.contains(vip_of(entry.first));
  });
}

}  // namespace

Result ServiceMaps::add(const ShimImage& wanted) {
  LibbpfLog log;
  for (std::size_t map = 0; map < kShimMaps; ++map) {
    for (const auto& [key, entry] : wanted.maps[map]) {
      const auto held = holds_.maps[map].find(key);
      if (held != holds_.maps[map].end() && held->second == entry) continue;
      if (bpf_map_update_elem(fds_[map], key.data(), entry.value.data(), BPF_ANY) != 0)
        return tl::unexpected(steering_error("steer " + entry.text, errno, log));
      holds_.maps[map].insert_or_assign(key, entry);
    }
  }
  const auto features = static_cast<uint8_t>(holds_.features | wanted.features);
  if (features == holds_.features) return {};
  holds_.features = features;
  return set_features_(features);
}

Result ServiceMaps::remove(const ShimImage& wanted) {
  LibbpfLog log;
  for (std::size_t map = kShimMaps; map-- > 0;) {
    for (auto held = holds_.maps[map].begin(); held != holds_.maps[map].end();) {
      if (wanted.maps[map].contains(held->first)) {
        ++held;
        continue;
      }
      if (bpf_map_delete_elem(fds_[map], held->first.data()) != 0 && errno != ENOENT)
        return tl::unexpected(steering_error("stop steering " + held->second.text, errno, log));
      held = holds_.maps[map].erase(held);
    }
  }
  if (holds_.features == wanted.features) return {};
  holds_.features = wanted.features;
  return set_features_(wanted.features);
}

bool ServiceMaps::overflows(const ShimImage& wanted) const {
  for (std::size_t map = 0; map < kShimMaps; ++map) {
    if (holds_.maps[map].size() + missing(wanted.maps[map], holds_.maps[map]) > kCapacity[map]) return true;
  }
  return false;
}

/// The order in which the maps change, packets arriving all the while:
///
///   1. new source lists, services and ranges come: nobody can see those of new VIPs yet, and at standing VIPs port 80
///      replaced by "any port" is steered throughout. A service that has another list has it at one stroke
///   2. new VIPs come, each at one stroke, its services complete
///   3. leaving VIPs go, each at one stroke: its packets are the kernel's from there on, ICMP and fragments
///      included
///   4. unwanted ranges, services and source lists go. A program that looked for port 80 before it came in 1 must not look
///      for "any port" after that went: where a service replaces another, the programs running are waited for, some
///      milliseconds
///
/// What can fail is thus tried before anything is taken away. Only where both would not fit at once is it 3,
/// 4, 1, 2.
Result ServiceMaps::change_to(const ShimImage& wanted, Order order) {
  if (order == Order::remove_first || overflows(wanted)) {
    return remove(wanted).and_then([&] { return add(wanted); });
  }
  const bool wait = replaces(wanted, holds_);
  Result added = add(wanted);
  if (!added) return added;
  if (wait) wait_for_running_programs();
  return remove(wanted);
}

Result ServiceMaps::set(const std::vector<SteeredService>& wanted) {
  for (const SteeredService& service : wanted) {
    if (service.match.port != 0 && !has_ports(service.match.protocol) &&
        service.match.protocol != kProtoAny) {
      return tl::unexpected(steering_error(
          Error::Kind::other,
          fmt::format("steer {}: this protocol has no ports, use port 0", service.match.to_string())));
    }
  }
  if (wanted.size() > XEBEC_MAX_SERVICES) {
    return tl::unexpected(steering_error(
        Error::Kind::other,
        fmt::format("steer {} services: the shim holds at most {}", wanted.size(), XEBEC_MAX_SERVICES)));
  }
  const ShimImage image = shim_image(wanted, lists_);
  for (std::size_t map = 0; map < kShimMaps; ++map) {
    constexpr std::array<const char*, kShimMaps> kWhat = {
        "source prefixes", "entries of services", "blocks of port ranges", "VIPs that are prefixes", "VIPs"};
    if (image.maps[map].size() <= kCapacity[map]) continue;
    return tl::unexpected(
        steering_error(Error::Kind::other, fmt::format("steer {} {}: the shim holds at most {}",
                                                       image.maps[map].size(), kWhat[map], kCapacity[map])));
  }
  const ShimImage before = holds_;
  Result result = change_to(image, Order::add_first);
  // A change that cannot be applied changes nothing. Should going back fail too, the first reason is the one
  // to tell.
  if (!result) static_cast<void>(change_to(before, Order::remove_first));
  holds_.source_lists = result ? image.source_lists : before.source_lists;
  lists_.keep_only(holds_.source_lists);
  return result;
}

}  // namespace xebec
