// SPDX-License-Identifier: BSD-2-Clause
#include "dataplane/mss_clamp.h"

#include <algorithm>
#include <cstring>

#include "dataplane/checksum.h"
#include "dataplane/encapsulate.h"

namespace xebec {
namespace {

// RFC 9293 section 3.1.
constexpr uint8_t kOptionEnd = 0;
constexpr uint8_t kOptionNothing = 1;
constexpr uint8_t kOptionMss = 2;
constexpr uint8_t kMssLength = 4;

Be16 swapped(Be16 value) {
  return Be16{{value.bytes[1], value.bytes[0]}};
}

// `at`: of the value, from the start of the header. At an odd place its two bytes stand in two words of the sum, each in
// the other half: the same as one word turned round (RFC 1071 section 2B).
void update_checksum(TcpHeader& header, std::size_t at, Be16 before, Be16 after) {
  header.checksum = at % 2 == 0 ? checksum_update(header.checksum, before, after)
                                : checksum_update(header.checksum, swapped(before), swapped(after));
}

}  // namespace

uint32_t mss_limit(const Service& service, const Backend& backend, const ParsedPacket& parsed) {
  if (service.mss_clamp != kMssClampAuto)
    return service.mss_clamp == kMssClampOff ? kMssAny : service.mss_clamp;
  const uint32_t overhead = overhead_of(backend);
  const uint32_t mtu = backend.next_hop.mtu;
  if (overhead == 0 || mtu == 0) return kMssAny;
  // RFC 6691: the headers without any options, IP and TCP.
  const auto headers = static_cast<uint32_t>(
      (parsed.ip_version == 4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header)) + sizeof(TcpHeader));
  return mtu > overhead + headers ? mtu - overhead - headers : kMssAny;
}

bool clamp_mss(uint8_t* tcp, std::size_t available, uint32_t limit, bool checksum_is_partial) {
  auto& header = *view_as<TcpHeader>(tcp);
  const std::size_t end =
      std::min<std::size_t>(static_cast<std::size_t>(header.data_offset >> 4) * 4, available);
  bool lowered = false;
  for (std::size_t at = sizeof(TcpHeader); at < end && tcp[at] != kOptionEnd;) {
    if (tcp[at] == kOptionNothing) {
      ++at;
      continue;
    }
    // A length that is no length, or reaches behind the end: what follows means nothing.
    if (at + 1 >= end || tcp[at + 1] < 2 || at + tcp[at + 1] > end) break;
    if (tcp[at] == kOptionMss && tcp[at + 1] == kMssLength) {
      Be16 mss;
      std::memcpy(&mss, tcp + at + 2, sizeof mss);
      if (mss.host() > limit) {
        const Be16 after = Be16::from_host(static_cast<uint16_t>(limit));
        std::memcpy(tcp + at + 2, &after, sizeof after);
        if (!checksum_is_partial) update_checksum(header, at + 2, mss, after);
        lowered = true;
      }
    }
    at += tcp[at + 1];
  }
  return lowered;
}

}  // namespace xebec
