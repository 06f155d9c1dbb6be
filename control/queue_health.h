// SPDX-License-Identifier: BSD-2-Clause
// What is known of the queues of an interface while they are served: does each send, and are there as many as at start?
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "dataplane/self_test.h"
#include "dataplane/transmit_watch.h"
#include "dataplane/xsk_port.h"

namespace xebec {

/// Of one (interface, queue), over the sockets that it has had.
struct QueueTotals {
  PortStatistics lost;
  TransmitTotals sent;

  /// What the port's socket has counted.
  QueueTotals& operator+=(const XskPort& port);
};

/// Of one (interface, queue).
struct QueueHealth {
  SelfTest self_test;
  TransmitWatch transmit;
  QueueTotals closed;  ///< of sockets before the one it has now
};

/// Receive queues of one interface.
struct QueueCounts {
  uint32_t served = 0;
  uint32_t at_start = 0;
  uint32_t now = 0;
  std::optional<uint32_t> hashed;  ///< those that receive hashing reaches, from 0; absent: not known
};

/// What is wrong with them: a queue that nobody serves and that was not there at start, or one that is gone. Empty: nothing.
std::string queue_count_problem(const std::string& interface, const QueueCounts& counts);

/// Of an interface that was renamed while it is served.
std::string renamed_problem(const std::string& configured, const std::string& now, int ifindex);

/// Why an interface's queues send the way they do, by queue, as half a sentence: queues are named where they differ.
std::string transmit_reasons(const std::map<uint32_t, std::string>& why);

}  // namespace xebec
