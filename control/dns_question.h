// SPDX-License-Identifier: BSD-2-Clause
// One question to a DNS server, and whether an answer is good: what health checks of type dns send and read (RFC 1035).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/health_probe.h"

namespace xebec {

struct DnsQuestion {
  std::string bytes;  ///< the message
  uint16_t id = 0;    ///< at random
  std::string name;
  uint16_t type = 0;
};

/// nullopt: the name makes none.
std::optional<DnsQuestion> make_dns_question(const std::string& name, uint16_t type);

/// nullopt: the message is no answer to this question; a later one may be.
std::optional<ProbeResult> judge_dns_answer(const DnsQuestion& question, std::string_view message);

}  // namespace xebec
