// SPDX-License-Identifier: BSD-2-Clause
// Tells the supervisor, while the daemon serves, how it is and that it lives.
#pragma once

#include <string>

#include "control/controller.h"
#include "control/event_loop.h"
#include "control/supervisor.h"

namespace xebec {

/// One line: "healthy: 3 services, 12 of 12 backends usable" or the first problem.
std::string status_line(const Controller& controller);

/// READY=1 when made, STOPPING=1 when destroyed. On the loop's thread.
class Supervision {
 public:
  Supervision(const Supervisor& supervisor, EventLoop& loop, const Controller& controller);
  ~Supervision();
  Supervision(const Supervision&) = delete;
  Supervision& operator=(const Supervision&) = delete;

  void before_reload() const { supervisor_.reloading(); }
  void after_reload();

 private:
  void look();
  bool workers_move();

  const Supervisor& supervisor_;
  EventLoop& loop_;
  const Controller& controller_;
  EventLoop::Clock::duration period_;
  Heartbeats heartbeats_;
  std::string told_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace xebec
