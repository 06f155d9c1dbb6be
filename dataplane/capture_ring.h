// SPDX-License-Identifier: BSD-2-Clause
// Captured packets on their way from one worker to the control thread: a ring of bytes with one writer and one reader. What
// does not fit is lost, and counted.
//
//   writer (worker)                              reader (control thread)
//   push(): record and bytes, then               pop(): acquire of written_ pairs with push()'s release,
//           written_ := written_ + size                 then read_ := read_ + size
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/capture_limits.h"
#include "dataplane/counters.h"
#include "dataplane/forward.h"
#include "dataplane/ip_address.h"

namespace xebec {

/// What is told of a captured packet. Names and addresses, no indices: the table that they belonged to may be gone when this
/// is read.
struct CaptureRecord {
  uint64_t time_ns = 0;    ///< since the epoch
  uint32_t length = 0;     ///< of the whole packet
  uint32_t captured = 0;   ///< bytes of it that follow
  uint16_t interface = 0;  ///< it came in by, or went out by if `sent`: index into the daemon's interfaces
  uint16_t egress = 0;     ///< of a packet that is forwarded
  Verdict verdict = Verdict::drop;
  DropReason reason = DropReason::not_ip;
  FlowOrigin origin = FlowOrigin::none;
  bool sent = false;       ///< the packet as it left
  bool to_client = false;  ///< a backend's reply
  bool has_backend = false;
  uint8_t service_length = 0;
  IpAddress backend;
  std::array<char, kMaxCapturedName> service{};

  std::string_view service_name() const { return {service.data(), service_length}; }
};

class CaptureRing {
 public:
  /// bytes: a power of two.
  explicit CaptureRing(std::size_t bytes);

  /// Writer: false, and counted as lost, if there is no room.
  bool push(const CaptureRecord& record, const uint8_t* bytes);
  /// Reader: false if there is none. `bytes` is made as long as the packet's.
  bool pop(CaptureRecord& record, std::vector<uint8_t>& bytes);

  /// By interface; read by anyone.
  uint64_t lost(uint16_t interface) const { return lost_[interface].read(); }

 private:
  void put(uint64_t at, const void* from, std::size_t n);
  void get(uint64_t at, void* to, std::size_t n) const;

  std::vector<uint8_t> memory_;
  uint64_t mask_;
  std::array<Counter, kMaxInterfaces> lost_{};
  alignas(64) std::atomic<uint64_t> written_{0};
  alignas(64) std::atomic<uint64_t> read_{0};
};

}  // namespace xebec
