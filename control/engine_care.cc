// SPDX-License-Identifier: BSD-2-Clause
// The engine's care for its queues: links that a driver resets, a test of each port before it serves, and while it
// serves a look at what it does.
#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/carrier_wait.h"
#include "control/engine.h"
#include "control/grace_period.h"
#include "control/netdev.h"

namespace xebec {
namespace {

// Negotiating a link anew takes 1 to 5 s by copper (IEEE 802.3 clause 28) and optics; what takes longer than this
// waits for the cable.
constexpr std::chrono::milliseconds kCarrierPatience{10'000};

// A frame is out within microseconds. Of several ports that fail, one has to have had all the time there is.
constexpr std::chrono::milliseconds kTestPatience{1000};
constexpr std::chrono::milliseconds kTestPatienceAfterFailure{100};

// The control thread waits so long for a queue that the kernel is still letting go of: 18 ms after a clean close.
constexpr std::chrono::milliseconds kRebindPatience{500};
constexpr uint64_t kRetryMs = 10'000;

}  // namespace

void Engine::wait_for_links(Preflight& preflight) {
  std::vector<std::string> had;
  for (const ServedInterface& i : interfaces_) {
    if (i.had_carrier) {
      had.push_back(i.config.name);
    } else {
      preflight.warn(fmt::format("{}: the link is down; it is served as soon as it is up", i.config.name),
                     fmt::format("ip link set {} up, or the cable", i.config.name));
    }
  }
  const auto began = std::chrono::steady_clock::now();
  const CarrierAnswer answer = wait_for_carrier(had, has_carrier, pauses_for(kCarrierPatience));
  if (answer.lost.empty()) return;
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  const std::string names = fmt::format("{}", fmt::join(answer.lost, ", "));
  if (answer.missing.empty()) {
    preflight.ok(
        fmt::format("{}: the driver reset the link for XDP; waited {} ms for it", names, took.count()));
  } else {
    preflight.warn(fmt::format("{}: the driver reset the link for XDP, and after {} s it is not back", names,
                               kCarrierPatience.count() / 1000));
  }
}

bool Engine::must_copy(std::size_t interface) const {
  const ServedInterface& i = interfaces_[interface];
  if (i.config.bind == BindMode::copy) return true;
  if (i.config.bind == BindMode::automatic && answers(i.quirks, DriverQuirk::Answer::force_copy)) return true;
  // Generic XDP hands over copies; asking such a port for zero-copy would take a queue from the driver for nothing.
  return i.shim->attached() == "generic";
}

void Engine::test_worker(Worker& worker) {
  for (const WorkerPort& p : worker.ports()) {
    const PortOptions& o = p.port->options();
    SelfTest& test = health_[{o.interface_index, o.queue}].self_test;
    const auto own = mac_of(o.interface);
    if (!own || !has_carrier(o.interface)) {
      test = {SelfTest::Result::skipped, "no carrier"};
      continue;
    }
    const bool failed_before = std::any_of(health_.begin(), health_.end(), [](const auto& h) {
      return h.second.self_test.result == SelfTest::Result::failed;
    });
    test =
        test_port(*p.port, *worker.umem(), *own, failed_before ? kTestPatienceAfterFailure : kTestPatience);
  }
}

void Engine::test_ports(Preflight& preflight) {
  std::size_t good = 0;
  for (auto& worker : workers_) {
    test_worker(*worker);
    const auto of = [&](const WorkerPort& p) -> const SelfTest& {
      return health(p.port->options().interface_index, p.port->options().queue).self_test;
    };
    const auto failed =
        std::find_if(worker->ports().begin(), worker->ports().end(),
                     [&](const WorkerPort& p) { return of(p).result == SelfTest::Result::failed; });
    const bool zerocopy = !worker->ports().empty() && worker->ports().front().port->zerocopy();
    const bool may_copy = std::none_of(interfaces_.begin(), interfaces_.end(), [](const ServedInterface& i) {
      return i.config.bind == BindMode::zerocopy;
    });
    if (failed != worker->ports().end() && zerocopy && may_copy) {
      preflight.warn(fmt::format("worker {}: zero-copy failed its self-test ({}: {}); trying copy mode",
                                 worker->options().id, failed->port->options().interface, of(*failed).why),
                     "\"bind\": \"copy\" spares the try");
      if (auto r = reopen(*worker, false)) {
        test_worker(*worker);
      } else {
        retries_[worker->options().id].problem = r.error();
        preflight.warn(fmt::format("worker {}: {}", worker->options().id, r.error()));
      }
    }
    for (const WorkerPort& p : worker->ports()) {
      const PortOptions& o = p.port->options();
      const SelfTest& test = of(p);
      if (test.result == SelfTest::Result::ok) ++good;
      if (test.result == SelfTest::Result::failed)
        preflight.warn(fmt::format("{} queue {}: self-test failed: {}", o.interface, o.queue, test.why));
    }
  }
  if (good != 0)
    preflight.ok(fmt::format("self-test: {} queue{} sent a frame each", good, good == 1 ? "" : "s"));
}

void Engine::take_down(Worker& worker) {
  const uint32_t id = worker.options().id;
  for (ServedInterface& i : interfaces_) i.shim->clear_socket(id);
  wait_for_running_programs();  // what they have steered is the worker's to forward
  worker.stop();
  for (const WorkerPort& p : worker.ports()) {
    const PortOptions& o = p.port->options();
    health_[{o.interface_index, o.queue}].closed += *p.port;
    transmit_.erase({o.interface_index, o.queue});
    sum_up_transmit(o.interface_index);
  }
  worker.close_ports();
  injectors_.erase(id);  // its placeholder's name is free again
}

tl::expected<void, std::string> Engine::reopen(Worker& worker, std::optional<bool> zerocopy) {
  const uint32_t id = worker.options().id;
  take_down(worker);
  follow_names();  // sockets are bound by name
  std::vector<std::size_t> interfaces;
  for (std::size_t i = 0; i < interfaces_.size(); ++i) {
    // One that is gone must not keep the others from being served.
    if (!interfaces_[i].name.empty()) interfaces.push_back(i);
  }
  if (interfaces.empty()) return tl::unexpected(std::string("none of its interfaces is there"));
  bool refused = false;
  auto opened = zerocopy ? open_ports(interfaces, id, *zerocopy, kRebindPatience)
                         : open_as_configured(interfaces, id, kRebindPatience, refused);
  if (!opened) return tl::unexpected(opened.error().message);
  Preflight findings(log_finding);
  report_transmit(interfaces, *opened, findings);
  review_wanted_ = true;
  if (opened->injector) injectors_[id] = std::move(opened->injector);
  worker.set_idle(choose_idle(id, opened->ports, findings));
  worker.adopt(std::move(opened->umem), std::move(opened->ports));
  return {};
}

const QueueHealth& Engine::health(std::size_t interface, uint32_t queue) const {
  static const QueueHealth kUnknown;
  const auto it = health_.find({interface, queue});
  return it == health_.end() ? kUnknown : it->second;
}

bool Engine::look_after(uint64_t now_ms, const NextHops& network) {
  follow_names();
  const bool returned = look_for_returned(now_ms);
  look_after_polling();
  for (ServedInterface& i : interfaces_) look_after_counts(i);
  look_after_replies(now_ms);
  for (auto& worker : workers_) look_after_worker(*worker, now_ms, network);
  if (review_wanted_) review_wanted_ = !review_transmit();
  return returned;
}

void Engine::look_after_worker(Worker& worker, uint64_t now_ms, const NextHops& network) {
  const uint32_t id = worker.options().id;
  Retry& retry = retries_[id];
  if (worker.ports().empty()) {  // it could not be opened anew
    if (now_ms >= retry.at_ms) revive(worker, now_ms);
    return;
  }
  bool reopen_wanted = false;
  bool stuck = false;
  for (const WorkerPort& p : worker.ports()) {
    const PortOptions& o = p.port->options();
    const auto link = network.link(interfaces_[o.interface_index].ifindex);
    reopen_wanted |= look_after_port(*p.port, now_ms, link && link->up && link->carrier);
    stuck |= health(o.interface_index, o.queue).transmit.stuck();
  }
  if (!stuck) retry.kept.clear();
  if (!reopen_wanted) return;
  if (std::string why = why_kept(worker); !why.empty()) {
    if (why != retry.kept) {
      spdlog::error("worker {}: a transmit ring stands still, and its sockets are not bound anew: {}", id,
                    why);
    }
    retry.kept = std::move(why);
    return;
  }
  retry.zerocopy = worker.ports().front().port->zerocopy();
  revive(worker, now_ms);
}

std::string Engine::why_kept(const Worker& worker) const {
  std::vector<HeldSocket> sockets;
  for (const WorkerPort& p : worker.ports()) {
    const ServedInterface& served = interfaces_[p.port->options().interface_index];
    const bool keep = answers(served.quirks, DriverQuirk::Answer::keep_sockets);
    sockets.push_back({served.config.name, served.hardware.driver.driver, keep, p.port->zerocopy(),
                       is_bound(p.port->fd())});
  }
  return why_sockets_stay(sockets);
}

void Engine::revive(Worker& worker, uint64_t now_ms) {
  const uint32_t id = worker.options().id;
  spdlog::warn("worker {}: binding its sockets anew", id);
  retries_[id].kept.clear();
  auto done = reopen(worker, retries_[id].zerocopy);
  if (done) {
    if (auto r = start_worker(worker); !r) done = tl::unexpected(r.error().message);
  }
  if (!done) return give_up(worker, done.error(), now_ms);
  retries_[id].problem.clear();
  for (const WorkerPort& p : worker.ports())
    health_[{p.port->options().interface_index, p.port->options().queue}].transmit.reopened(now_ms);
}

void Engine::give_up(Worker& worker, const std::string& why, uint64_t now_ms) {
  // With sockets it would count as one that serves, and nobody would try again.
  if (!worker.ports().empty()) take_down(worker);
  Retry& retry = retries_[worker.options().id];
  retry.problem = why;
  retry.at_ms = now_ms + kRetryMs;
  spdlog::error("worker {}: {}; tried again in {} s", worker.options().id, why, kRetryMs / 1000);
}

/// True: the port should be opened anew.
bool Engine::look_after_port(XskPort& port, uint64_t now_ms, bool link_up) {
  const PortOptions& o = port.options();
  TransmitWatch& watch = health_[{o.interface_index, o.queue}].transmit;
  const TransmitProgress progress = port.transmit_progress();
  const TransmitWatch::Orders orders = watch.observe(now_ms, progress, link_up);
  if (orders.tell_stuck) {
    spdlog::error("{} queue {}: the transmit ring stands still with {} frames in it", o.interface, o.queue,
                  progress.waiting);
  }
  if (orders.tell_recovered) spdlog::info("{} queue {}: the transmit ring moves again", o.interface, o.queue);
  if (orders.kick) port.kick();
  return orders.reopen;
}

void Engine::look_after_counts(ServedInterface& served) {
  // By the name it has now: the one it had may be another's.
  const uint32_t now = served.name.empty() ? 0 : receive_queues(served.name);
  if (now != 0 && now != served.hardware.receive_queues) served.hardware = read_hardware(served.name);
  QueueCounts counts{served.queues, served.queues_at_start, now, std::nullopt};
  if (const auto& hashing = served.hardware.receive_hashing; hashing && !hashing->indirection.empty())
    counts.hashed = static_cast<uint32_t>(queue_shares(*hashing).size());
  std::string problem = queue_count_problem(served.config.name, counts);
  if (problem == served.count_problem) return;
  if (problem.empty()) {
    spdlog::info("{}: {} receive queues again", served.config.name, now);
  } else {
    spdlog::error("{}", problem);
  }
  served.count_problem = std::move(problem);
}

std::vector<std::string> Engine::problems() const {
  std::vector<std::string> problems;
  for (const ServedInterface& i : interfaces_) {
    if (!i.name.empty() && i.name != i.config.name)
      problems.push_back(renamed_problem(i.config.name, i.name, i.ifindex));
    if (!i.count_problem.empty()) problems.push_back(i.count_problem);
  }
  for (const auto& [interface, back] : returns_) {
    if (!back.problem.empty()) problems.push_back(back.problem);
  }
  for (const auto& [place, health] : health_) {
    const std::string queue =
        fmt::format("interface {}: queue {}", interfaces_[place.first].config.name, place.second);
    if (health.transmit.stuck()) problems.push_back(queue + ": the transmit ring stands still");
    if (health.self_test.result == SelfTest::Result::failed && health.transmit.times_stuck() == 0)
      problems.push_back(fmt::format("{}: the self-test failed: {}", queue, health.self_test.why));
  }
  for (const auto& [id, retry] : retries_) {
    if (!retry.problem.empty())
      problems.push_back(fmt::format("worker {}: it has no sockets: {}", id, retry.problem));
    if (!retry.kept.empty())
      problems.push_back(fmt::format("worker {}: its sockets are not bound anew: {}", id, retry.kept));
  }
  return problems;
}

}  // namespace xebec
