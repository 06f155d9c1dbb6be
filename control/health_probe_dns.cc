// SPDX-License-Identifier: BSD-2-Clause
// The DNS check: a question over UDP, and an answer with at least one record (RFC 1035). glibc's resolver library
// writes and reads the messages.
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sys/random.h>

#include <array>

#include <fmt/format.h>

#include "control/health_socket.h"

namespace xebec {
namespace {

/// RFC 1035 section 4.1.1.
std::string response_code(int code) {
  constexpr std::array<std::string_view, 6> kNames{"NOERROR",  "FORMERR", "SERVFAIL",
                                                   "NXDOMAIN", "NOTIMP",  "REFUSED"};
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? std::string(kNames[index]) : fmt::format("response code {}", code);
}

std::optional<ProbeResult> judge(uint16_t id, std::string_view bytes) {
  using Kind = ProbeResult::Kind;
  ns_msg message;
  if (ns_initparse(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()),
                   &message) != 0)
    return ProbeResult{Kind::bad, "the answer is no DNS message"};
  if (ns_msg_id(message) != id) return std::nullopt;  // a late one to an earlier question from this port
  if (ns_msg_getflag(message, ns_f_qr) == 0) return ProbeResult{Kind::bad, "the answer is a question"};
  const int code = ns_msg_getflag(message, ns_f_rcode);
  if (code != ns_r_noerror) return ProbeResult{Kind::bad, response_code(code)};
  // A truncated answer is one: who asks a second time by TCP is a resolver, not a check.
  if (ns_msg_count(message, ns_s_an) == 0 && ns_msg_getflag(message, ns_f_tc) == 0)
    return ProbeResult{Kind::bad, "the answer has no record"};
  return ProbeResult{Kind::good, "answered"};
}

}  // namespace

std::unique_ptr<Probe> start_dns_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done) {
  std::array<unsigned char, NS_PACKETSZ> query{};
  struct __res_state state {};
  const int size =
      res_nmkquery(&state, ns_o_query, check.settings.dns_name.c_str(), ns_c_in, check.settings.dns_type,
                   nullptr, 0, nullptr, query.data(), static_cast<int>(query.size()));
  if (size < 0)
    return tell_later(loop, {ProbeResult::Kind::not_run, "the name makes no DNS question"}, std::move(done));
  uint16_t id = 0;
  if (getrandom(&id, sizeof id, 0) != sizeof id) id = static_cast<uint16_t>(query[1]);
  query[0] = static_cast<unsigned char>(id >> 8);
  query[1] = static_cast<unsigned char>(id & 0xff);
  query[2] |= 1;  // RD: a resolver is asked to resolve; others ignore it
  auto probe = std::make_unique<DatagramProbe>(
      loop, done, [id](std::string_view answer) { return judge(id, answer); },
      ProbeResult{ProbeResult::Kind::bad, "no answer"});
  const std::string_view request(reinterpret_cast<const char*>(query.data()), static_cast<std::size_t>(size));
  if (const int error = probe->start(SOCK_DGRAM, IPPROTO_UDP, check, request); error != 0)
    return tell_later(loop, failed_with(error), std::move(done));
  return probe;
}

}  // namespace xebec
