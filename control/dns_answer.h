// SPDX-License-Identifier: BSD-2-Clause
// What a DNS message says of addresses and servers (RFC 1035, 3596, 2782). Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "dataplane/ip_address.h"

namespace xebec {

struct DnsAddress {
  std::string name;  ///< lower case, without a full stop at the end
  IpAddress address;
};

struct DnsServer {
  std::string target;  ///< the same
  uint16_t port = 0;
  uint16_t priority = 0;
  uint16_t weight = 0;
};

struct DnsAnswer {
  std::vector<DnsAddress> addresses;   ///< of the answer, whatever names led there
  std::vector<DnsAddress> additional;  ///< what the server added unasked: the targets' addresses
  std::vector<DnsServer> servers;
  uint32_t ttl_s = UINT32_MAX;  ///< the shortest of the answer's records
};

/// Why the message is no answer to a question for this name and type; empty: it is one. Who forges answers knows neither (RFC 5452
/// section 4.2), and a server's mistake is as bad.
std::string dns_answer_fault(std::span<const uint8_t> message, const std::string& name, uint16_t type);

/// The error says what is wrong with the message.
tl::expected<DnsAnswer, std::string> parse_dns_answer(std::span<const uint8_t> message);

}  // namespace xebec
