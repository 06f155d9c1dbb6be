// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/mss_clamp.h"

#include <algorithm>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/client_note.h"
#include "dataplane/encapsulate.h"
#include "dataplane/tcp_options.h"

namespace xebec {
namespace {

constexpr std::size_t kMssLength = 4;  // RFC 9293 section 3.2

Be16 swapped(Be16 value) {
  return Be16{{value.bytes[1], value.bytes[0]}};
}

// `at`: of the value, from the start of the header. At an odd place its two bytes stand in two words of the sum, each in
// the other half: the same as one word turned round (RFC 1071 section 2B).
void update_checksum(TcpHeader& header, std::size_t at, Be16 before, Be16 after) {
  header.checksum = at % 2 == 0 ? checksum_update(header.checksum, before, after)
                                : checksum_update(header.checksum, swapped(before), swapped(after));
}

uint32_t limit_by(const Service& service, const Backend& backend, const ParsedPacket& parsed,
                  uint32_t overhead) {
  if (service.mss_clamp != kMssClampAuto)
    return service.mss_clamp == kMssClampOff ? kMssAny : service.mss_clamp;
  const uint32_t mtu = backend.next_hop.mtu;
  if (overhead == 0 || mtu == 0) return kMssAny;
  // RFC 6691: the headers without any options, IP and TCP.
  const auto headers = static_cast<uint32_t>(
      (parsed.ip_version == 4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header)) + sizeof(TcpHeader));
  return mtu > overhead + headers ? mtu - overhead - headers : kMssAny;
}

}  // namespace

uint32_t mss_limit(const Service& service, const Backend& backend, const ParsedPacket& parsed) {
  return limit_by(service, backend, parsed, overhead_of(backend));
}

uint32_t mss_limit_to_client(const Service& service, const Backend& backend, const ParsedPacket& parsed) {
  return limit_by(service, backend, parsed, note_length(backend.client_note, parsed.ip_version == 4));
}

bool clamp_mss(uint8_t* tcp, std::size_t available, uint32_t limit, bool checksum_is_partial) {
  auto& header = *view_as<TcpHeader>(tcp);
  bool lowered = false;
  for_each_tcp_option(tcp, available, [&](uint8_t* option, std::size_t length) {
    if (option[0] != kTcpOptionMss || length != kMssLength) return;
    Be16 mss;
    std::memcpy(&mss, option + 2, sizeof mss);
    if (mss.host() <= limit) return;
    const Be16 after = Be16::from_host(static_cast<uint16_t>(limit));
    std::memcpy(option + 2, &after, sizeof after);
    if (!checksum_is_partial) update_checksum(header, static_cast<std::size_t>(option + 2 - tcp), mss, after);
    lowered = true;
  });
  return lowered;
}

}  // namespace xebec
