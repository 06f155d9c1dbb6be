// SPDX-License-Identifier: BSD-2-Clause
// Link types of captures: Ethernet frames out of what was taken where there is no Ethernet header, as by tcpdump -i any.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/wire.h"

namespace xebec {

/// Linux cooked (v1 and v2), raw IP, loopback. IP packets that came in get a header to `own`. Of anything else nothing
/// remains: what did not come in, or is not known to be IP, no shim would steer.
class CaptureLink {
 public:
  /// type: libpcap's DLT_.
  CaptureLink(int type, MacAddress own) : type_(type), own_(own) {}

  bool is_ethernet() const;
  /// False: no packet of the type can be told.
  bool is_known() const;
  /// "LINUX_SLL (Linux cooked v1)"
  std::string name() const;

  /// Valid until the next call, or as long as `bytes`. Empty: nothing to steer.
  std::span<const uint8_t> frame_of(std::span<const uint8_t> bytes);

 private:
  std::span<const uint8_t> cooked(std::span<const uint8_t> bytes, std::size_t protocol_at, uint16_t direction,
                                  std::size_t source_at, std::size_t header_length);
  std::span<const uint8_t> made_up(MacAddress source, uint16_t type, std::span<const uint8_t> packet);

  int type_;
  MacAddress own_;
  std::vector<uint8_t> frame_;
};

}  // namespace xebec
