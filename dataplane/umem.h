// SPDX-License-Identifier: BSD-2-Clause
// UMEM: the memory packets live in, and who holds each frame of it.
//
// A worker has one UMEM, cut into frames of kFrameSize. A frame is always in exactly one place:
//
//          allocate()              give_to_fill            (kernel)            take_received
//   free ─────────────> in hand ───────────────> receive ───────────> receive ──────────────> in hand
//    ^ ^                   │  ^                   (fill ring)         (rx ring)                  │
//    │ └──── recycle() ────┤  └────────────────────────────────────────────────────────────────────┘
//    │                     └── give_to_transmit ──> transmit
//    └───────────────────────── take_completed ────────┘
//
// so that   free + receive + transmit + in hand == count()   at every moment: the conservation law. "receive"
// is the fill ring, the kernel and the rx ring together; "transmit" the tx ring, the kernel and the
// completion ring.
//
// Debug builds (XEBEC_FRAME_AUDIT) keep the place of every frame and abort on a transition the picture does
// not have: a frame given twice, completed but never sent, or lost. They also overwrite recycled frames, so
// that stale bytes show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "dataplane/io_error.h"
#include "dataplane/limits.h"
#include "dataplane/umem_memory.h"

namespace xebec {

/// One frame in hand, with the packet in it, or a piece of a packet that is longer than a frame: then it continues()
/// in the next one of the batch. Move-only; whoever holds it must consume it by exactly one of
/// Umem::recycle, Umem::give_to_fill or Umem::give_to_transmit. Debug builds abort if one is dropped on the
/// floor.
class Frame {
 public:
  Frame() = default;
  Frame(Frame&& other) noexcept
      : address_(std::exchange(other.address_, kEmpty)),
        length_(other.length_),
        continues_(other.continues_) {}
  Frame& operator=(Frame&& other) noexcept {
    check_empty();
    address_ = std::exchange(other.address_, kEmpty);
    length_ = other.length_;
    continues_ = other.continues_;
    return *this;
  }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  ~Frame() { check_empty(); }

  bool empty() const { return address_ == kEmpty; }
  uint64_t address() const { return address_; }  ///< of the packet's first byte, from the UMEM's start
  uint32_t length() const { return length_; }
  bool continues() const { return continues_; }  ///< its packet does, in the next frame
  void set_packet(uint64_t address, uint32_t length) {
    address_ = address;
    length_ = length;
  }
  void end_packet() { continues_ = false; }

 private:
  friend class Umem;
  static constexpr uint64_t kEmpty = UINT64_MAX;
  Frame(uint64_t address, uint32_t length, bool continues)
      : address_(address), length_(length), continues_(continues) {}
  uint64_t consume() { return std::exchange(address_, kEmpty); }
  void check_empty() const {
#ifndef NDEBUG
    if (address_ != kEmpty) __builtin_trap();
#endif
  }

  uint64_t address_ = kEmpty;
  uint32_t length_ = 0;
  bool continues_ = false;
};

/// How many of the first `n` frames are whole packets.
inline uint32_t whole_packets(std::span<const Frame> frames, uint32_t n) {
  while (n != 0 && frames[n - 1].continues()) --n;
  return n;
}

/// Audit builds know the place of every single frame, abort on a wrong move and poison what is free.
#ifdef XEBEC_FRAME_AUDIT
inline constexpr bool kFrameAudit = true;
#else
inline constexpr bool kFrameAudit = false;
#endif

/// Frames by place.
struct FrameCounts {
  uint32_t free = 0;
  uint32_t receive = 0;
  uint32_t transmit = 0;
  uint32_t in_hand = 0;
};

/// One worker's, on one thread once the worker runs (counts() excepted).
class Umem {
 public:
  /// `frame_count` frames, all free, in `memory`, which is at least as large. The kernel does not know of them yet.
  static std::unique_ptr<Umem> create(UmemMemory memory, uint32_t frame_count);
  /// For tests: in memory of its own; nullptr if there is none.
  static std::unique_ptr<Umem> create_unregistered(uint32_t frame_count);
  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;

