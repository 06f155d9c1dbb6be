// SPDX-License-Identifier: BSD-2-Clause
// The event loop on epoll, for kernels and sandboxes without io_uring.
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "control/event_loop_base.h"

namespace xebec {
namespace {

static_assert(EPOLLIN == POLLIN && EPOLLPRI == POLLPRI && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
                  EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP,
              "poll and epoll share their bits on Linux");

class EpollLoop final : public EventLoopBase {
 public:
  EpollLoop(int epoll_fd, std::string why) : epoll_fd_(epoll_fd), why_(std::move(why)) {}
  EpollLoop(const EpollLoop&) = delete;
  EpollLoop& operator=(const EpollLoop&) = delete;
  ~EpollLoop() override { close(epoll_fd_); }

  std::string_view backend() const override { return "epoll"; }
  std::string_view why() const override { return why_; }

 private:
  struct Interest {
    WatchId id;
    short events;
  };

  void arm(WatchId id, int fd, short events) override;
  void disarm(WatchId id, int fd) override;
  void rearm(WatchId, int, short) override {}  // level-triggered by nature
  void wait(std::optional<Clock::time_point> deadline, std::vector<Ready>& ready) override;
  int control(int operation, int fd);

  int epoll_fd_;
  std::string why_;
  // epoll knows a descriptor once; several watches of one descriptor share its entry.
  std::unordered_map<int, std::vector<Interest>> interests_;
  std::vector<WatchId> unpollable_;
};

int EpollLoop::control(int operation, int fd) {
  epoll_event event{};
  event.data.fd = fd;
  for (const Interest& interest : interests_[fd])
    event.events |= static_cast<unsigned short>(interest.events);
  return epoll_ctl(epoll_fd_, operation, fd, &event) == 0 ? 0 : errno;
}

void EpollLoop::arm(WatchId id, int fd, short events) {
  auto& interests = interests_[fd];
  interests.push_back({id, events});
  if (control(interests.size() == 1 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd) == 0) return;
  interests.pop_back();
  if (interests.empty()) interests_.erase(fd);
  unpollable_.push_back(id);
}

void EpollLoop::disarm(WatchId id, int fd) {
  std::erase(unpollable_, id);
  const auto found = interests_.find(fd);
  if (found == interests_.end()) return;
  std::erase_if(found->second, [id](const Interest& interest) { return interest.id == id; });
  control(found->second.empty() ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, fd);
  if (found->second.empty()) interests_.erase(found);
}

void EpollLoop::wait(std::optional<Clock::time_point> deadline, std::vector<Ready>& ready) {
  int timeout_ms = -1;
  if (deadline) {
    // Rounded up: a timer must not fire early, and the loop must not spin through the last millisecond.
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
    timeout_ms = static_cast<int>(std::clamp<int64_t>(left, 0, INT_MAX));
  }
  for (const WatchId id : unpollable_) ready.push_back({id, POLLNVAL});
  unpollable_.clear();
  if (!ready.empty()) timeout_ms = 0;
  std::array<epoll_event, 64> events;
  const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), timeout_ms);
  if (count < 0 && errno != EINTR) throw std::system_error(errno, std::system_category(), "epoll_wait");
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const auto found = interests_.find(event.data.fd);
    if (found == interests_.end()) continue;
    for (const Interest& interest : found->second) {
      const auto revents =
          static_cast<short>(event.events & (static_cast<unsigned>(interest.events) | EPOLLERR | EPOLLHUP));
      if (revents != 0) ready.push_back({interest.id, revents});
    }
  }
}

}  // namespace

tl::expected<std::unique_ptr<EventLoop>, std::string> make_epoll_loop(std::string why) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0)
    return tl::unexpected(fmt::format("cannot make an epoll descriptor: {}", std::strerror(errno)));
  return std::make_unique<EpollLoop>(epoll_fd, std::move(why));
}

}  // namespace xebec
