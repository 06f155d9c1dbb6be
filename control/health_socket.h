// SPDX-License-Identifier: BSD-2-Clause
// What the probes on a socket of their own share: the socket, its watch, and words for errors.
#pragma once

#include <sys/socket.h>

#include <string>

#include "control/health_probe.h"

namespace xebec {

/// "connection refused" for an errno, lower case as the middle of a sentence.
std::string errno_text(int error);
/// bad, or not_run where the fault is ours: no descriptor, memory, port or permission.
ProbeResult failed_with(int error);

/// A result known at once, told from the loop.
std::unique_ptr<Probe> tell_later(EventLoop& loop, ProbeResult result, ProbeDone done);

/// A non-blocking socket connected to the check's target (for TCP: on its way), watched for `events`.
class ProbeSocket {
 public:
  explicit ProbeSocket(EventLoop& loop) : loop_(loop) {}
  ProbeSocket(const ProbeSocket&) = delete;
  ProbeSocket& operator=(const ProbeSocket&) = delete;
  ~ProbeSocket();

  /// 0 or an errno.
  int connect(int type, int protocol, const HealthCheck& check);
  void watch(short events, std::function<void(short)> callback);
  /// SO_ERROR: what happened to it, 0 for nothing.
  int pending_error() const;
  int fd() const { return fd_; }

 private:
  EventLoop& loop_;
  int fd_ = -1;
  EventLoop::WatchId watch_ = 0;
};

/// A datagram sent, and the first that comes back judged. `judge` gets its bytes; `silence`: the result if none comes.
class DatagramProbe : public Probe {
 public:
  using Judge =
      std::function<std::optional<ProbeResult>(std::string_view answer)>;  ///< nullopt: not for us, go on

  DatagramProbe(EventLoop& loop, ProbeDone done, Judge judge, ProbeResult silence);
  /// 0 or an errno.
  int start(int type, int protocol, const HealthCheck& check, std::string_view request);
  ProbeResult overdue() const override { return silence_; }

  ProbeSocket& socket() { return socket_; }

 private:
  void receive();

  ProbeSocket socket_;
  ProbeDone done_;
  Judge judge_;
  ProbeResult silence_;
};

}  // namespace xebec
