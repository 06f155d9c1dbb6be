// SPDX-License-Identifier: BSD-2-Clause
// The injector's owner: one loaded program, its maps, and the placeholder it is attached to.
#include "control/injector.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "bpf/abi.h"
#include "control/libbpf_log.h"
#include "control/placeholder.h"
#include "control/steering_error.h"
#include "control/xdp_link.h"
#include "dataplane/limits.h"
#include "inject.skel.h"

namespace xebec {
namespace {

// dataplane/ does not see bpf/abi.h: here both are in sight.
static_assert(kFrameSize == XEBEC_INJECT_CHUNK);
static_assert(kInjectTemplateLength == XEBEC_INJECT_TEMPLATE);
static_assert(kInjectCapacity == XEBEC_INJECT_MAX_PACKETS);
static_assert(sizeof(InjectList) == sizeof(xebec_inject_list));
static_assert(offsetof(InjectList, next) == offsetof(xebec_inject_list, next));
static_assert(offsetof(InjectList, count) == offsetof(xebec_inject_list, count));
static_assert(offsetof(InjectList, ifindex) == offsetof(xebec_inject_list, ifindex));
static_assert(offsetof(InjectList, failed) == offsetof(xebec_inject_list, failed));
static_assert(offsetof(InjectList, packets) == offsetof(xebec_inject_list, packets));
static_assert(offsetof(InjectList::Packet, begin) == offsetof(xebec_inject_packet, begin));
static_assert(offsetof(InjectList::Packet, length) == offsetof(xebec_inject_packet, length));

struct SkeletonDeleter {
  void operator()(inject_bpf* skeleton) const { inject_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<inject_bpf, SkeletonDeleter>;

class LoadedInjector final : public Injector {
 public:
  LoadedInjector(Skeleton skeleton, uint32_t frame_count)
      : skeleton_(std::move(skeleton)), frames_(frame_count) {}
  ~LoadedInjector() override;

  tl::expected<void, std::string> start();

  tl::expected<UmemMemory, IoError> memory() const override {
    return UmemMemory::shared(bpf_map__fd(skeleton_->maps.inject_umem),
                              static_cast<std::size_t>(frames_) * kFrameSize);
  }
  InjectOptions options(int ifindex, uint32_t mtu) const override {
    constexpr uint32_t kLinkHeader = 14 + 4;
    return {program_fd(), list_, static_cast<uint32_t>(ifindex), XEBEC_INJECT_MAX_BEGIN,
            std::min(max_length_, mtu + kLinkHeader)};
  }
  uint32_t max_length() const override { return max_length_; }
  const std::string& placeholder() const override { return placeholder_->name(); }

 private:
  int program_fd() const { return bpf_program__fd(skeleton_->progs.xebec_inject); }
  tl::expected<bool, std::string> carries(uint32_t length);
  tl::expected<void, std::string> find_max_length();

  Skeleton skeleton_;
  uint32_t frames_;
  uint32_t max_length_ = 0;
  InjectList* list_ = nullptr;
  std::optional<Placeholder> placeholder_;
  std::optional<XdpLink> link_;
};

LoadedInjector::~LoadedInjector() {
  link_.reset();
  placeholder_.reset();
  if (list_ != nullptr) munmap(list_, sizeof(InjectList));
}

tl::expected<void, std::string> LoadedInjector::start() {
  void* memory = mmap(nullptr, sizeof(InjectList), PROT_READ | PROT_WRITE, MAP_SHARED,
                      bpf_map__fd(skeleton_->maps.inject_list), 0);
  if (memory == MAP_FAILED)
    return tl::unexpected(fmt::format("map the injector's list: {}", std::strerror(errno)));
  list_ = static_cast<InjectList*>(memory);
  if (auto found = find_max_length(); !found) return found;

  auto placeholder = Placeholder::create();
  if (!placeholder) return tl::unexpected(std::move(placeholder.error()));
  placeholder_.emplace(std::move(*placeholder));
  auto link = XdpLink::attach(program_fd(), placeholder_->ifindex(), XdpMode::native);
  if (!link) return tl::unexpected(std::move(link.error().message));
  link_.emplace(std::move(*link));
  return {};
}

/// Whether a live frame holds a packet of the length. It is redirected to interface 0, which there is not:
/// nothing is sent.
tl::expected<bool, std::string> LoadedInjector::carries(uint32_t length) {
  list_->packets[0] = {.chunk = 0, .begin = kFrameHeadroom, .length = static_cast<uint16_t>(length)};
  list_->ifindex = 0;
  __atomic_store_n(&list_->failed, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&list_->next, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&list_->count, 1, __ATOMIC_RELAXED);
  const int error = run_injector(program_fd(), 1);
  __atomic_store_n(&list_->count, 0, __ATOMIC_RELAXED);
  if (error == EINVAL)
    return tl::unexpected(
        std::string("the kernel has no live frames for BPF_PROG_RUN (it has from 5.18 on)"));
  if (error != 0) return tl::unexpected(fmt::format("run the injector: {}", std::strerror(error)));
  if (__atomic_load_n(&list_->next, __ATOMIC_RELAXED) != 1) {
    return tl::unexpected(std::string("the kernel did not run the injector"));
  }
  return __atomic_load_n(&list_->failed, __ATOMIC_RELAXED) == 0;
}

/// By trial: what a frame holds depends on the sizes of the kernel's own structures.
tl::expected<void, std::string> LoadedInjector::find_max_length() {
  uint32_t low = kMinFrameLength, high = XEBEC_INJECT_MAX_LENGTH + 1;  // carries(low), not carries(high)
  const auto smallest = carries(low);
  if (!smallest) return tl::unexpected(smallest.error());
  if (!*smallest) return tl::unexpected(std::string("a live frame does not hold the smallest packet"));
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    const auto fits = carries(middle);
    if (!fits) return tl::unexpected(fits.error());
    (*fits ? low : high) = middle;
  }
  max_length_ = low;
  return {};
}

}  // namespace

tl::expected<std::unique_ptr<Injector>, std::string> Injector::load(uint32_t frame_count) {
  LibbpfLog log;
  Skeleton skeleton(inject_bpf__open());
  if (!skeleton) return tl::unexpected(steering_error("open the injector's BPF object", errno, log).message);
  bpf_map__set_max_entries(skeleton->maps.inject_umem, frame_count);
  if (const int error = inject_bpf__load(skeleton.get()); error != 0) {
    return tl::unexpected(steering_error("load the injector into the kernel", -error, log).message);
  }
  auto injector = std::make_unique<LoadedInjector>(std::move(skeleton), frame_count);
  if (auto started = injector->start(); !started) return tl::unexpected(std::move(started.error()));
  return injector;
}

}  // namespace xebec
