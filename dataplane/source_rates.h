// SPDX-License-Identifier: BSD-2-Clause
// How many new flows a second a service takes, in all or from each source. One worker's; fixed memory.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/flow_key.h"

namespace xebec {

/// A service's limit, as a table has it.
struct NewFlowLimit {
  enum class Per : uint8_t { service, source };
  uint32_t per_second = 0;  ///< of all workers together; 0: no limit
  Per per = Per::service;
  friend bool operator==(const NewFlowLimit&, const NewFlowLimit&) = default;
};

/// Tokens by (service name's hash, source), in sets of four. Where a set is full the one that was silent longest gives
/// way, and begins anew with a full burst if it comes again: who sends from thousands of addresses at once is not
/// limited by source, but by the flow table's own bounds.
class SourceRates {
 public:
  /// A set is a cache line. 16,384 sources in 256 KiB a worker.
  static constexpr uint32_t kSets = 4096;
  static constexpr uint32_t kWays = 4;

  SourceRates();

  /// Takes a token. `key`: what is counted (key_of()). `per_second`: this worker's share, and its burst; not 0.
  bool take(uint64_t key, uint32_t per_second, uint64_t now_ns);

  /// IPv6 clients have a /64 each and choose what is behind it (RFC 6177), so that is one source.
  static uint64_t key_of(const HashSecret& secret, uint64_t service, const IpAddress& source);

 private:
  struct Bucket {
    uint32_t tag = 0;
    uint32_t tokens = 0;
    uint64_t refilled_ns = 0;  ///< 0: free
  };
  static_assert(sizeof(Bucket) == 16);
  std::unique_ptr<std::array<Bucket, kWays>[]> sets_;
};

/// A limit of the whole daemon, split over its workers; none gets nothing.
constexpr uint32_t share_of_limit(uint32_t per_second, uint32_t workers) {
  return workers <= 1 ? per_second : (per_second + workers - 1) / workers;
}

}  // namespace xebec
