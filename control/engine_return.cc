// SPDX-License-Identifier: BSD-2-Clause
// Interfaces that are deleted and made anew under their name (a virtual function, a driver that is loaded again, a container's
// network): found and served as before. The kernel takes the shim and the sockets away with the old one. Such that are lent to
// another network namespace and come back: with the shim, without the sockets. And such that are renamed: those live on, and are
// served on by their index.
#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/engine.h"
#include "control/netdev.h"
#include "control/placement.h"

namespace xebec {
namespace {

// Binding may take half a second a worker, and the control thread has other work.
constexpr uint64_t kReturnRetryMs = 10'000;

/// What the kernel calls it now; empty: it is gone, or the shim is off one that has another name by now.
std::string current_name(const ServedInterface& served) {
  // As long as the shim is on it, it is that one whatever its name. An index alone may be another's.
  if (!served.shim->attached().empty()) return name_of_interface(served.ifindex);
  return interface_index(served.config.name) == served.ifindex ? served.config.name : std::string();
}

/// How many of the interface's sockets are bound, and how many are not any more.
std::pair<std::size_t, std::size_t> count_sockets(const Worker& worker, std::size_t interface) {
  std::size_t bound = 0, dead = 0;
  for (const WorkerPort& p : worker.ports()) {
    if (p.port->options().interface_index == interface) ++(is_bound(p.port->fd()) ? bound : dead);
  }
  return {bound, dead};
}

/// Whether there is one of its name that the shim is not on (made anew, or somebody has taken the shim off), or whose sockets are
/// dead (it was in another network namespace).
bool came_back(const ServedInterface& served, std::size_t interface,
               const std::vector<std::unique_ptr<Worker>>& workers) {
  if (served.shim->attached().empty() || served.name.empty()) return interface_index(served.config.name) != 0;
  return served.name == served.config.name && std::any_of(workers.begin(), workers.end(), [&](const auto& w) {
           return count_sockets(*w, interface).second != 0;
         });
}

}  // namespace

void Engine::follow_names() {
  for (ServedInterface& served : interfaces_) {
    std::string now = current_name(served);
    if (now == served.name) continue;
    if (!now.empty() && now != served.config.name) {
      spdlog::warn("{}", renamed_problem(served.config.name, now, served.ifindex));
    } else if (!now.empty() && !served.name.empty()) {
      spdlog::info("interface {}: it has its name again", served.config.name);
    }
    served.name = std::move(now);
  }
}

/// Its address first: what is sent to another host is not the shim's.
tl::expected<void, SteeringError> Engine::attach(ServedInterface& served) {
  if (const auto mac = mac_of(served.name)) {
    if (auto r = served.shim->set_mac(*mac); !r) return r;
  }
  return served.shim->attach(served.ifindex, served.config.mode);
}

bool Engine::look_for_returned(uint64_t now_ms) {
  bool any = false;
  std::set<uint32_t> without;  // workers, a socket on one of them
  for (std::size_t i = 0; i < interfaces_.size(); ++i) {
    if (!came_back(interfaces_[i], i, workers_)) {
      if (const auto known = returns_.find(i); known != returns_.end()) known->second.problem.clear();
      continue;
    }
    Return& back = returns_[i];
    if (now_ms < back.not_before_ms) continue;
    std::string problem;
    if (auto done = attach_again(i, now_ms, without)) {
      ++back.times;
      any = true;
    } else {
      problem = fmt::format("interface {}: made anew, and not served: {}", interfaces_[i].config.name,
                            done.error());
      if (problem != back.problem) spdlog::error("{}", problem);
    }
    back.problem = std::move(problem);
  }
  // Once for all that have come back together: sockets just opened may be such that are to be kept.
  for (const uint32_t id : without) {
    retries_[id].zerocopy.reset();
    revive(*workers_[id], now_ms);  // tells of an error, and tries again
  }
  return any;
}

tl::expected<void, std::string> Engine::attach_again(std::size_t interface, uint64_t now_ms,
                                                     std::set<uint32_t>& without) {
  ServedInterface& served = interfaces_[interface];
  const std::string& name = served.config.name;
  // virtio-net comes back with a queue a CPU, and would make the others for XDP: nothing could be sent on those.
  if (const uint32_t queues = receive_queues(name); queues < served.queues) {
    return tl::unexpected(
        fmt::format("it has {} receive queues, {} were served (ethtool -L {} combined {}, or rx {})", queues,
                    served.queues, name, served.queues, served.queues));
  }
  // A worker has one memory for all its sockets: to get one anew it has to close the others, too.
  const int ifindex = interface_index(name);
  std::vector<uint32_t> blind;
  for (auto& worker : workers_) {
    if (ifindex == served.ifindex && count_sockets(*worker, interface).first != 0)
      continue;  // only the shim was taken off
    if (const std::string why = why_kept(*worker); !why.empty())
      return tl::unexpected(fmt::format("worker {} gets no socket there: {}", worker->options().id, why));
    blind.push_back(worker->options().id);
  }
  returns_[interface].not_before_ms = now_ms + kReturnRetryMs;
  served.shim->detach();
  const int before = std::exchange(served.ifindex, ifindex);
  served.name = name;
  if (auto r = attach(served); !r) {
    served.ifindex = before;
    served.name.clear();
    return tl::unexpected(r.error().message);
  }
  served.hardware = read_hardware(name);
  served.quirks = quirks_of(served.hardware.driver.driver, running_kernel());
  Preflight findings(log_finding);
  for (IrqAffinity& moved : place_interrupts(served.config, cpus_, findings))
    irqs_.push_back(std::move(moved));
  spdlog::info("interface {}: {} (index {}, was {}); {} XDP attached", name,
               blind.empty() ? "the shim had been taken off" : "made anew", served.ifindex, before,
               served.shim->attached());
  if (!blind.empty()) napi_.erase(interface);  // set anew, if it is polled
  for (const uint32_t id : blind)
    health_[{interface, id}].self_test = {SelfTest::Result::skipped, "attached again while running"};
  without.insert(blind.begin(), blind.end());
  for (auto& worker : workers_) {
    if (without.contains(worker->options().id)) continue;
    if (auto r = steer_to(*worker); !r) give_up(*worker, r.error().message, now_ms);
  }
  returns_[interface].not_before_ms = 0;
  return {};
}

uint64_t Engine::times_attached_again(std::size_t interface) const {
  const auto known = returns_.find(interface);
  return known == returns_.end() ? 0 : known->second.times;
}

std::string Engine::why_not_attached_again(std::size_t interface) const {
  const auto known = returns_.find(interface);
  return known == returns_.end() ? std::string() : known->second.problem;
}

}  // namespace xebec
