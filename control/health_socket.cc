// SPDX-License-Identifier: BSD-2-Clause
#include "control/health_socket.h"

#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace xebec {
namespace {

class ToldLater final : public Probe {
 public:
  ToldLater(EventLoop& loop, ProbeResult result, ProbeDone done) : loop_(loop), result_(std::move(result)) {
    timer_ = loop.after({}, [this, told = std::move(done)]() mutable {
      timer_ = 0;
      const ProbeDone last = std::move(told);
      last(result_);
    });
  }
  ToldLater(const ToldLater&) = delete;
  ToldLater& operator=(const ToldLater&) = delete;
  ~ToldLater() override {
    if (timer_ != 0) loop_.cancel(timer_);
  }
  ProbeResult overdue() const override { return result_; }

 private:
  EventLoop& loop_;
  ProbeResult result_;
  EventLoop::TimerId timer_ = 0;
};

socklen_t socket_address(const HealthCheck& check, sockaddr_storage& out) {
  out = {};
  if (check.backend.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(out);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(check.port);
    std::memcpy(&v4.sin_addr, check.backend.bytes.data() + 12, 4);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(check.port);
  std::memcpy(&v6.sin6_addr, check.backend.bytes.data(), 16);
  return sizeof v6;
}

}  // namespace

std::string errno_text(int error) {
  std::string text = std::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

ProbeResult failed_with(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:  // connect(2): every ephemeral port is in use
    case EAGAIN:         // connect(2), of AF_INET: the same
    case EPERM:          // a filter on this host
    case EACCES:
      return {ProbeResult::Kind::not_run, "the check could not be made: " + errno_text(error)};
    default:
      return {ProbeResult::Kind::bad, errno_text(error)};
  }
}

std::unique_ptr<Probe> tell_later(EventLoop& loop, ProbeResult result, ProbeDone done) {
  return std::make_unique<ToldLater>(loop, std::move(result), std::move(done));
}

ProbeSocket::~ProbeSocket() {
  if (watch_ != 0) loop_.unwatch(watch_);
  if (fd_ >= 0) close(fd_);
}

int ProbeSocket::connect(int type, int protocol, const HealthCheck& check) {
  fd_ = ::socket(check.backend.is_v4() ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd_ < 0) return errno;
  sockaddr_storage address{};
  const socklen_t size = socket_address(check, address);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), size) == 0 || errno == EINPROGRESS)
    return 0;
  return errno;
}

void ProbeSocket::watch(short events, std::function<void(short)> callback) {
  if (watch_ != 0) loop_.unwatch(watch_);
  watch_ = loop_.watch(fd_, events, std::move(callback));
}

int ProbeSocket::pending_error() const {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

DatagramProbe::DatagramProbe(EventLoop& loop, ProbeDone done, Judge judge, ProbeResult silence)
    : socket_(loop), done_(std::move(done)), judge_(std::move(judge)), silence_(std::move(silence)) {}

int DatagramProbe::start(int type, int protocol, const HealthCheck& check, std::string_view request) {
  if (const int error = socket_.connect(type, protocol, check); error != 0) return error;
  if (send(socket_.fd(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return errno;
  socket_.watch(POLLIN, [this](short) { receive(); });
  return 0;
}

void DatagramProbe::receive() {
  std::array<char, 65536> buffer;
  const ssize_t size = recv(socket_.fd(), buffer.data(), buffer.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  std::optional<ProbeResult> result;
  if (size < 0) {
    result = failed_with(errno);
  } else {
    result = judge_(std::string_view(buffer.data(), static_cast<std::size_t>(size)));
  }
  if (!result) return;
  const ProbeDone last = std::move(done_);
  last(std::move(*result));
}

}  // namespace xebec
