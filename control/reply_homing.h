// SPDX-License-Identifier: BSD-2-Clause
// Whether workers choose ports of mode nat by what RSS foretells of the replies on one interface. What a driver tells is not all:
// which fields it hashes differs, by protocol, too. So it is looked at where replies really arrive; where fewer than three in four
// come home, choosing stops until the driver tells something else.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/ethtool.h"
#include "control/preflight.h"
#include "dataplane/nat_table.h"
#include "dataplane/reply_queues.h"

namespace xebec {

class ReplyHoming {
 public:
  enum class State : uint8_t {
    unknown,  ///< RSS cannot be read, is not Toeplitz, or there is one queue: any port is as good
    by_rss,
    stopped,  ///< replies do not come where it foretells
  };
  using Counts = std::array<NatTables::Arrivals, kHashClasses>;  ///< by HashClass, of all time

  /// First replies after which it is judged. One queue of two would be hit by three in four of so many once in 30,000 times.
  static constexpr uint64_t kWindow = 64;

  /// What the driver tells now; queues: as many as are served. True: queues() is another one from now on.
  bool set(const std::optional<ReceiveHashing>& hashing, uint32_t queues, const Counts& now);
  /// The classes that stop now. If there are some, queues() is another one from now on.
  std::vector<HashClass> observe(const Counts& now);

  /// For NatTables::set_reply_queues(); null: nothing is foretold.
  const std::shared_ptr<const ReplyQueues>& queues() const { return queues_; }
  State state(HashClass hash_class) const;

 private:
  void make();

  std::optional<ReceiveHashing> hashing_;  // absent: of no use
  uint8_t stopped_ = 0;                    // bits of classes
  Counts since_{};                         // the window's begin
  std::shared_ptr<const ReplyQueues> queues_;
};

/// "unknown", "by-rss", "stopped".
const char* name_of(ReplyHoming::State state);

/// For a table: "any", "by RSS", "by RSS, but not udp4".
std::string summary_of(const ReplyHoming& homing);

/// What `xebec doctor` says of it; nothing where nothing is known.
std::vector<Finding> findings_of(const std::string& interface, const ReplyHoming& homing,
                                 const ReplyHoming::Counts& counts);

}  // namespace xebec
