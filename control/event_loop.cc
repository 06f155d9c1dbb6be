// SPDX-License-Identifier: BSD-2-Clause
// The event loop: choice of the backend, and the order of callbacks.
#include "control/event_loop.h"

#include <poll.h>

#include "control/event_loop_base.h"

namespace xebec {

tl::expected<std::unique_ptr<EventLoop>, std::string> EventLoop::create(Backend backend) {
  if (backend == Backend::epoll) return make_epoll_loop("epoll was asked for");
  auto uring = make_uring_loop();
  if (uring || backend == Backend::io_uring) return uring;
  return make_epoll_loop(std::move(uring.error()));
}

EventLoop::WatchId EventLoopBase::watch(int fd, short events, std::function<void(short)> callback) {
  const WatchId id = next_id_++;
  watches_.emplace(
      id, Watch{fd, events, std::make_shared<const std::function<void(short)>>(std::move(callback))});
  arm(id, fd, events);
  return id;
}

void EventLoopBase::unwatch(WatchId id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  const int fd = found->second.fd;
  watches_.erase(found);
  disarm(id, fd);
}

EventLoop::TimerId EventLoopBase::at(Clock::time_point at, std::function<void()> callback) {
  const TimerId id = next_id_++;
  timers_.emplace(TimerKey{at, id}, std::move(callback));
  timer_times_.emplace(id, at);
  return id;
}

void EventLoopBase::cancel(TimerId id) {
  const auto found = timer_times_.find(id);
  if (found == timer_times_.end()) return;
  timers_.erase(TimerKey{found->second, id});
  timer_times_.erase(found);
}

void EventLoopBase::run() {
  stopping_ = false;
  std::vector<Ready> ready;
  while (!stopping_) {
    std::optional<Clock::time_point> deadline;
    if (!timers_.empty()) deadline = timers_.begin()->first.first;
    ready.clear();
    wait(deadline, ready);
    run_timers();
    run_watches(ready);
  }
}

void EventLoopBase::run_timers() {
  // The due ones are named first: a timer that a callback sets for now waits for the next turn, so that
  // timers which set themselves again cannot keep the descriptors from being served.
  const Clock::time_point now = Clock::now();
  std::vector<TimerKey> due;
  for (auto timer = timers_.begin(); timer != timers_.end() && timer->first.first <= now; ++timer) {
    due.push_back(timer->first);
  }
  for (const TimerKey& key : due) {
    if (stopping_) return;
    auto timer = timers_.extract(key);
    if (timer.empty()) continue;  // cancelled by an earlier callback
    timer_times_.erase(key.second);
    timer.mapped()();
  }
}

void EventLoopBase::run_watches(const std::vector<Ready>& ready) {
  for (const Ready& event : ready) {
    const auto found = watches_.find(event.id);
    if (found == watches_.end()) continue;
    if (!stopping_) {
      const auto callback = found->second.callback;
      (*callback)(event.revents);
    }
    // Also those that stop() left without their turn: the next run() has to see them again.
    const auto still = watches_.find(event.id);
    if (still == watches_.end() || (event.revents & POLLNVAL) != 0) continue;
    rearm(event.id, still->second.fd, still->second.events);
  }
}

}  // namespace xebec
