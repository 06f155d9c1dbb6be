// SPDX-License-Identifier: BSD-2-Clause
// What is known of the queues of an interface while they are served: does each send, and are there as many as at start?
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
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

/// A socket of a worker, as far as it matters to whether the worker's sockets may be closed.
struct HeldSocket {
  std::string interface;
  std::string driver;
  bool keep = false;  ///< the driver is to keep its zero-copy sockets (DriverQuirk::Answer::keep_sockets)
  bool zerocopy = false;
  bool bound = false;  ///< else its interface is gone, and the driver has no part in it any more
};

/// Why none of them may be closed, a sentence; empty: they may. Of all sockets of one worker, which are opened and closed
/// together, for they have one memory.
std::string why_sockets_stay(std::span<const HeldSocket> sockets);

/// Whether an AF_XDP socket is bound to an interface that is there. Any thread.
bool is_bound(int xsk_fd);

/// Why an interface's queues send the way they do, by queue, as half a sentence: queues are named where they differ.
std::string transmit_reasons(const std::map<uint32_t, std::string>& why);

}  // namespace xebec
