// SPDX-License-Identifier: BSD-2-Clause
// The control thread's loop: descriptors and timers, on io_uring where the kernel gives a ring, else on
// epoll.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include <tl/expected.hpp>

namespace xebec {

/// One thread. Callbacks run on it and may add and remove watches and timers, their own too.
class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using WatchId = uint64_t;  ///< never reused; 0 is never one
  using TimerId = uint64_t;

  enum class Backend : uint8_t { automatic, io_uring, epoll };

  /// automatic: io_uring, or epoll where the kernel refuses a ring (seccomp, io_uring_disabled, no memory);
  /// which one it became says backend(), and why() the refusal. The error is a sentence.
  static tl::expected<std::unique_ptr<EventLoop>, std::string> create(Backend backend = Backend::automatic);
  virtual ~EventLoop() = default;

  /// Calls back with the poll(2) events that are there, level-triggered: again and again while they last. The
  /// caller owns the descriptor and unwatches it before closing it.
  virtual WatchId watch(int fd, short events, std::function<void(short revents)> callback) = 0;
  virtual void unwatch(WatchId id) = 0;

  /// Calls back once, not before `at`.
  virtual TimerId at(Clock::time_point at, std::function<void()> callback) = 0;
  virtual void cancel(TimerId id) = 0;
  TimerId after(Clock::duration delay, std::function<void()> callback) {
    return at(Clock::now() + delay, std::move(callback));
  }

  /// Runs until stop().
  virtual void run() = 0;
  /// From a callback: run() returns after it.
  virtual void stop() = 0;

  virtual std::string_view backend() const = 0;  ///< "io_uring" or "epoll"
  virtual std::string_view why() const = 0;      ///< why it is not io_uring; empty if it is
};

}  // namespace xebec
