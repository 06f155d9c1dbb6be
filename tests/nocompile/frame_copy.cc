// SPDX-License-Identifier: BSD-2-Clause
// A frame has one holder: it moves, it is never copied.
#include "dataplane/umem.h"

#ifdef XEBEC_MUST_FAIL
xebec::Frame pass_on(xebec::Frame& frame) {
  return frame;
}
#else
xebec::Frame pass_on(xebec::Frame& frame) {
  return std::move(frame);
}
#endif
