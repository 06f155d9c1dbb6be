// SPDX-License-Identifier: BSD-2-Clause
// The shim's two service maps, and the order in which they change under running traffic.
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
#include <iterator>
#include <string>
#include <utility>

#include "bpf/abi.h"
#include "control/libbpf_log.h"
#include "control/steering_error.h"

namespace xebec {
namespace {

using Error = SteeringError;
using Result = tl::expected<void, Error>;

bool has_ports(uint8_t protocol) {
  return protocol == kProtoTcp || protocol == kProtoUdp || protocol == kProtoSctp;
}

std::string to_string(const SteeredService& service) {
  return fmt::format("{} port {} protocol {}", service.vip.to_string(), service.port, service.protocol);
}

xebec_address key_of(const IpAddress& vip) {
  xebec_address key{};
  static_assert(sizeof key.bytes == sizeof vip.bytes);
  std::memcpy(key.bytes, vip.bytes.data(), sizeof key.bytes);
  return key;
}

xebec_service_key key_of(const SteeredService& service) {
  return {.vip = key_of(service.vip),
          .port = Be16::from_host(service.port).raw(),
          .protocol = service.protocol,
          .zero = 0};
}

template <typename T>
std::set<T> difference(const std::set<T>& from, const std::set<T>& without) {
  std::set<T> result;
  std::set_difference(from.begin(), from.end(), without.begin(), without.end(),
                      std::inserter(result, result.end()));
  return result;
}

/// Waits until every run of the program that began before has ended. XDP programs run inside RCU read-side
/// sections, and membarrier(2) waits for those (kernel/sched/membarrier.c: synchronize_rcu). Where it is
/// refused (nohz_full, seccomp) nothing is waited for, and a few packets in a million changes (measured) can
/// be passed to the kernel.
void wait_for_running_programs() {
  syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/// True if packets of a leaving service may belong to a coming one.
bool replaces(const std::set<SteeredService>& coming, const std::set<SteeredService>& leaving) {
  return std::any_of(leaving.begin(), leaving.end(), [&](const SteeredService& old) {
    const auto first = coming.lower_bound({.vip = old.vip, .port = 0, .protocol = 0});
    return first != coming.end() && first->vip == old.vip;
  });
}

}  // namespace

Result ServiceMaps::add_services(const Services& services) {
  LibbpfLog log;
  const xebec_service_value value{};
  for (const SteeredService& service : services) {
    const xebec_service_key key = key_of(service);
    if (bpf_map_update_elem(services_fd_, &key, &value, BPF_ANY) != 0)
      return tl::unexpected(steering_error("steer " + to_string(service), errno, log));
    services_.insert(service);
  }
  return {};
}

Result ServiceMaps::add_vips(const Vips& vips) {
  LibbpfLog log;
  const xebec_service_value value{};
  for (const IpAddress& vip : vips) {
    const xebec_address key = key_of(vip);
    if (bpf_map_update_elem(vips_fd_, &key, &value, BPF_ANY) != 0)
      return tl::unexpected(steering_error("steer VIP " + vip.to_string(), errno, log));
    vips_.insert(vip);
  }
  return {};
}

Result ServiceMaps::remove_services(const Services& services) {
  LibbpfLog log;
  for (const SteeredService& service : services) {
    const xebec_service_key key = key_of(service);
    if (bpf_map_delete_elem(services_fd_, &key) != 0 && errno != ENOENT)
      return tl::unexpected(steering_error("stop steering " + to_string(service), errno, log));
    services_.erase(service);
  }
  return {};
}

Result ServiceMaps::remove_vips(const Vips& vips) {
  LibbpfLog log;
  for (const IpAddress& vip : vips) {
    const xebec_address key = key_of(vip);
    if (bpf_map_delete_elem(vips_fd_, &key) != 0 && errno != ENOENT)
      return tl::unexpected(steering_error("stop steering VIP " + vip.to_string(), errno, log));
    vips_.erase(vip);
  }
  return {};
}

/// The order in which the maps change, packets arriving all the while:
///
///   1. new services come: nobody can see those of new VIPs yet, and at standing VIPs port 80 replaced by
///      "any port" is steered throughout
///   2. new VIPs come, each at one stroke, its services complete
///   3. leaving VIPs go, each at one stroke: its packets are the kernel's from there on, ICMP and fragments
///      included
///   4. unwanted services go. A program that looked for port 80 before it came in 1 must not look for "any
///      port" after that went: where a service replaces another, the programs running are waited for, some
///      milliseconds
///
/// What can fail is thus tried before anything is taken away. Only where both would not fit at once is it 3,
/// 4, 1, 2.
Result ServiceMaps::change_to(const Services& wanted, Order order) {
  Vips wanted_vips;
  for (const SteeredService& service : wanted) wanted_vips.insert(service.vip);
  const Services new_services = difference(wanted, services_), old_services = difference(services_, wanted);
  const Vips new_vips = difference(wanted_vips, vips_), old_vips = difference(vips_, wanted_vips);

  const auto add = [&] { return add_services(new_services).and_then([&] { return add_vips(new_vips); }); };
  const auto remove = [&] {
    return remove_vips(old_vips).and_then([&] { return remove_services(old_services); });
  };
  const bool overflow = services_.size() + new_services.size() > XEBEC_MAX_SERVICES ||
                        vips_.size() + new_vips.size() > XEBEC_MAX_VIPS;
  if (overflow || order == Order::remove_first) return remove().and_then(add);
  Result added = add();
  if (!added) return added;
  if (replaces(new_services, old_services)) wait_for_running_programs();
  return remove();
}

Result ServiceMaps::set(const Services& wanted) {
  Vips wanted_vips;
  for (const SteeredService& service : wanted) {
    wanted_vips.insert(service.vip);
    if (service.port != 0 && !has_ports(service.protocol)) {
      return tl::unexpected(steering_error(
          Error::Kind::other,
          fmt::format("steer {}: this protocol has no ports, use port 0", to_string(service))));
    }
  }
  if (wanted.size() > XEBEC_MAX_SERVICES || wanted_vips.size() > XEBEC_MAX_VIPS) {
    return tl::unexpected(
        steering_error(Error::Kind::other,
                       fmt::format("steer {} services at {} VIPs: the shim holds at most {} and {}",
                                   wanted.size(), wanted_vips.size(), XEBEC_MAX_SERVICES, XEBEC_MAX_VIPS)));
  }
  const Services before = services_;
  Result result = change_to(wanted, Order::add_first);
  // A change that cannot be applied changes nothing. Should going back fail too, the first reason is the one
  // to tell.
  if (!result) static_cast<void>(change_to(before, Order::remove_first));
  return result;
}

}  // namespace xebec
