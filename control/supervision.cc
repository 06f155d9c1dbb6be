// SPDX-License-Identifier: BSD-2-Clause
#include "control/supervision.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace xebec {
namespace {

// How soon `systemctl status` tells of a change. It is for people.
constexpr EventLoop::Clock::duration kStatusPeriod = std::chrono::seconds(2);

}  // namespace

std::string status_line(const Controller& controller) {
  const std::vector<std::string> problems = controller.problems();
  const TableBuilder::Tally tally = controller.builder().tally();
  const std::size_t services = controller.config().services.size();
  std::string line = fmt::format("{} service{}, {} of {} backends usable", services, services == 1 ? "" : "s",
                                 tally.usable, tally.backends);
  if (problems.empty()) return "healthy: " + line;
  line += fmt::format("; {}", problems.front());
  if (problems.size() > 1) line += fmt::format(" and {} more (xebec status)", problems.size() - 1);
  // One line of the protocol, whatever is in a name.
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return "degraded: " + line;
}

Supervision::Supervision(const Supervisor& supervisor, EventLoop& loop, const Controller& controller)
    : supervisor_(supervisor), loop_(loop), controller_(controller), period_(kStatusPeriod) {
  if (!supervisor_.listens()) return;
  // Three times within its patience, as one of them may come late.
  if (supervisor_.watchdog().count() > 0)
    period_ = std::min<EventLoop::Clock::duration>(period_, supervisor_.watchdog() / 3);
  told_ = status_line(controller_);
  supervisor_.ready(told_);
  look();
}

Supervision::~Supervision() {
  loop_.cancel(timer_);
  supervisor_.stopping();
}

void Supervision::after_reload() {
  if (supervisor_.listens()) supervisor_.ready(told_ = status_line(controller_));
}

void Supervision::look() {
  if (supervisor_.watchdog().count() > 0 && workers_move()) supervisor_.alive();
  if (std::string line = status_line(controller_); line != told_) {
    told_ = std::move(line);
    supervisor_.status(told_);
  }
  timer_ = loop_.after(period_, [this] { look(); });
}

/// That this thread moves it shows by asking. A worker without sockets has no thread, and is a problem of the status.
bool Supervision::workers_move() {
  std::vector<uint64_t> rounds;
  for (const auto& worker : controller_.engine().workers()) {
    if (!worker->ports().empty()) rounds.push_back(worker->loop().rounds.read());
  }
  return heartbeats_.all_moved(rounds);
}

}  // namespace xebec
