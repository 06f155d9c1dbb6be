// SPDX-License-Identifier: BSD-2-Clause
// A netlink route socket: requests with their answers, dumps, and notifications.
#pragma once

#include <libmnl/libmnl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

namespace xebec {

/// One thread. The kernel handles an rtnetlink request within the send, so that an answer is there when send
/// returns; the deadline of a second is for a kernel that breaks this, not for one that is slow.
class Netlink {
 public:
  /// `groups` (RTNLGRP_*): what receive() hears of. The error is a sentence.
  static tl::expected<std::unique_ptr<Netlink>, std::string> open(std::initializer_list<unsigned> groups);
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;
  ~Netlink();

  int fd() const;  ///< non-blocking

  using Fill = std::function<void(std::size_t index, nlmsghdr* request)>;
  /// `error` is an errno, 0 with a message or an acknowledgement; `message` is the answer, nullptr if there
  /// was none.
  using Answer = std::function<void(std::size_t index, int error, const nlmsghdr* message)>;
  /// Sends `count` requests, some dozens in one system call, and calls `answer` exactly once for each, in
  /// order or not. `fill` writes type, flags (NLM_F_REQUEST is there) and payload into at most kMaxRequest
  /// bytes; a request that is not answered by a message carries NLM_F_ACK. One that was never answered has
  /// the error ETIMEDOUT.
  void exchange(std::size_t count, const Fill& fill, const Answer& answer);
  static constexpr std::size_t kMaxRequest = 256;

  enum class Dump : uint8_t {
    complete,
    interrupted,  ///< something changed meanwhile: it may have been missed
    failed,
  };
  using Each = std::function<void(const nlmsghdr* message)>;
  Dump dump(uint16_t type, uint8_t family, const Each& each);

  enum class Heard : uint8_t {
    everything,
    more,     ///< call again
    overrun,  ///< the kernel had to drop notifications; what is known may be wrong
  };
  /// Takes notifications off the socket, a bounded number a call.
  Heard receive(const Each& each);

 private:
  explicit Netlink(mnl_socket* socket);

  void exchange_chunk(std::size_t first, std::size_t count, const Fill& fill, const Answer& answer);
  /// Bytes now in buffer_, or -1 with errno; waits until `deadline_ms` of steady time.
  long receive_until(int64_t deadline_ms);

  mnl_socket* socket_;
  uint32_t sequence_ = 0;
  std::vector<char> buffer_;
};

}  // namespace xebec
