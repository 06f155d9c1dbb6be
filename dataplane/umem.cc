// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/umem.h"

#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace xebec {
namespace {

/// What recycled frames are filled with in audit builds.
constexpr int kPoison = 0xa5;

}  // namespace

std::unique_ptr<Umem> Umem::create(UmemMemory memory, uint32_t frame_count) {
  std::unique_ptr<Umem> umem(new Umem);
  umem->memory_ = std::move(memory);
  umem->set_up_ledger(frame_count);
  return umem;
}

std::unique_ptr<Umem> Umem::create_unregistered(uint32_t frame_count) {
  auto memory = UmemMemory::anonymous(static_cast<std::size_t>(frame_count) * kFrameSize);
  return memory ? create(std::move(*memory), frame_count) : nullptr;
}

tl::expected<void, IoError> Umem::register_with(int xsk_fd) {
  xdp_umem_reg registration;
  // The padding, too: where the kernel's structure is longer it is read (tx_metadata_len, Linux 6.8).
  std::memset(&registration, 0, sizeof registration);
  registration.addr = reinterpret_cast<uintptr_t>(memory());
  registration.len = static_cast<uint64_t>(count_) * kFrameSize;
  registration.chunk_size = kFrameSize;
  if (setsockopt(xsk_fd, SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration) != 0) {
    const int error = errno;
    const char* hint =
        error == ENOBUFS ? " (locked-memory limit: raise RLIMIT_MEMLOCK or grant CAP_IPC_LOCK)" : "";
    return tl::unexpected(
        IoError{error, fmt::format("cannot register packet memory: {}{}", std::strerror(error), hint)});
  }
  registered_with_ = xsk_fd;
  return {};
}

void Umem::set_up_ledger(uint32_t frame_count) {
  count_ = frame_count;
  free_.resize(frame_count);
  for (uint32_t i = frame_count; i-- > 0;) free_[free_count_++] = static_cast<uint64_t>(i) * kFrameSize;
  if constexpr (kFrameAudit) places_.assign(frame_count, Place::free);
}

void Umem::audit(uint64_t address, Place from, Place to) {
  const uint64_t index = address / kFrameSize;
  if (index >= places_.size() || places_[index] != from) {
    std::fprintf(stderr, "frame audit: address %llu is at place %d, not %d; wanted at %d\n",
                 static_cast<unsigned long long>(address),
                 index < places_.size() ? static_cast<int>(places_[index]) : -1, static_cast<int>(from),
                 static_cast<int>(to));
    std::abort();
  }
  places_[index] = to;
  if (to == Place::free) std::memset(memory() + chunk_of(address), kPoison, kFrameSize);
}

FrameCounts Umem::counts() const {
  FrameCounts counts = counts_;
  counts.free = free_count_;
  return counts;
}

}  // namespace xebec
