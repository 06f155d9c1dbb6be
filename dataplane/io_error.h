// SPDX-License-Identifier: BSD-2-Clause
// What went wrong with the kernel, for people: the operation, the errno, and what usually mends it.
#pragma once

#include <string>

namespace xebec {

struct IoError {
  int code = 0;         ///< errno, 0 if none
  std::string message;  ///< "WHAT: WHY"
};

}  // namespace xebec
