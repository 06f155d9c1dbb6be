// SPDX-License-Identifier: BSD-2-Clause
// A small world to forward packets in: a table made of a few words, frames in memory of exactly their size,
// and a judge of what came out that shares no code with the rewriter.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dataplane/forward.h"
#include "tests/support/frame_builder.h"

namespace xebec::test {

IpAddress address(std::string_view text);

/// Parts of a table, in the order a test tells them.
class TableStory {
 public:
  /// Returns the service's index.
  uint32_t service(std::string_view vip, uint8_t protocol, uint16_t port, bool stateless = false);
  /// Adds a usable backend with a resolved next hop to the service told last; returns its id. The tunnel
  /// source of Mode::ipip is 198.51.100.1 or 2001:db8:51::1.
  uint32_t backend(std::string_view address, Mode mode = Mode::dsr_l2, uint16_t mtu = 1500);

  Backend& at(uint32_t id) { return parts_.backends.at(id); }
  Service& service_at(uint32_t index) { return parts_.services.at(index); }
  void icmp(IcmpPolicy policy) { parts_.icmp = policy; }
  /// With lookup arrays of what is usable.
  TableParts parts() const;
  std::unique_ptr<const Table> make() const { return Table::make(parts()); }

 private:
  TableParts parts_;
};

/// A usable backend on its own, with the next hop of id 0 and a tunnel source for either mode.
Backend backend_at(std::string_view text, Mode mode, uint16_t mtu = 1500);

/// The MAC address that TableStory gives a backend's next hop, and the one it sends from.
MacAddress next_hop_mac(uint32_t backend_id);
inline constexpr MacAddress kEgressMac = {{0x02, 0, 0, 0, 0xee, 0x01}};

/// One frame in heap memory of exactly headroom, bytes and what padding to the minimum needs: ASan sees any
/// step outside, and what is not the frame's is poisoned, so that it shows in what comes out.
class HeapFrame {
 public:
  explicit HeapFrame(const Bytes& bytes, uint32_t headroom = kFrameHeadroom, uint8_t poison = 0xa5);
  Packet packet() const;

 private:
  std::unique_ptr<uint8_t[]> memory_;
  uint32_t length_;
  uint32_t headroom_;
  uint32_t tail_;
};

Bytes bytes_of(const Packet& packet);

/// Judges one packet that went through forward_batch by the rules of docs, byte by byte. Empty: right.
/// Otherwise what is wrong. `received`: the frame as it came in.
std::string judge(const Bytes& received, const Decision& decision, const Packet& sent, const Table& table);

/// received = forwarded + passed + replied + all drops.
bool accounts_balance(const WorkerCounters& counters);

}  // namespace xebec::test
