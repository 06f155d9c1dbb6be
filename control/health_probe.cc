// SPDX-License-Identifier: BSD-2-Clause
#include "control/health_probe.h"

#include "control/health_socket.h"
#include "control/vip_prober.h"

namespace xebec {

ProbeStarter make_probe_starter(EventLoop& loop, CurlLoop& curl, VipProber* vip) {
  return [&loop, &curl, vip](const HealthCheck& check, ProbeDone done) -> std::unique_ptr<Probe> {
    if (check.vip && vip != nullptr) return vip->start(check, std::move(done));
    switch (check.settings.type) {
      case HealthType::tcp:
        return start_tcp_probe(loop, check, std::move(done));
      case HealthType::http:
      case HealthType::https:
        return start_http_probe(loop, curl, check, std::move(done));
      case HealthType::udp:
        return start_udp_probe(loop, check, std::move(done));
      case HealthType::icmp:
        return start_icmp_probe(loop, check, std::move(done));
      case HealthType::dns:
        return start_dns_probe(loop, check, std::move(done));
      case HealthType::none:
        break;
    }
    return tell_later(loop, {ProbeResult::Kind::not_run, "no check is configured"}, std::move(done));
  };
}

}  // namespace xebec
