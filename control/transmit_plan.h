// SPDX-License-Identifier: BSD-2-Clause
// How the ports of a worker will send: which by the ring, which by injection, and why.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/config.h"
#include "control/injector.h"
#include "control/xdp_features.h"

namespace xebec {

struct TransmitChoice {
  bool inject = false;   ///< an injector is made for it
  bool ready = false;    ///< and packets may go by it now; this can change while running (XdpFeatureEvents)
  bool in_vain = false;  ///< injection was asked for by name and is not to be had, or not now
  std::string why;       ///< half a sentence: "zero-copy", "the driver takes no redirected packets now"
};

/// What speaks for and against injecting, of one interface and the worker's injector.
struct TransmitFacts {
  TransmitMode wanted = TransmitMode::automatic;
  bool zerocopy = false;
  tl::expected<uint64_t, XdpFeaturesError> features = 0u;  ///< as xdp_features() has them
  bool redirect_crashes = false;  ///< the driver brings the kernel down when it is given redirected packets
};

/// Pure. What is known before an injector is loaded.
TransmitChoice choose_transmit(const TransmitFacts& facts);
/// Pure. What is known afterwards: `choice`, or the ring if packets of the MTU would not fit live frames and
/// it is not asked for by name.
TransmitChoice choose_by_length(TransmitChoice choice, TransmitMode wanted, uint32_t mtu,
                                uint32_t max_length);

/// One interface of the worker.
struct TransmitInterface {
  std::string name;
  int ifindex = 0;
  TransmitMode wanted = TransmitMode::automatic;
};

struct TransmitPlan {
  std::unique_ptr<Injector> injector;   ///< there if any port injects
  std::vector<TransmitChoice> choices;  ///< one an interface, in their order
};

/// Asks the kernel; loads an injector for so many frames if one of the interfaces shall inject.
TransmitPlan plan_transmit(const std::vector<TransmitInterface>& interfaces, bool zerocopy,
                           uint32_t frame_count);

}  // namespace xebec
