// SPDX-License-Identifier: BSD-2-Clause
// How a port sends: the interface every transmit engine has.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/counters.h"
#include "dataplane/umem.h"

namespace xebec {

/// Written by the worker, read by anyone. An engine that uses another one leaves that one's packets to its counters.
struct TransmitCounters {
  Counter frames;  ///< accepted for sending
  Counter kicks;   ///< system calls made to have them sent
  Counter errors;  ///< frames the kernel took and then reported lost (EBUSY), and kicks it refused
};

/// Their sum over the engines of a port.
struct TransmitTotals {
  uint64_t frames = 0;
  uint64_t kicks = 0;
  uint64_t errors = 0;
  uint64_t injected = 0;  ///< of frames: those sent by the injector
};

/// How far an engine is with what it was given: frames, in order.
struct SendProgress {
  uint64_t accepted = 0;  ///< taken by submit()
  uint64_t sent = 0;      ///< of these, those that the kernel has
};

/// One port's sender; used by the port's worker only, but for name() and totals(), which any thread may ask.
class TransmitEngine {
 public:
  virtual ~TransmitEngine() = default;

  /// Takes frames from the front, in order, as many whole packets as fit; returns how many frames. Taken ones are empty
  /// afterwards, the rest stay in the caller's hands. Does not wait.
  virtual uint32_t submit(std::span<Frame> frames) = 0;
  /// Has the kernel work on what was submitted. Bounded work; what remains is sent by a later flush(). An engine may wait for
  /// more packets where the caller knows that there are some: `more`.
  virtual void flush(bool more) = 0;
  /// Returns sent frames to the free frames of the UMEM; returns how many.
  virtual uint32_t reap() = 0;
  /// Submitted frames that the kernel has not yet taken: flush() again before sleeping.
  virtual bool pending() const = 0;
  /// How long flush() would rather not be called again with as few packets; 0: it does not matter.
  virtual uint64_t rest_ns() const { return 0; }

  virtual std::string_view name() const = 0;  ///< "ring", "inject"
  virtual TransmitTotals totals() const = 0;
  virtual SendProgress progress() const = 0;
};

}  // namespace xebec
