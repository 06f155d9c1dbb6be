// SPDX-License-Identifier: BSD-2-Clause
// Ring or inject: which way the packets go that a port has gathered.
//
// Injecting costs some 6 us a call and then a tenth of what the copy-mode ring costs a packet, so a handful
// of packets is cheaper by the ring, and quicker (a single request and its answer: p50 28 us by the ring, 52
// injected). The two ways are different queues of the kernel, so a change of way may reorder a flow. It is
// made only
//
//   ring -> inject   once every packet of the ring is completed: the receiver has taken it out of its queue;
//   inject -> ring   after kQuietNs without injecting: nothing tells what became of an injected packet, but it
//                    waits in the receiver's queue for a softirq at most.
//
// Where a change is wanted and not yet allowed, packets keep to the old way or, if they cannot, are held for
// a moment. And calls are rationed: beyond a rate that request and response never reach, packets gather for half a
// millisecond, as they do in a NIC that moderates its interrupts.
#pragma once

#include <cstdint>

namespace xebec {

class InjectPolicy {
 public:
  enum class Way : uint8_t {
    ring,
    inject,
    hold,    ///< ask again in the next round
    gather,  ///< there were many calls of late: ask again when rest_ns() is over, with more packets
  };

  /// What has gathered at the port.
  struct Gathered {
    uint32_t packets = 0;    ///< at least one
    bool misfit = false;     ///< one of them is too long for a live frame
    bool enough = false;     ///< as many as make a call worth its price, whatever was called before
    bool stalled = false;    ///< none came while the others were told to gather: a burst has ended
    bool full = false;       ///< no room to gather more: hold is no answer
    bool ring_busy = false;  ///< the ring has packets that are not completed
  };

  /// Below this many the ring is cheaper: 8 to 10 packets where the receiver is a stack (measured on veth).
  static constexpr uint32_t kWorthInjecting = 10;
  /// Two ticks at HZ=250, the longest that a packet was seen to wait for ksoftirqd, and a half.
  static constexpr uint64_t kQuietNs = 10'000'000;
  /// A receiver that holds packets back (a packet socket, a full qdisc) may complete them late or never.
  /// Holding longer costs more than the ring does.
  static constexpr uint64_t kPatienceNs = 500'000;
  /// After a hold that was in vain there is none for so long.
  static constexpr uint64_t kNoHoldNs = 100'000'000;
  /// After a packet that only the ring can carry all go there for so long: its flow's others must, and nobody asks which
  /// those are.
  static constexpr uint64_t kMisfitNs = 1'000'000'000;

  /// Calls that do not bring enough packets while more keep coming: one in so long, after a few at once. The kernel
  /// makes a page pool for each call and keeps it for a second if a receiver still holds frames of it, and each
  /// pool's end walks the list of all: at 4,800 calls a second that was 11 % of two CPUs (iperf3 over veth, 350,000 packets a second).
  static constexpr uint64_t kCallNs = 500'000;
  static constexpr uint64_t kCallsAtOnce = 4;
  /// Gathering is looked after this often, to see the end of a burst: a lone request behind one took 510 us
  /// at half load (p50) when nobody looked.
  static constexpr uint64_t kLookNs = 30'000;

  /// now_ns: of a clock that never goes back.
  Way choose(const Gathered& gathered, uint64_t now_ns);
  /// After Way::gather: how long to look away. 0: a call is free.
  uint64_t rest_ns(uint64_t now_ns) const;

 private:
  bool may_hold(const Gathered& gathered, uint64_t now_ns, uint64_t patience_ns);

  // Each call pays kCallNs; in debt by more than kCallsAtOnce there is none.
  uint64_t calls_paid_until_ns_ = 0;
  bool injected_ = false;  // the last packets went this way
  uint64_t last_injected_ns_ = 0;
  bool misfit_seen_ = false;
  uint64_t last_misfit_ns_ = 0;
  bool holding_ = false;
  uint64_t held_since_ns_ = 0;
  bool gave_up_ = false;
  uint64_t gave_up_ns_ = 0;
};

}  // namespace xebec
