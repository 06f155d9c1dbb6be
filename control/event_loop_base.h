// SPDX-License-Identifier: BSD-2-Clause
// What both event loops share: the watches, the timers and the order of callbacks. A backend only waits for
// descriptors.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/event_loop.h"

namespace xebec {

/// Every id is looked up again right before its callback, so a callback may remove anything, itself included,
/// and an event that the kernel reported for a watch which is gone by now is nobody's.
class EventLoopBase : public EventLoop {
 public:
  WatchId watch(int fd, short events, std::function<void(short revents)> callback) final;
  void unwatch(WatchId id) final;
  TimerId at(Clock::time_point at, std::function<void()> callback) final;
  void cancel(TimerId id) final;
  void run() final;
  void stop() final { stopping_ = true; }

 protected:
  struct Ready {
    WatchId id;
    short revents;
  };

  /// Starts to wait for `events` on `fd`. A descriptor that cannot be polled is reported once, with POLLNVAL.
  virtual void arm(WatchId id, int fd, short events) = 0;
  /// On return the kernel holds no reference to the descriptor for this watch: a close() after it is a close.
  virtual void disarm(WatchId id, int fd) = 0;
  /// The watch's callback has had its turn; report it again if it is still ready.
  virtual void rearm(WatchId id, int fd, short events) = 0;
  /// Sleeps until something is ready or `deadline` (absent: for ever) and appends what is ready. May come
  /// back early.
  virtual void wait(std::optional<Clock::time_point> deadline, std::vector<Ready>& ready) = 0;

 private:
  struct Watch {
    int fd;
    short events;
    std::shared_ptr<const std::function<void(short)>> callback;  // shared: it may erase itself while it runs
  };
  using TimerKey = std::pair<Clock::time_point, TimerId>;

  void run_timers();
  void run_watches(const std::vector<Ready>& ready);

  std::unordered_map<WatchId, Watch> watches_;
  std::map<TimerKey, std::function<void()>> timers_;
  std::unordered_map<TimerId, Clock::time_point> timer_times_;
  uint64_t next_id_ = 1;
  bool stopping_ = false;
};

/// Backends. The error is the reason as a sentence without its full stop.
tl::expected<std::unique_ptr<EventLoop>, std::string> make_uring_loop();
tl::expected<std::unique_ptr<EventLoop>, std::string> make_epoll_loop(std::string why);

}  // namespace xebec
