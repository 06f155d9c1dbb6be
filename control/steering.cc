// SPDX-License-Identifier: BSD-2-Clause
// The shim's owner: one loaded program, its maps, and the link to its interface.
#include "control/steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "control/libbpf_log.h"
#include "control/steering_error.h"
#include "control/xdp_link.h"
#include "shim.skel.h"

namespace xebec {
namespace {

using Error = SteeringError;
using Result = tl::expected<void, Error>;

struct SkeletonDeleter {
  void operator()(shim_bpf* skeleton) const { shim_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<shim_bpf, SkeletonDeleter>;

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

class LoadedSteering final : public Steering {
 public:
  explicit LoadedSteering(Skeleton skeleton) : skeleton_(std::move(skeleton)) {}
  ~LoadedSteering() override;

  Result start(FallbackVerdict fallback, uint64_t stale_after_ns);

  Result attach(int ifindex, XdpMode mode) override;
  void detach() override { link_.reset(); }
  std::string_view attached() const override { return link_ && link_->holds() ? link_->mode() : ""; }
  std::string_view native_refusal() const override { return link_ ? link_->native_refusal() : ""; }
  Result set_services(std::vector<SteeredService> services) override;
  Result set_socket(uint32_t queue, int xsk_fd) override;
  void clear_socket(uint32_t queue) override;
  uint64_t* heartbeat(uint32_t queue) override;
  ShimCounters counters() const override;
  int program_fd() const override { return bpf_program__fd(skeleton_->progs.xebec_shim); }

 private:
  using Services = std::set<SteeredService>;
  using Vips = std::set<IpAddress>;

  enum class Order : uint8_t { add_first, remove_first };
  Result change_to(const Services& wanted, Order order);
  Result add_services(const Services& services);
  Result add_vips(const Vips& vips);
  Result remove_services(const Services& services);
  Result remove_vips(const Vips& vips);

  Skeleton skeleton_;
  std::optional<XdpLink> link_;
  xebec_heartbeat* heartbeats_ = nullptr;
  std::size_t heartbeats_length_ = 0;
  // What the maps hold. Nobody else writes them.
  Services services_;
  Vips vips_;
};

LoadedSteering::~LoadedSteering() {
  link_.reset();  // the program first: it reads what goes below
  if (heartbeats_ != nullptr) munmap(heartbeats_, heartbeats_length_);
}

Result LoadedSteering::start(FallbackVerdict fallback, uint64_t stale_after_ns) {
  LibbpfLog log;
  const uint32_t zero = 0;
  const xebec_settings settings = {
      .fallback_verdict = static_cast<uint32_t>(fallback == FallbackVerdict::pass ? XDP_PASS : XDP_DROP),
      .zero = 0,
      .stale_after_ns = stale_after_ns};
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.settings), &zero, &settings, BPF_ANY) != 0)
    return tl::unexpected(steering_error("write the shim's settings", errno, log));

  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  heartbeats_length_ = (XEBEC_MAX_QUEUES * sizeof(xebec_heartbeat) + page - 1) / page * page;
  void* memory = mmap(nullptr, heartbeats_length_, PROT_READ | PROT_WRITE, MAP_SHARED,
                      bpf_map__fd(skeleton_->maps.heartbeats), 0);
  if (memory == MAP_FAILED) return tl::unexpected(steering_error("map the shim's heartbeats", errno, log));
  heartbeats_ = static_cast<xebec_heartbeat*>(memory);
  return {};
}

Result LoadedSteering::attach(int ifindex, XdpMode mode) {
  if (link_ && link_->holds())
    return tl::unexpected(steering_error(Error::Kind::other, "attach the shim: it is attached already"));
  link_.reset();
  auto link = XdpLink::attach(program_fd(), ifindex, mode);
  if (!link) return tl::unexpected(std::move(link.error()));
  link_.emplace(std::move(*link));
  return {};
}

Result LoadedSteering::add_services(const Services& services) {
  LibbpfLog log;
  const xebec_service_value value{};
  for (const SteeredService& service : services) {
    const xebec_service_key key = key_of(service);
    if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.services), &key, &value, BPF_ANY) != 0)
      return tl::unexpected(steering_error("steer " + to_string(service), errno, log));
    services_.insert(service);
  }
  return {};
}

Result LoadedSteering::add_vips(const Vips& vips) {
  LibbpfLog log;
  const xebec_service_value value{};
  for (const IpAddress& vip : vips) {
    const xebec_address key = key_of(vip);
    if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.vips), &key, &value, BPF_ANY) != 0)
      return tl::unexpected(steering_error("steer VIP " + vip.to_string(), errno, log));
    vips_.insert(vip);
  }
  return {};
}

