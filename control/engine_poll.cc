// SPDX-License-Identifier: BSD-2-Clause
// How workers wait for packets: as their interfaces' settings ask, and as far as driver and kernel let it be.
#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/engine.h"
#include "dataplane/busy_poll.h"

namespace xebec {
namespace {

// From here on a socket has the NAPI id of its queue when it is bound, or never; before, a packet brings it along
// (net/xdp/xsk.c, sk_mark_napi_id_once_xdp).
constexpr KernelVersion kNapiIdAtBind{6, 14};

std::string why_no_id(const PortOptions& port) {
  if (running_kernel() < kNapiIdAtBind) {
    return fmt::format(
        "{} queue {}: busy polling begins with a packet, which tells this kernel the socket's NAPI id",
        port.interface, port.queue);
  }
  return fmt::format(
      "{} queue {}: busy polling is not possible (the driver or kernel gives the socket no NAPI id)",
      port.interface, port.queue);
}

}  // namespace

void Engine::log_finding(const Finding& finding) {
  spdlog::log(finding.level == Finding::Level::ok ? spdlog::level::info : spdlog::level::warn, "{}",
              to_string(finding));
}

/// The most eager of its interfaces decides for a worker, and every worker has all of them.
PollMode Engine::wanted_poll() const {
  PollMode wanted = PollMode::interrupt;
  for (const ServedInterface& i : interfaces_) {
    if (i.config.poll == PollMode::busy) return PollMode::busy;
    if (i.config.poll == PollMode::adaptive) wanted = PollMode::adaptive;
  }
  return wanted;
}

Idle Engine::choose_idle(uint32_t worker, const std::vector<WorkerPort>& ports, Preflight& findings) {
  std::string& why = why_not_busy_[worker];
  why.clear();
  const PollMode wanted = wanted_poll();
  if (wanted != PollMode::busy) return wanted == PollMode::interrupt ? Idle::sleep : Idle::adaptive;
  // All or none: a worker that spins for one port would not be woken by the others' interrupts any sooner, and polling one
  // of two queues that packets go between makes them slower.
  for (const WorkerPort& p : ports) {
    if (p.port->find_napi_id() != 0) continue;
    why = why_no_id(p.port->options());
    return Idle::adaptive;
  }
  for (const WorkerPort& p : ports) {
    const PortOptions& o = p.port->options();
    const bool prefer = sends_when_polled(interfaces_[o.interface_index].hardware.driver.driver);
    if (auto enabled = enable_busy_poll(p.port->fd(), prefer); !enabled) {
      why = fmt::format("{} queue {}: busy polling is not possible ({})", o.interface, o.queue,
                        enabled.error().message);
      return Idle::adaptive;
    }
  }
  for (const WorkerPort& p : ports) tune_napi(p.port->options().interface_index, findings);
  return Idle::spin;
}

/// Once an interface: it is one setting for all its queues.
void Engine::tune_napi(std::size_t interface, Preflight& findings) {
  const auto [known, fresh] = napi_.try_emplace(interface);
  if (!fresh) return;
  const std::string& name = interfaces_[interface].name;
  auto tuning = NapiTuning::apply(name);
  if (tuning) {
    known->second.emplace(std::move(*tuning));
  } else {
    findings.warn(tuning.error().message,
                  fmt::format("echo 2 > /sys/class/net/{}/napi_defer_hard_irqs", name));
  }
}

void Engine::look_after_polling() {
  if (wanted_poll() != PollMode::busy || running_kernel() >= kNapiIdAtBind) return;
  for (auto& worker : workers_) {
    if (worker->idle() == Idle::spin || worker->ports().empty()) continue;
    Preflight findings(log_finding);
    const Idle idle = choose_idle(worker->options().id, worker->ports(), findings);
    if (idle != Idle::spin) continue;
    worker->set_idle(idle);
    spdlog::info("worker {}: polls busily from now on", worker->options().id);
  }
}

std::string Engine::why_not_busy(uint32_t worker) const {
  const auto known = why_not_busy_.find(worker);
  return known == why_not_busy_.end() ? std::string() : known->second;
}

}  // namespace xebec
