// SPDX-License-Identifier: BSD-2-Clause
// glibc's resolver library reads the messages.
#include "control/dns_answer.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace xebec {
namespace {

constexpr std::size_t kSrvFixed = 6;  // priority, weight, port

std::string plain(std::string name) {
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (name.size() > 1 && name.back() == '.') name.pop_back();
  return name;
}

std::optional<IpAddress> address_of(const ns_rr& record) {
  const unsigned char* data = ns_rr_rdata(record);
  if (ns_rr_type(record) == ns_t_a && ns_rr_rdlen(record) == 4) {
    Be32 v4;
    std::memcpy(&v4, data, sizeof v4);
    return IpAddress::from_v4(v4);
  }
  if (ns_rr_type(record) == ns_t_aaaa && ns_rr_rdlen(record) == 16) {
    uint8_t v6[16];
    std::memcpy(v6, data, sizeof v6);
    return IpAddress::from_v6(v6);
  }
  return std::nullopt;
}

std::optional<DnsServer> server_of(const ns_msg& message, const ns_rr& record) {
  if (ns_rr_type(record) != ns_t_srv || ns_rr_rdlen(record) <= kSrvFixed) return std::nullopt;
  const unsigned char* data = ns_rr_rdata(record);
  std::array<char, NS_MAXDNAME> target{};
  if (dn_expand(ns_msg_base(message), ns_msg_end(message), data + kSrvFixed, target.data(),
                static_cast<int>(target.size())) < 0)
    return std::nullopt;
  const auto number = [&](std::size_t at) { return static_cast<uint16_t>(data[at] << 8 | data[at + 1]); };
  return DnsServer{plain(target.data()), number(4), number(0), number(2)};
}

}  // namespace

std::string dns_answer_fault(std::span<const uint8_t> bytes, const std::string& name, uint16_t type) {
  ns_msg message;
  if (bytes.size() > NS_MAXMSG || ns_initparse(bytes.data(), static_cast<int>(bytes.size()), &message) != 0)
    return "the answer is no DNS message";
  if (ns_msg_getflag(message, ns_f_qr) == 0) return "the answer is a question";
  // A server that refuses may leave the question out, and says nothing to be believed.
  if (ns_msg_count(message, ns_s_qd) == 0 && ns_msg_getflag(message, ns_f_rcode) != ns_r_noerror) return {};
  ns_rr asked;
  const bool one = ns_msg_count(message, ns_s_qd) == 1 && ns_parserr(&message, ns_s_qd, 0, &asked) == 0;
  // Names are equal in any case (RFC 4343).
  if (!one || ns_rr_class(asked) != ns_c_in || ns_rr_type(asked) != type ||
      plain(ns_rr_name(asked)) != plain(name))
    return "the answer is to another question";
  return {};
}

tl::expected<DnsAnswer, std::string> parse_dns_answer(std::span<const uint8_t> bytes) {
  ns_msg message;
  if (bytes.size() > NS_MAXMSG || ns_initparse(bytes.data(), static_cast<int>(bytes.size()), &message) != 0)
    return tl::unexpected(std::string("the answer is no DNS message"));
  DnsAnswer answer;
  for (const ns_sect section : {ns_s_an, ns_s_ar}) {
    for (int i = 0; i < ns_msg_count(message, section); ++i) {
      ns_rr record;
      if (ns_parserr(&message, section, i, &record) != 0)
        return tl::unexpected(std::string("the answer has a record that cannot be read"));
      if (ns_rr_class(record) != ns_c_in) continue;
      if (section == ns_s_an) answer.ttl_s = std::min<uint32_t>(answer.ttl_s, ns_rr_ttl(record));
      if (const auto address = address_of(record))
        (section == ns_s_an ? answer.addresses : answer.additional)
            .push_back({plain(ns_rr_name(record)), *address});
      const auto server = section == ns_s_an ? server_of(message, record) : std::nullopt;
      if (server) answer.servers.push_back(*server);
    }
  }
  return answer;
}

}  // namespace xebec
