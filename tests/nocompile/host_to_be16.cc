// SPDX-License-Identifier: BSD-2-Clause
// A number does not become a port in network order by accident.
#include "dataplane/wire.h"

#ifdef XEBEC_MUST_FAIL
xebec::Be16 port(uint16_t number) {
  return number;
}
#else
xebec::Be16 port(uint16_t number) {
  return xebec::Be16::from_host(number);
}
#endif
