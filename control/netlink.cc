// SPDX-License-Identifier: BSD-2-Clause
// Netlink sockets on libmnl.
#include "control/netlink.h"

#include "dataplane/clock.h"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

namespace xebec {
namespace {

// Answers to one send wait in the socket's receive buffer, 208 KiB by default, each in an skb of at most some
// 4 KiB.
constexpr std::size_t kChunk = 32;
// The kernel fills dump messages up to 32 KiB where the reader's buffer allows (netlink_dump).
constexpr std::size_t kBufferSize = 32 * 1024;
// A storm of notifications shares the loop with everything else.
constexpr int kReceivesPerCall = 64;
// Room for a burst of notifications, such as a link with thousands of neighbours going down.
constexpr int kEventBuffer = 4 << 20;
constexpr int64_t kAnswerDeadlineMs = 1000;

int64_t now_ms() {
  return static_cast<int64_t>(monotonic_ns() / 1'000'000);
}

/// Calls `each` for every message of a datagram.
template <typename F>
void for_each_message(const char* data, long size, F each) {
  int left = static_cast<int>(size);
  // libmnl's macros hold casts of C; the buffer comes from operator new, aligned for any header.
  for (const auto* header = reinterpret_cast<const nlmsghdr*>(data); mnl_nlmsg_ok(header, left);
       header = mnl_nlmsg_next(header, &left)) {
    each(header);
  }
}

int error_of(const nlmsghdr* header) {
  if (mnl_nlmsg_get_payload_len(header) < sizeof(int)) return EBADMSG;
  return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header))->error;
}

}  // namespace

Netlink::Netlink(mnl_socket* socket) : socket_(socket), buffer_(kBufferSize) {}

Netlink::~Netlink() {
  mnl_socket_close(socket_);
}

int Netlink::fd() const {
  return mnl_socket_get_fd(socket_);
}

tl::expected<std::unique_ptr<Netlink>, std::string> Netlink::open(std::initializer_list<unsigned> groups) {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket == nullptr) {
    return tl::unexpected(fmt::format("cannot open a netlink socket: {}", std::strerror(errno)));
  }
  std::unique_ptr<Netlink> netlink(new Netlink(socket));
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
    return tl::unexpected(fmt::format("cannot bind a netlink socket: {}", std::strerror(errno)));
  }
  // Acknowledgements without a copy of what they acknowledge. A kernel that cannot sends the copy.
  int one = 1;
  mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &one, sizeof one);
  if (groups.size() == 0) return netlink;
  // The forced form needs CAP_NET_ADMIN and passes net.core.rmem_max. With less, overruns come sooner, and
  // are seen.
  if (setsockopt(netlink->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kEventBuffer, sizeof kEventBuffer) != 0) {
    setsockopt(netlink->fd(), SOL_SOCKET, SO_RCVBUF, &kEventBuffer, sizeof kEventBuffer);
  }
  for (unsigned group : groups) {
    if (mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
      return tl::unexpected(fmt::format("cannot join netlink group {}: {}", group, std::strerror(errno)));
    }
  }
  return netlink;
}

long Netlink::receive_until(int64_t deadline_ms) {
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket_, buffer_.data(), buffer_.size());
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) return got;
    if (errno == EINTR) continue;
    const int64_t left = deadline_ms - now_ms();
    pollfd poll_fd{fd(), POLLIN, 0};
    if (left <= 0 || poll(&poll_fd, 1, static_cast<int>(left)) == 0) {
      errno = ETIMEDOUT;
      return -1;
    }
  }
}

void Netlink::exchange(std::size_t count, const Fill& fill, const Answer& answer) {
  for (std::size_t first = 0; first < count; first += kChunk) {
    exchange_chunk(first, std::min(kChunk, count - first), fill, answer);
  }
}

void Netlink::exchange_chunk(std::size_t first, std::size_t count, const Fill& fill, const Answer& answer) {
  std::vector<char> requests(count * kMaxRequest);
  std::size_t size = 0;
  const uint32_t base = sequence_;
  sequence_ += static_cast<uint32_t>(count);
  for (std::size_t i = 0; i < count; ++i) {
    nlmsghdr* request = mnl_nlmsg_put_header(requests.data() + size);
    request->nlmsg_flags = NLM_F_REQUEST;
    request->nlmsg_seq = base + static_cast<uint32_t>(i);
    fill(first + i, request);
    size += MNL_ALIGN(request->nlmsg_len);
  }
  std::vector<bool> answered(count, false);
  std::size_t open = count;
  const int64_t deadline = now_ms() + kAnswerDeadlineMs;
  ssize_t sent = 0;
  do {
    sent = mnl_socket_sendto(socket_, requests.data(), size);
  } while (sent < 0 && errno == EINTR);
  int failure = sent < 0 ? errno : 0;
  while (open > 0 && failure == 0) {
    const long got = receive_until(deadline);
    if (got < 0) {
      failure = errno;
      break;
    }
    for_each_message(buffer_.data(), got, [&](const nlmsghdr* header) {
      const uint32_t index = header->nlmsg_seq - base;
      if (index >= count || answered[index]) return;  // of a request that timed out before
      answered[index] = true;
      --open;
      if (header->nlmsg_type == NLMSG_ERROR) {
        answer(first + index, error_of(header), nullptr);
      } else {
        answer(first + index, 0, header);
      }
    });
  }
  // ENOBUFS is an answer lost to a full receive buffer: to the caller, one that did not come.
  for (std::size_t i = 0; i < count; ++i) {
    if (!answered[i]) answer(first + i, failure == ENOBUFS ? ETIMEDOUT : failure, nullptr);
  }
}

Netlink::Dump Netlink::dump(uint16_t type, uint8_t family, const Each& each) {
  alignas(nlmsghdr) char request[kMaxRequest] = {};
  nlmsghdr* header = mnl_nlmsg_put_header(request);
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header->nlmsg_seq = sequence_++;
  // Every family's header begins with the family and is no longer than this one.
  static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg)))->ifi_family = family;
  if (mnl_socket_sendto(socket_, header, header->nlmsg_len) < 0) return Dump::failed;
  const int64_t deadline = now_ms() + kAnswerDeadlineMs;
  bool interrupted = false;
  bool done = false;
  bool failed = false;
  while (!done && !failed) {
    const long got = receive_until(deadline);
    if (got < 0) return Dump::failed;
    for_each_message(buffer_.data(), got, [&](const nlmsghdr* message) {
      if (message->nlmsg_seq != header->nlmsg_seq || done || failed) return;
      interrupted = interrupted || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (message->nlmsg_type == NLMSG_DONE) {
        done = true;
      } else if (message->nlmsg_type == NLMSG_ERROR) {
        failed = true;
      } else {
        each(message);
      }
    });
  }
  if (failed) return Dump::failed;
  return interrupted ? Dump::interrupted : Dump::complete;
}

Netlink::Heard Netlink::receive(const Each& each) {
  bool overrun = false;
  for (int i = 0; i < kReceivesPerCall; ++i) {
    const ssize_t got = mnl_socket_recvfrom(socket_, buffer_.data(), buffer_.size());
    if (got >= 0) {
      for_each_message(buffer_.data(), got, each);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return overrun ? Heard::overrun : Heard::everything;
    overrun = true;  // ENOBUFS, or ENOSPC for a message longer than any we know: something was lost
  }
  return overrun ? Heard::overrun : Heard::more;
}

}  // namespace xebec
