// SPDX-License-Identifier: BSD-2-Clause
// One question to one backend, and its answer. Non-blocking, on the loop; who started it watches over its time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/event_loop.h"
#include "control/health_check.h"

namespace xebec {

struct ProbeResult {
  enum class Kind : uint8_t {
    good,
    bad,
    not_run,  ///< we could not ask (no descriptor, no port, no permission): says nothing about the backend
  };
  Kind kind = Kind::bad;
  std::string text;  ///< what was seen, without a full stop: "connection refused", "status 200"
};

/// A probe on its way; destroying it abandons it and closes its socket.
class Probe {
 public:
  virtual ~Probe() = default;
  /// What it has been waiting for, should its time be over: a result as good as any other.
  virtual ProbeResult overdue() const = 0;
};

/// Called at most once, from the loop and never from within the start, as the last thing the probe does: the callee may
/// destroy the probe.
using ProbeDone = std::function<void(ProbeResult)>;
using ProbeStarter = std::function<std::unique_ptr<Probe>(const HealthCheck&, ProbeDone)>;

class CurlLoop;
class VipProber;

/// The real ones, by the check's type. The result refers to all three, which outlive it and its probes. `vip`: null if no check asks there.
ProbeStarter make_probe_starter(EventLoop& loop, CurlLoop& curl, VipProber* vip = nullptr);

std::unique_ptr<Probe> start_tcp_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done);
std::unique_ptr<Probe> start_udp_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done);
std::unique_ptr<Probe> start_icmp_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done);
std::unique_ptr<Probe> start_dns_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done);
/// http and https.
std::unique_ptr<Probe> start_http_probe(EventLoop& loop, CurlLoop& curl, const HealthCheck& check,
                                        ProbeDone done);

}  // namespace xebec
