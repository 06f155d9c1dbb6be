// SPDX-License-Identifier: BSD-2-Clause
// The frames that `xebec doctor` sends, and what comes back. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/ip_address.h"
#include "dataplane/table.h"

namespace xebec {

/// Which probe an answer is for.
struct DoctorMark {
  uint64_t run = 0;  ///< random: another doctor's answers are not ours
  uint32_t probe = 0;
  bool operator==(const DoctorMark&) const = default;
};

/// An echo request from one of our addresses, as a client's packet would come to us. Both of one family.
std::vector<uint8_t> echo_frame(const IpAddress& source, const IpAddress& destination, DoctorMark mark);
/// A broadcast ARP request for an IPv4 address that takes no name for itself (RFC 5227 section 1.1): nobody's cache changes.
std::vector<uint8_t> arp_probe(const MacAddress& source, const IpAddress& wanted);

/// What a received frame means to a doctor.
struct DoctorAnswer {
  enum class Kind : uint8_t {
    echo,         ///< `mark` was answered by `address`
    unreachable,  ///< a packet of ours to `address` was refused; code: ICMP's, or for ICMPv6 the same meaning
    arp,          ///< `mac` says that `address` is there
  };
  Kind kind = Kind::echo;
  IpAddress address;
  DoctorMark mark;
  MacAddress mac{};
  bool port = false;  ///< unreachable: the port, else the protocol
};
std::optional<DoctorAnswer> read_answer(std::span<const uint8_t> frame);

}  // namespace xebec
