// SPDX-License-Identifier: BSD-2-Clause
// An address is not a port.
#include "dataplane/wire.h"

#ifdef XEBEC_MUST_FAIL
xebec::Be16 narrow(xebec::Be32 wire) {
  return wire;
}
#else
xebec::Be32 narrow(xebec::Be32 wire) {
  return wire;
}
#endif
