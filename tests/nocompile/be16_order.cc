// SPDX-License-Identifier: BSD-2-Clause
// Values in network order have no order: which is larger is a question about host().
#include "dataplane/wire.h"

#ifdef XEBEC_MUST_FAIL
bool below(xebec::Be16 a, xebec::Be16 b) {
  return a < b;
}
#else
bool below(xebec::Be16 a, xebec::Be16 b) {
  return a.host() < b.host();
}
#endif
