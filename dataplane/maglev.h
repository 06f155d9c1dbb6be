// SPDX-License-Identifier: BSD-2-Clause
// Maglev consistent hashing (Eisenbud et al., NSDI 2016, section 3.4), with weights in every round.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/ip_address.h"

namespace xebec {

/// One backend as the lookup array sees it.
struct MaglevBackend {
  IpAddress address;
  uint16_t port = 0;    ///< host order
  uint32_t weight = 1;  ///< 0: gets no slot
};

/// Slot -> index into the list the array was built from. Immutable once built.
class MaglevTable {
 public:
  static constexpr uint16_t kNone = UINT16_MAX;

  MaglevTable() = default;

  /// Builds the array. Throws std::invalid_argument unless `size` is prime (is_prime) and at least the number
  /// of backends with weight, weights are at most kMaxWeight, and there are at most kMaxBackendsPerService
  /// backends, no two with the same address and port.
  ///
  /// A backend's permutation depends only on (service, address, port, seed, size): the order of `backends`
  /// does not matter, so every node that has the same configuration builds the same array. Weights: a backend
  /// of weight w takes its first turn at time 0 and its k-th at (k - 1/2) / w, so its share of slots follows
  /// its weight throughout, each backend with weight has at least one slot, and the turns of a backend do not
  /// depend on the others' weights: with equal weights these are the paper's rounds.
  static MaglevTable build(std::string_view service, std::span<const MaglevBackend> backends, uint64_t seed,
                           uint32_t size);

  /// Index of the backend for a flow hash, or kNone where no backend has weight.
  uint16_t pick(uint64_t hash) const { return slots_.empty() ? kNone : *slot_of(hash); }
  /// Where pick() reads, to prefetch it. Multiply-shift maps 64 hash bits onto the slots without a division
  /// (Lemire 2016); the bias is size / 2^64.
  const uint16_t* slot_of(uint64_t hash) const {
    __extension__ using Wide = unsigned __int128;
    return slots_.data() + static_cast<std::size_t>((Wide{hash} * slots_.size()) >> 64);
  }

  std::span<const uint16_t> slots() const { return slots_; }
  bool empty() const { return slots_.empty(); }

  /// XXH3 over the addresses and ports behind the slots in slot order: equal arrays on two nodes, whatever
  /// the order of their lists, have equal digests. 0 for an empty array.
  uint64_t digest() const { return digest_; }

 private:
  std::vector<uint16_t> slots_;
  uint64_t digest_ = 0;
};

bool is_prime(uint32_t n);

}  // namespace xebec
