// SPDX-License-Identifier: BSD-2-Clause
// glibc's resolver library writes and reads the messages.
#include "control/dns_question.h"

#include <arpa/nameser.h>
#include <resolv.h>
#include <sys/random.h>

#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "control/dns_answer.h"

namespace xebec {
namespace {

/// RFC 1035 section 4.1.1.
std::string response_code(int code) {
  constexpr std::array<std::string_view, 6> kNames{"NOERROR",  "FORMERR", "SERVFAIL",
                                                   "NXDOMAIN", "NOTIMP",  "REFUSED"};
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? std::string(kNames[index]) : fmt::format("response code {}", code);
}

}  // namespace

std::optional<DnsQuestion> make_dns_question(const std::string& name, uint16_t type) {
  std::array<unsigned char, NS_PACKETSZ> query{};
  struct __res_state state {};
  const int size = res_nmkquery(&state, ns_o_query, name.c_str(), ns_c_in, type, nullptr, 0, nullptr,
                                query.data(), static_cast<int>(query.size()));
  if (size < 0) return std::nullopt;
  DnsQuestion question{.bytes = {}, .id = 0, .name = name, .type = type};
  if (getrandom(&question.id, sizeof question.id, 0) != sizeof question.id) question.id = query[1];
  query[0] = static_cast<unsigned char>(question.id >> 8);
  query[1] = static_cast<unsigned char>(question.id & 0xff);
  query[2] |= 1;  // RD: a resolver is asked to resolve; others ignore it
  question.bytes.assign(reinterpret_cast<const char*>(query.data()), static_cast<std::size_t>(size));
  return question;
}

std::optional<ProbeResult> judge_dns_answer(const DnsQuestion& question, std::string_view bytes) {
  using Kind = ProbeResult::Kind;
  const std::span whole(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  ns_msg message;
  if (ns_initparse(whole.data(), static_cast<int>(whole.size()), &message) != 0)
    return ProbeResult{Kind::bad, "the answer is no DNS message"};
  if (ns_msg_id(message) != question.id)
    return std::nullopt;  // a late one to an earlier question from this port
  if (std::string fault = dns_answer_fault(whole, question.name, question.type); !fault.empty())
    return ProbeResult{Kind::bad, std::move(fault)};
  const int code = ns_msg_getflag(message, ns_f_rcode);
  if (code != ns_r_noerror) return ProbeResult{Kind::bad, response_code(code)};
  // A truncated answer is one: who asks a second time by TCP is a resolver, not a check.
  if (ns_msg_count(message, ns_s_an) == 0 && ns_msg_getflag(message, ns_f_tc) == 0)
    return ProbeResult{Kind::bad, "the answer has no record"};
  return ProbeResult{Kind::good, "answered"};
}

}  // namespace xebec
