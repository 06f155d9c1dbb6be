// SPDX-License-Identifier: BSD-2-Clause
// A MAC address as an argument of a benchmark's program.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "bench/measure.h"
#include "dataplane/ip_address.h"

namespace xebec::bench {

/// Ends the process unless the text is aa:bb:cc:dd:ee:ff.
inline void read_mac(const std::string& text, uint8_t (&mac)[6]) {
  const auto parsed = parse_mac(text);
  require(parsed.has_value(), "no MAC address: " + text);
  std::memcpy(mac, parsed->bytes, sizeof mac);
}

}  // namespace xebec::bench
