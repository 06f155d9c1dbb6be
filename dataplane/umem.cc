// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/umem.h"

#include <xdp/xsk.h>

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

tl::expected<std::unique_ptr<Umem>, IoError> Umem::create(UmemMemory memory, uint32_t frame_count,
                                                          xsk_ring_prod* fill, xsk_ring_cons* completion) {
  std::unique_ptr<Umem> umem(new Umem);
  umem->memory_ = std::move(memory);

  xsk_umem_config config{};
  config.fill_size = kRingSize;
  config.comp_size = kRingSize;
  config.frame_size = kFrameSize;
  config.frame_headroom = 0;
  config.flags = 0;
  const int error =
      -xsk_umem__create(&umem->handle_, umem->memory(), static_cast<uint64_t>(frame_count) * kFrameSize, fill,
                        completion, &config);
  if (error != 0) {
    umem->handle_ = nullptr;
    const char* hint = error == EPERM ? " (needs CAP_NET_RAW)"
                       : error == ENOBUFS
                           ? " (locked-memory limit: raise RLIMIT_MEMLOCK or grant CAP_IPC_LOCK)"
                           : "";
    return tl::unexpected(
        IoError{error, fmt::format("cannot register packet memory: {}{}", std::strerror(error), hint)});
  }
  umem->set_up_ledger(frame_count);
  return umem;
}

std::unique_ptr<Umem> Umem::create_unregistered(uint32_t frame_count) {
  auto memory = UmemMemory::anonymous(static_cast<std::size_t>(frame_count) * kFrameSize);
  if (!memory) return nullptr;
  std::unique_ptr<Umem> umem(new Umem);
  umem->memory_ = std::move(*memory);
  umem->set_up_ledger(frame_count);
  return umem;
}

Umem::~Umem() {
  if (handle_ != nullptr) xsk_umem__delete(handle_);
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
