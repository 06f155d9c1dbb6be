// SPDX-License-Identifier: BSD-2-Clause
// Where a fragmented datagram goes: the first fragment carries the ports and is decided like any packet; the
// later ones follow it by (source, destination, id, protocol).
//
// A NIC or veth that spreads packets by their ports gives the first fragment to one queue and the later ones, which have
// none, to another. So a worker writes what it decided into a table of its own, and reads everybody's:
//
//   worker 0 ── writes ──> table 0 <── reads ──┐
//                             ^                ├── any worker with a later fragment
//   worker 1 ── writes ──> table 1 <── reads ──┘
//
// Handing the frames over instead would let a frame of one UMEM leave by another worker's sockets, which the kernel does
// not do without a copy; an answer of twelve bytes is all that is missing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "dataplane/ip_address.h"

namespace xebec {

struct FragmentKey {
  IpAddress source;
  IpAddress destination;
  uint32_t id = 0;  ///< IPv4 identification or IPv6 fragment identification, host order
  uint8_t protocol = 0;
  uint8_t zero[3] = {};
};
static_assert(sizeof(FragmentKey) == 40);

/// Fixed size, four places a set, the oldest gives way. One thread writes; any reads, without a lock: a reader that meets
/// the writer in an entry tries again, and finds nothing there if it meets it time after time.
class FragmentTable {
 public:
  /// How long a datagram's fragments may be apart: 30 s, as net.ipv4.ipfrag_time.
  static constexpr uint64_t kLifetimeNs = 30ull * 1'000'000'000;
  static constexpr uint32_t kSets = 256;
  static constexpr uint32_t kWays = 4;

  struct Decision {
    uint32_t backend_id = 0;
    uint64_t at_ns = 0;  ///< when the first fragment came
    friend bool operator==(const Decision&, const Decision&) = default;
  };

  FragmentTable() = default;
  FragmentTable(const FragmentTable&) = delete;
  FragmentTable& operator=(const FragmentTable&) = delete;

  void remember(const FragmentKey& key, uint64_t hash, uint32_t backend_id, uint64_t now_ns);
  std::optional<Decision> find(const FragmentKey& key, uint64_t hash, uint64_t now_ns) const;
  /// Grows with everything that is remembered; who has seen it grow finds what made it grow.
  uint64_t remembered() const { return remembered_.load(std::memory_order_acquire); }

 private:
  static constexpr std::size_t kKeyWords = sizeof(FragmentKey) / sizeof(uint64_t);
  using KeyWords = std::array<uint64_t, kKeyWords>;

  /// A cache line. `sequence` is odd while the writer is at work, and another one afterwards.
  struct alignas(64) Entry {
    std::atomic<uint64_t> sequence{0};
    std::array<std::atomic<uint64_t>, kKeyWords> key{};
    std::atomic<uint64_t> backend_id{0};
    std::atomic<uint64_t> at_ns{0};  ///< 0 = empty
  };
  static_assert(sizeof(Entry) == 64);
  struct Snapshot {
    KeyWords key;
    Decision decision;
  };

  static void write(Entry& entry, const KeyWords& key, const Decision& decision);
  static std::optional<Snapshot> read(const Entry& entry);

  std::array<std::array<Entry, kWays>, kSets> sets_{};
  std::atomic<uint64_t> remembered_{0};
};

using SharedFragmentTable = std::shared_ptr<const FragmentTable>;

/// What the newest of all tables says of a datagram. An id comes round again, 65,536 datagrams later in IPv4: by then its
/// first fragment may have come to another worker than the one before.
std::optional<uint32_t> find_newest(const FragmentTable& own, std::span<const SharedFragmentTable> others,
                                    const FragmentKey& key, uint64_t hash, uint64_t now_ns);

}  // namespace xebec
