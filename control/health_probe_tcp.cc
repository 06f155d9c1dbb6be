// SPDX-License-Identifier: BSD-2-Clause
// The TCP check: a connection is good. The kernel of the backend makes it, so a process that hangs still passes as
// long as its backlog has room; who wants to know more asks by http.
#include <netinet/in.h>
#include <poll.h>

#include "control/health_socket.h"

namespace xebec {
namespace {

class TcpProbe final : public Probe {
 public:
  TcpProbe(EventLoop& loop, ProbeDone done) : socket_(loop), done_(std::move(done)) {}

  int start(const HealthCheck& check) {
    const int error = socket_.connect(SOCK_STREAM, IPPROTO_TCP, check);
    if (error != 0) return error;
    // close() then resets: the client of so many short connections would otherwise keep each in TIME_WAIT for a minute
    // (TCP_TIMEWAIT_LEN, include/net/tcp.h) until its ports are used up, and the backend would hold one more connection
    // until its process has noticed.
    const linger reset{1, 0};
    setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    socket_.watch(POLLOUT, [this](short) {
      const int failed = socket_.pending_error();
      const ProbeDone last = std::move(done_);
      last(failed == 0 ? ProbeResult{ProbeResult::Kind::good, "connected"} : failed_with(failed));
    });
    return 0;
  }
  ProbeResult overdue() const override { return {ProbeResult::Kind::bad, "no answer to the connection"}; }

 private:
  ProbeSocket socket_;
  ProbeDone done_;
};

}  // namespace

std::unique_ptr<Probe> start_tcp_probe(EventLoop& loop, const HealthCheck& check, ProbeDone done) {
  auto probe = std::make_unique<TcpProbe>(loop, done);
  if (const int error = probe->start(check); error != 0)
    return tell_later(loop, failed_with(error), std::move(done));
  return probe;
}

}  // namespace xebec
