// SPDX-License-Identifier: BSD-2-Clause
// The UDP check: a datagram, and an answer that has the expected bytes in it. Where none is expected, only the
// backend's kernel saying that nobody listens (ICMP port unreachable) is bad, and silence is good.
#include <netinet/in.h>

#include "control/health_socket.h"

namespace xebec {

std::unique_ptr<Probe> start_udp_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done) {
  const auto judge = [expect = check.settings.expect](std::string_view answer) -> std::optional<ProbeResult> {
    if (!expect || answer.find(*expect) != std::string_view::npos)
      return ProbeResult{ProbeResult::Kind::good, "answered"};
    return ProbeResult{ProbeResult::Kind::bad, "the answer is not the expected one"};
  };
  ProbeResult silence{ProbeResult::Kind::bad, "no answer"};
  if (!check.settings.expect) silence = {ProbeResult::Kind::good, "no refusal"};
  auto probe = std::make_unique<DatagramProbe>(loop, done, judge, std::move(silence));
  if (const int error = probe->start(SOCK_DGRAM, IPPROTO_UDP, check, check.settings.payload); error != 0)
    return tell_later(loop, failed_with(error), std::move(done));
  return probe;
}

}  // namespace xebec
