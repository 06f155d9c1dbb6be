// SPDX-License-Identifier: BSD-2-Clause
// How a port sends: the interface every transmit engine has.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/counters.h"
#include "dataplane/umem.h"

namespace xebec {

/// Written by the worker, read by anyone.
struct TransmitCounters {
  Counter frames;  ///< accepted for sending
  Counter kicks;   ///< system calls made to have them sent
  Counter errors;  ///< frames the kernel took and then reported lost (EBUSY), and kicks it refused
};

/// One port's sender; used by the port's worker only.
class TransmitEngine {
 public:
  virtual ~TransmitEngine() = default;

  /// Takes frames from the front, in order, as many as fit; returns how many it took. Taken frames are empty
  /// afterwards, the rest stay in the caller's hands. Does not wait.
  virtual uint32_t submit(std::span<Frame> frames) = 0;
  /// Has the kernel work on what was submitted. Bounded work; what remains is sent by a later flush().
  virtual void flush() = 0;
  /// Returns sent frames to the free frames of the UMEM; returns how many.
  virtual uint32_t reap() = 0;
  /// Submitted frames that the kernel has not yet taken: flush() again before sleeping.
  virtual bool pending() const = 0;

  virtual std::string_view name() const = 0;  ///< "ring"
  virtual const TransmitCounters& counters() const = 0;
};

}  // namespace xebec
