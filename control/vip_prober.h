// SPDX-License-Identifier: BSD-2-Clause
// Health checks to a VIP: packets that go to one backend as the service's packets do, and what it answers to us. No socket of the kernel can do
// that: to it a VIP is one address, and has one way. So they are made here, frame by frame, and answers are read beside
// the stack, which does not expect them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include <tl/expected.hpp>

#include "control/event_loop.h"
#include "control/health_probe.h"
#include "control/vip_frames.h"
#include "dataplane/table.h"

namespace xebec {

/// How a check's packets get to its backend.
struct VipWay {
  Backend backend;   ///< of the table in force
  int ifindex = 0;   ///< of the interface that they leave by
  IpAddress source;  ///< of ours, in the VIP's family, and no VIP
};

class VipProber {
 public:
  /// The error: why there is none now.
  using FindWay = std::function<tl::expected<VipWay, std::string>(const HealthCheck&)>;

  VipProber(EventLoop& loop, FindWay find_way);
  VipProber(const VipProber&) = delete;
  VipProber& operator=(const VipProber&) = delete;
  ~VipProber();

  /// Of type tcp, udp, icmp or dns, with a `vip`. The prober outlives the probe.
  std::unique_ptr<Probe> start(const HealthCheck& check, ProbeDone done);

  /// Nobody asks any more: the sockets are closed, which saves the host a look at each of its packets.
  void rest();

 private:
  class Question;
  /// 0 or an errno.
  int open();
  int send(const std::vector<uint8_t>& frame, const VipWay& way);
  void receive(int fd);
  void take(const VipAnswer& answer);
  Question* find(const VipAnswer& answer) const;

  EventLoop& loop_;
  FindWay find_way_;
  int out_ = -1;
  struct Ear {
    int fd = -1;
    EventLoop::WatchId watch = 0;
  };
  Ear ears_[2];                            // IPv4, IPv6
  std::map<uint32_t, Question*> by_mark_;  // of TCP and ICMP
  std::map<std::pair<IpAddress, uint16_t>, Question*>
      by_port_;  // of UDP: by source, the port is reserved at that address only
};

}  // namespace xebec
