// SPDX-License-Identifier: BSD-2-Clause
// The DNS check: a question over UDP, and an answer with at least one record.
#include <netinet/in.h>

#include "control/dns_question.h"
#include "control/health_socket.h"

namespace xebec {

std::unique_ptr<Probe> start_dns_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done) {
  const auto question = make_dns_question(check.settings.dns_name, check.settings.dns_type);
  if (!question)
    return tell_later(loop, {ProbeResult::Kind::not_run, "the name makes no DNS question"}, std::move(done));
  auto probe = std::make_unique<DatagramProbe>(
      loop, done,
      [question = *question](std::string_view answer) { return judge_dns_answer(question, answer); },
      ProbeResult{ProbeResult::Kind::bad, "no answer"});
  if (const int error = probe->start(SOCK_DGRAM, IPPROTO_UDP, check, question->bytes); error != 0)
    return tell_later(loop, failed_with(error), std::move(done));
  return probe;
}

}  // namespace xebec
