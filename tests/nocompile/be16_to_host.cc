// SPDX-License-Identifier: BSD-2-Clause
// A port in network order does not become a number by accident.
#include "dataplane/wire.h"

#ifdef XEBEC_MUST_FAIL
uint16_t port(xebec::Be16 wire) {
  return wire;
}
#else
uint16_t port(xebec::Be16 wire) {
  return wire.host();
}
#endif
