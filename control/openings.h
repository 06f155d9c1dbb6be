// SPDX-License-Identifier: BSD-2-Clause
// What became of TCP connections that clients opened to a backend, as its replies tell.
#pragma once

#include <cstdint>

namespace xebec {

/// Counted by all workers together.
struct Openings {
  uint64_t answered = 0;    ///< by SYN and ACK
  uint64_t refused = 0;     ///< by a reset
  uint64_t unanswered = 0;  ///< SYNs sent again
  uint64_t failed() const { return refused + unanswered; }
  Openings& operator+=(const Openings& other) {
    answered += other.answered;
    refused += other.refused;
    unanswered += other.unanswered;
    return *this;
  }
  Openings operator-(const Openings& other) const {
    return {answered - other.answered, refused - other.refused, unanswered - other.unanswered};
  }
};

}  // namespace xebec
