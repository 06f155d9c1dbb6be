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
#include <optional>
#include <utility>

#include "control/libbpf_log.h"
#include "control/reply_maps.h"
#include "control/service_maps.h"
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

class LoadedSteering final : public Steering {
 public:
  explicit LoadedSteering(Skeleton skeleton)
      : skeleton_(std::move(skeleton)),
        services_({bpf_map__fd(skeleton_->maps.sources), bpf_map__fd(skeleton_->maps.services),
                   bpf_map__fd(skeleton_->maps.ranges), bpf_map__fd(skeleton_->maps.prefixes),
                   bpf_map__fd(skeleton_->maps.vips)},
                  [this](uint8_t features) {
                    settings_.features = features;
                    return write_settings();
                  }),
        replies_(bpf_map__fd(skeleton_->maps.nat_backends), bpf_map__fd(skeleton_->maps.nat_sources),
                 bpf_map__fd(skeleton_->maps.own)) {}
  ~LoadedSteering() override;

  Result start(FallbackVerdict fallback, uint64_t stale_after_ns);

  Result attach(int ifindex, XdpMode mode) override;
  void detach() override;
  std::string_view attached() const override { return link_ && link_->holds() ? link_->mode() : ""; }
  std::string_view native_refusal() const override { return link_ ? link_->native_refusal() : ""; }
  Result set_services(const std::vector<SteeredService>& services) override {
    return services_.set(services);
  }
  Result set_replies(const ReplyRules& rules) override;
  Result set_mac(const MacAddress& mac) override;
  Result set_socket(uint32_t queue, int xsk_fd) override;
  void clear_socket(uint32_t queue) override;
  uint64_t* heartbeat(uint32_t queue) override;
  ShimCounters counters() const override;
  int program_fd() const override { return bpf_program__fd(skeleton_->progs.xebec_shim); }

 private:
  Result write_settings();

  Skeleton skeleton_;
  xebec_settings settings_{};
  std::optional<XdpLink> link_;
  xebec_heartbeat* heartbeats_ = nullptr;
  std::size_t heartbeats_length_ = 0;
  ServiceMaps services_;
  ReplyMaps replies_;
};

LoadedSteering::~LoadedSteering() {
  link_.reset();  // the program first: it reads what goes below
  if (heartbeats_ != nullptr) munmap(heartbeats_, heartbeats_length_);
}

Result LoadedSteering::start(FallbackVerdict fallback, uint64_t stale_after_ns) {
  LibbpfLog log;
  settings_.fallback_verdict = static_cast<uint32_t>(fallback == FallbackVerdict::pass ? XDP_PASS : XDP_DROP);
  settings_.stale_after_ns = stale_after_ns;
  if (auto r = write_settings(); !r) return r;

  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  heartbeats_length_ = (XEBEC_MAX_QUEUES * sizeof(xebec_heartbeat) + page - 1) / page * page;
  void* memory = mmap(nullptr, heartbeats_length_, PROT_READ | PROT_WRITE, MAP_SHARED,
                      bpf_map__fd(skeleton_->maps.heartbeats), 0);
  if (memory == MAP_FAILED) return tl::unexpected(steering_error("map the shim's heartbeats", errno, log));
  heartbeats_ = static_cast<xebec_heartbeat*>(memory);
  return {};
}

Result LoadedSteering::write_settings() {
  LibbpfLog log;
  const uint32_t zero = 0;
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.settings), &zero, &settings_, BPF_ANY) != 0)
    return tl::unexpected(steering_error("write the shim's settings", errno, log));
  return {};
}

// The program looks for replies as long as there may be some: told before the first, and after the last.
Result LoadedSteering::set_replies(const ReplyRules& rules) {
  const auto look_for_replies = [this](bool yes) -> Result {
    if ((settings_.translates != 0) == yes) return {};
    settings_.translates = yes ? 1 : 0;
    return write_settings();
  };
  const bool some = !rules.backends.empty();
  if (some) {
    if (auto r = look_for_replies(true); !r) return r;
  }
  if (auto r = replies_.set(rules); !r) return r;
  return some ? Result{} : look_for_replies(false);
}

Result LoadedSteering::set_mac(const MacAddress& mac) {
  if (std::memcmp(settings_.mac, mac.bytes, sizeof mac.bytes) == 0) return {};
  std::memcpy(settings_.mac, mac.bytes, sizeof mac.bytes);
  return write_settings();
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

void LoadedSteering::detach() {
  link_.reset();
  for (uint32_t queue = 0; queue < XEBEC_MAX_QUEUES; ++queue) clear_socket(queue);
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
          .stale = sum(XEBEC_SHIM_STALE),
          .denied = sum(XEBEC_SHIM_DENIED),
          .passed = sum(XEBEC_SHIM_PASSED)};
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
  // Packets longer than a driver's buffer come in fragments, and only to a program that says it can bear them: ours
  // reads headers, which are in the first. The flag is as old as that helper (5.18).
  if (skeleton->rodata->has_xdp_load_bytes != 0)
    bpf_program__set_flags(skeleton->progs.xebec_shim, BPF_F_XDP_HAS_FRAGS);
  if (const int error = shim_bpf__load(skeleton.get()); error != 0)
    return tl::unexpected(steering_error("load the shim into the kernel", -error, log));

  auto steering = std::make_unique<LoadedSteering>(std::move(skeleton));
  if (Result started = steering->start(fallback, stale_after_ns); !started)
    return tl::unexpected(std::move(started.error()));
  return steering;
}

}  // namespace xebec