Result LoadedSteering::remove_services(const Services& services) {
  LibbpfLog log;
  for (const SteeredService& service : services) {
    const xebec_service_key key = key_of(service);
    if (bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.services), &key) != 0 && errno != ENOENT)
      return tl::unexpected(steering_error("stop steering " + to_string(service), errno, log));
    services_.erase(service);
  }
  return {};
}

Result LoadedSteering::remove_vips(const Vips& vips) {
  LibbpfLog log;
  for (const IpAddress& vip : vips) {
    const xebec_address key = key_of(vip);
    if (bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.vips), &key) != 0 && errno != ENOENT)
      return tl::unexpected(steering_error("stop steering VIP " + vip.to_string(), errno, log));
    vips_.erase(vip);
  }
  return {};
}

/// The order in which the maps change, packets arriving all the while:
///
///   1. new services come: nobody can see those of new VIPs yet, and at standing VIPs port 80 replaced by
///   "any port" is
///      steered throughout
///   2. new VIPs come, each at one stroke, its services complete
///   3. leaving VIPs go, each at one stroke: its packets are the kernel's from there on, ICMP and fragments
///   included
///   4. unwanted services go
///
/// What can fail is thus tried before anything is taken away. Only where both would not fit at once is it 3,
/// 4, 1, 2.
Result LoadedSteering::change_to(const Services& wanted, Order order) {
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
  return overflow || order == Order::remove_first ? remove().and_then(add) : add().and_then(remove);
}

Result LoadedSteering::set_services(std::vector<SteeredService> services) {
  const Services wanted(services.begin(), services.end());
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

Result LoadedSteering::set_socket(uint32_t queue, int xsk_fd) {
  LibbpfLog log;
  const std::string what = fmt::format("give queue {} its AF_XDP socket", queue);
  if (queue >= XEBEC_MAX_QUEUES) {
    return tl::unexpected(steering_error(
        Error::Kind::other, fmt::format("{}: the shim serves queues 0 to {}", what, XEBEC_MAX_QUEUES - 1)));
  }
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.xsks), &queue, &xsk_fd, BPF_ANY) != 0)
    return tl::unexpected(steering_error(what, errno, log));
  return {};
}

void LoadedSteering::clear_socket(uint32_t queue) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.xsks),
                      &queue);  // an empty slot is what is wanted: ENOENT is fine
}

uint64_t* LoadedSteering::heartbeat(uint32_t queue) {
  if (queue >= XEBEC_MAX_QUEUES) return nullptr;
  static_assert(sizeof(__u64) == sizeof(uint64_t));
  return reinterpret_cast<uint64_t*>(&heartbeats_[queue].at_ns);
}

ShimCounters LoadedSteering::counters() const {
  const int cpus = libbpf_num_possible_cpus();
  std::vector<uint64_t> per_cpu(static_cast<std::size_t>(std::max(cpus, 1)));
  const auto sum = [&](uint32_t counter) -> uint64_t {
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.counters), &counter, per_cpu.data()) != 0) return 0;
    uint64_t total = 0;
    for (const uint64_t packets : per_cpu) total += packets;
    return total;
  };
  return {.steered = sum(XEBEC_SHIM_STEERED),
          .no_socket = sum(XEBEC_SHIM_NO_SOCKET),
          .stale = sum(XEBEC_SHIM_STALE)};
}

}  // namespace

tl::expected<std::unique_ptr<Steering>, SteeringError> Steering::load(FallbackVerdict fallback,
                                                                      uint64_t stale_after_ns) {
  LibbpfLog log;
  Skeleton skeleton(shim_bpf__open());
  if (!skeleton) return tl::unexpected(steering_error("open the shim's BPF object", errno, log));
  // 0: the kernel says there is no such helper. Any doubt is settled by loading, with a better message.
  skeleton->rodata->has_xdp_load_bytes =
      libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_xdp_load_bytes, nullptr) != 0 ? 1 : 0;
  if (const int error = shim_bpf__load(skeleton.get()); error != 0)
    return tl::unexpected(steering_error("load the shim into the kernel", -error, log));

  auto steering = std::make_unique<LoadedSteering>(std::move(skeleton));
  if (Result started = steering->start(fallback, stale_after_ns); !started)
    return tl::unexpected(std::move(started.error()));
  return steering;
}

}  // namespace xebec
