// SPDX-License-Identifier: BSD-2-Clause
// The shim's owner: loads bpf/shim.bpf.c, attaches it to one interface, and keeps its maps as the control
// thread wants them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "bpf/abi.h"
#include "control/config.h"
#include "control/steered_service.h"
#include "dataplane/ip_address.h"
#include "dataplane/service_match.h"
#include "dataplane/source_rules.h"

namespace xebec {

struct ReplyRules;  // control/reply_rules.h

struct SteeringError {
  enum class Kind : uint8_t {
    permission,       ///< the message names the capability
    foreign_program,  ///< another XDP program is on the interface; the message names it
    other_shim,       ///< the same, and it is a shim of Xebec: another daemon serves the interface
    unsupported,      ///< neither native nor generic mode, or the kernel refused the program
    other,
  };
  Kind kind = Kind::other;
  std::string message;
};

struct ShimCounters {
  uint64_t steered = 0;
  uint64_t no_socket = 0;
  uint64_t stale = 0;
  uint64_t denied = 0;
  uint64_t passed = 0;
};

/// One interface's shim. Attached by a bpf_link that dies with the process: nothing is left behind. Never
/// libxdp's program.
class Steering {
 public:
  /// Loads the program and its maps; attaches nothing yet.
  static tl::expected<std::unique_ptr<Steering>, SteeringError> load(FallbackVerdict fallback,
                                                                     uint64_t stale_after_ns);
  virtual ~Steering() = default;

  /// Attaches in native mode, or generic where `mode` allows and native is refused. attached() tells which.
  virtual tl::expected<void, SteeringError> attach(int ifindex, XdpMode mode) = 0;
  /// Takes the sockets out, too: those of an interface that is gone take nothing, and the shim would not know it.
  virtual void detach() = 0;
  /// "native", "generic", or "" while not attached.
  virtual std::string_view attached() const = 0;
  /// Why native was not obtained; empty if it was or was not tried.
  virtual std::string_view native_refusal() const = 0;

  /// Makes the maps hold exactly these services; touches only what differs. Removes before it adds where the
  /// map would overflow. Idempotent.
  virtual tl::expected<void, SteeringError> set_services(const std::vector<SteeredService>& services) = 0;
  /// Which packets are replies of translating services. Idempotent.
  virtual tl::expected<void, SteeringError> set_replies(const ReplyRules& rules) = 0;
  /// The interface's address: frames to another one are not steered from here on.
  virtual tl::expected<void, SteeringError> set_mac(const MacAddress& mac) = 0;
  /// Puts the AF_XDP socket of a receive queue into the XSKMAP, or takes it out.
  virtual tl::expected<void, SteeringError> set_socket(uint32_t queue, int xsk_fd) = 0;
  virtual void clear_socket(uint32_t queue) = 0;

  /// The queue's heartbeat in the mmapped map; valid while this object lives. The queue's worker writes it,
  /// atomically.
  virtual uint64_t* heartbeat(uint32_t queue) = 0;

  virtual ShimCounters counters() const = 0;
  virtual int program_fd() const = 0;
};

}  // namespace xebec