  /// Registers the memory with the first AF_XDP socket that is to use it; others share it by that one.
  tl::expected<void, IoError> register_with(int xsk_fd);
  /// The socket that it was registered with, which may be closed by now; -1: none.
  int registered_with() const { return registered_with_; }

  /// An empty frame in hand, its packet position after the headroom; empty() if none is free.
  Frame allocate();
  void recycle(Frame frame);
  /// The chunk address to write into a fill ring.
  uint64_t give_to_fill(Frame frame);
  /// address: as the rx descriptor has it, packet position included. continues: the descriptor says that the
  /// packet goes on in the next one.
  Frame take_received(uint64_t address, uint32_t length, bool continues = false);
  /// The packet address to write into a tx ring.
  uint64_t give_to_transmit(Frame frame);
  /// A completed address goes straight back to the free frames.
  void take_completed(uint64_t address);

  uint8_t* data(const Frame& frame) { return memory() + frame.address(); }
  uint8_t* memory() { return memory_.data(); }
  uint32_t count() const { return count_; }
  uint32_t free_count() const { return free_count_; }
  FrameCounts counts() const;
  bool hugepages() const { return memory_.hugepages(); }

  static constexpr uint64_t chunk_of(uint64_t address) {
    return address & ~static_cast<uint64_t>(kFrameSize - 1);
  }

 private:
  Umem() = default;
  enum class Place : uint8_t { free, in_hand, receive, transmit };
  void audit(uint64_t address, Place from, Place to);
  void move_to(uint64_t address, Place from, Place to) {
    if constexpr (kFrameAudit) audit(address, from, to);
  }
  void set_up_ledger(uint32_t frame_count);

  UmemMemory memory_;
  uint32_t count_ = 0;
  int registered_with_ = -1;
  std::vector<uint64_t>
      free_;  // chunk addresses, a stack of free_count_: the frame freed last is the warmest
  uint32_t free_count_ = 0;
  FrameCounts counts_;
  std::vector<Place> places_;  // per chunk; filled in audit builds only
};

// Inline, as each is a handful of instructions done for every packet: called, they were a twelfth of a busy worker's samples.

inline Frame Umem::allocate() {
  if (free_count_ == 0) return {};
  const uint64_t chunk = free_[--free_count_];
  move_to(chunk, Place::free, Place::in_hand);
  ++counts_.in_hand;
  return Frame(chunk + kFrameHeadroom, 0, false);
}

inline void Umem::recycle(Frame frame) {
  const uint64_t chunk = chunk_of(frame.consume());
  move_to(chunk, Place::in_hand, Place::free);
  --counts_.in_hand;
  free_[free_count_++] = chunk;
}

inline uint64_t Umem::give_to_fill(Frame frame) {
  const uint64_t chunk = chunk_of(frame.consume());
  move_to(chunk, Place::in_hand, Place::receive);
  --counts_.in_hand;
  ++counts_.receive;
  return chunk;
}

inline Frame Umem::take_received(uint64_t address, uint32_t length, bool continues) {
  move_to(address, Place::receive, Place::in_hand);
  --counts_.receive;
  ++counts_.in_hand;
  return Frame(address, length, continues);
}

inline uint64_t Umem::give_to_transmit(Frame frame) {
  const uint64_t address = frame.consume();
  move_to(address, Place::in_hand, Place::transmit);
  --counts_.in_hand;
  ++counts_.transmit;
  return address;
}

inline void Umem::take_completed(uint64_t address) {
  const uint64_t chunk = chunk_of(address);
  move_to(chunk, Place::transmit, Place::free);
  --counts_.transmit;
  free_[free_count_++] = chunk;
}

}  // namespace xebec
