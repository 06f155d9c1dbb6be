// SPDX-License-Identifier: BSD-2-Clause
// A listening stream socket: what a server accepts its clients from.
#pragma once

namespace xebec {

class Listener {
 public:
  virtual ~Listener() = default;
  virtual int fd() const = 0;  ///< non-blocking
};

}  // namespace xebec
