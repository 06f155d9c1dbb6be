// SPDX-License-Identifier: BSD-2-Clause
#include "control/engine.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/confinement.h"
#include "control/grace_period.h"
#include "control/netdev.h"
#include "control/placement.h"
#include "control/xdp_features.h"

namespace xebec {
namespace {

// A worker shows that it lives every 200 ms when idle and at every batch otherwise (dataplane/worker.cc).
// Five missed in a row are a dead or stopped worker; TCP's first retransmission comes at 1 s.
constexpr uint64_t kStaleAfterNs = 1'000'000'000;

// The kernel lets go of a killed predecessor's sockets within 360 ms (worst seen).
constexpr std::chrono::milliseconds kBindPatience{3000};

StartError from_steering(const SteeringError& error, const std::string& interface) {
  StartError e;
  e.message = fmt::format("{}: {}", interface, error.message);
  switch (error.kind) {
    case SteeringError::Kind::permission:
      e.exit_code = 4;
      break;
    case SteeringError::Kind::other_shim:
      e.exit_code = 7;
      e.hint = fmt::format("another xebecd serves {}", interface);
      break;
    case SteeringError::Kind::foreign_program:  // may go: another start is worth its while
      e.hint = fmt::format("ip link show {}", interface);
      break;
    case SteeringError::Kind::unsupported:
      e.exit_code = 6;
      break;
    default:
      break;
  }
  return e;
}

/// What stays until the new table is there: also a service that another of its addresses and protocol replaces (one port by
/// any, a prefix by an address), whose packets would go to the host in between.
std::vector<SteeredService> replaced_or_kept(const std::vector<SteeredService>& steered,
                                             const std::vector<SteeredService>& wanted) {
  const auto any_port = [](ServiceMatch match) {
    match.port = match.last_port = 0;
    return match;
  };
  std::set<ServiceMatch> served;
  std::vector<ServiceMatch> wide;  // which meet others than their equals
  for (const SteeredService& s : wanted) {
    const ServiceMatch match = any_port(s.match);
    served.insert(match);
    if (!match.vip.is_single() || match.protocol == kProtoAny) wide.push_back(match);
  }
  std::vector<SteeredService> kept;
  for (const SteeredService& s : steered) {
    const ServiceMatch match = any_port(s.match);
    const auto meets = [&](const ServiceMatch& other) { return match.meets(other); };
    const bool alone = match.vip.is_single() && match.protocol != kProtoAny;
    if (served.contains(match) || std::any_of(wide.begin(), wide.end(), meets) ||
        (!alone && std::any_of(served.begin(), served.end(), meets)))
      kept.push_back(s);
  }
  return kept;
}

bool refuses_zerocopy(int code) {
  // EOPNOTSUPP: no zero-copy in the driver. EINVAL: not with this configuration (too few queues, wrong
  // offloads).
  return code == EOPNOTSUPP || code == EINVAL;
}

/// virtio-net makes a queue a CPU more when XDP is attached (kernel, virtnet_xdp_set) and receives on those, too. But what an
/// AF_XDP socket sends there does not leave, and if they go before its zero-copy socket does, the next attachment crashes
/// the kernel in xp_alloc_batch (both seen on 7.3). A device whose queues are all in use gets no more.
tl::expected<void, StartError> count_queues(ServedInterface& served, uint32_t before, Preflight& preflight) {
  const InterfaceConfig& c = served.config;
  served.queues_at_start = receive_queues(c.name);
  served.queues = c.queues == 0 ? served.queues_at_start : c.queues;
  if (served.queues_at_start <= before) return {};
  const std::string text =
      fmt::format("{}: {} receive queues with XDP, {} without", c.name, served.queues_at_start, before);
  const std::string mend =
      fmt::format("ethtool -L {} combined N, with the maximum that ethtool -l shows", c.name);
  if (served.queues > before) {
    return tl::unexpected(StartError{6, text + ": nothing can be sent on those that the driver adds", mend});
  }
  preflight.warn(text + "; VIP packets that arrive on the others get the fallback verdict", mend);
  return {};
}

}  // namespace

tl::expected<std::unique_ptr<Engine>, StartError> Engine::start(const Config& config, Preflight& preflight) {
  std::unique_ptr<Engine> engine(new Engine);
  TableParts nothing;
  engine->hugepages_ = config.hugepages;
  engine->tables_ = std::make_unique<Published<Table>>(Table::make(std::move(nothing)));
  if (auto r = engine->attach_shims(config, preflight); !r) return tl::unexpected(r.error());
  const uint32_t workers = engine->interfaces_.front().queues;
  for (const ServedInterface& i : engine->interfaces_) {
    // A worker sends on any interface by its own queue there, so every interface needs a queue for every
    // worker.
    if (i.queues != workers) {
      return tl::unexpected(StartError{
          6,
          fmt::format("{} has {} queues and {} has {}: interfaces served together need the same number",
                      engine->interfaces_.front().config.name, workers, i.config.name, i.queues),
          fmt::format("\"queues\": {}, or ethtool -L", std::min(workers, i.queues))});
    }
  }
  if (config.nat.table.last_port - config.nat.table.first_port + 1u < workers) {
    return tl::unexpected(
        StartError{6, fmt::format("/nat/ports: fewer ports than the {} workers", workers), {}});
  }
  engine->nat_ = std::make_unique<NatTables>(config.nat.table, workers);
  engine->place(config, workers, preflight);
  for (uint32_t id = 0; id < workers; ++id) {
    if (auto r = engine->open_worker(config, id, preflight); !r) return tl::unexpected(r.error());
  }
  engine->wait_for_links(preflight);
  engine->test_ports(preflight);
  if (auto r = engine->start_workers(); !r) return tl::unexpected(r.error());
  return engine;
}

Engine::~Engine() {
  (void)steer({});
  for (ServedInterface& i : interfaces_) (void)i.shim->set_replies({});
  wait_for_running_programs();
  for (auto& worker : workers_) worker->stop();
  for (ServedInterface& i : interfaces_) {
    for (uint32_t q = 0; q < i.queues; ++q) i.shim->clear_socket(q);
  }
  workers_.clear();
  for (ServedInterface& i : interfaces_) i.shim->detach();
}

tl::expected<void, StartError> Engine::attach_shims(const Config& config, Preflight& preflight) {
  for (const InterfaceConfig& c : config.interfaces) {
    ServedInterface served;
    served.config = c;
    served.name = c.name;
    served.ifindex = interface_index(c.name);
    served.hardware = read_hardware(c.name);
    const uint32_t before = served.hardware.receive_queues;
    served.had_carrier = has_carrier(c.name);
    served.quirks = quirks_of(served.hardware.driver.driver, running_kernel());
    for (const Finding& f : report_quirks(c.name, served.quirks, c.bind == BindMode::zerocopy))
      preflight.add(f);
    auto shim = Steering::load(config.fallback_verdict, kStaleAfterNs);
    if (!shim) return tl::unexpected(from_steering(shim.error(), c.name));
    served.shim = std::move(*shim);
    if (auto r = attach(served); !r) return tl::unexpected(from_steering(r.error(), c.name));
    if (served.shim->attached() == "generic" && c.mode == XdpMode::automatic) {
      preflight.warn(fmt::format("{}: generic XDP (slow): {}", c.name, served.shim->native_refusal()));
    } else {
      preflight.ok(fmt::format("{}: {} XDP attached", c.name, served.shim->attached()));
    }
    if (auto r = count_queues(served, before, preflight); !r) return tl::unexpected(r.error());
    interfaces_.push_back(std::move(served));
  }
  return {};
}

void Engine::place(const Config& config, uint32_t workers, Preflight& preflight) {
  std::vector<Hardware> hardware;
  for (const ServedInterface& i : interfaces_) hardware.push_back(i.hardware);
  cpus_ = place_workers(workers, config.interfaces, hardware, preflight);
  for (const ServedInterface& i : interfaces_) {
    for (IrqAffinity& moved : place_interrupts(i.config, cpus_, preflight)) irqs_.push_back(std::move(moved));
  }
}

namespace {

/// Whether a worker injects may change when its sockets are bound anew; whether it might does not.
std::function<void()> confinement_of(const Config& config, uint32_t worker) {
  const bool injects = std::any_of(config.interfaces.begin(), config.interfaces.end(),
                                   [](const InterfaceConfig& i) { return i.transmit != TransmitMode::ring; });
  return [injects, worker] {
    if (const auto confined = confine_worker(injects); !confined)
      spdlog::warn("worker {}: it keeps rights that it does not need: {}", worker, confined.error());
  };
}

}  // namespace

tl::expected<void, StartError> Engine::open_worker(const Config& config, uint32_t id, Preflight& preflight) {
  std::vector<std::size_t> interfaces;
  for (std::size_t i = 0; i < interfaces_.size(); ++i) {
    if (id < interfaces_[i].queues) interfaces.push_back(i);
  }
  bool refused = false;
  tl::expected<Parts, IoError> opened = open_as_configured(interfaces, id, kBindPatience, refused);
  if (!opened) {
    const IoError& error = opened.error();
    const bool unfit = refused || error.code == 0;  // another start would find the same
    return tl::unexpected(StartError{error.code == EPERM ? 4
                                     : unfit             ? 6
                                                         : 1,
                                     error.message, unfit ? "\"bind\": \"auto\"" : ""});
  }

  for (const WorkerPort& p : opened->ports) {
    preflight.ok(fmt::format("{} queue {}: {}{}", p.port->options().interface, id,
                             p.port->zerocopy() ? "zero-copy" : "copy mode",
                             refused ? " (the driver has no zero-copy)" : ""));
  }
  report_transmit(interfaces, *opened, preflight);
  preflight.add(packet_memory(id, *opened->umem, opened->injector != nullptr, hugepages_));
  WorkerOptions options;
  options.id = id;
  options.workers = interfaces_.front().queues;
  options.flows = config.flows;
  options.nat = nat_.get();
  options.idle = choose_idle(id, opened->ports, preflight);
  if (const std::string& why = why_not_busy_[id]; !why.empty()) preflight.warn(why + "; polling is adaptive");
  options.cpu = cpus_[id];
  options.confine = confinement_of(config, id);
  if (opened->injector) injectors_[id] = std::move(opened->injector);
  workers_.push_back(std::make_unique<Worker>(std::move(options), std::move(opened->umem),
                                              std::move(opened->ports), *tables_));
  return {};
}

/// One UMEM is all zero-copy or all copy (kernel, xp_assign_dev_shared), so one refusal decides for the worker.
tl::expected<Engine::Parts, IoError> Engine::open_as_configured(const std::vector<std::size_t>& interfaces,
                                                                uint32_t queue,
                                                                std::chrono::milliseconds patience,
                                                                bool& refused) {
  bool may_zerocopy = true;
  bool may_copy = true;
  for (const std::size_t i : interfaces) {
    if (must_copy(i)) may_zerocopy = false;
    // Who asks for injection by name gets it where zero-copy is possible, too, unless that is also asked for.
    if (interfaces_[i].config.transmit == TransmitMode::inject &&
        interfaces_[i].config.bind != BindMode::zerocopy) {
      may_zerocopy = false;
    }
    if (interfaces_[i].config.bind == BindMode::zerocopy) may_copy = false;
  }
  tl::expected<Parts, IoError> opened =
      tl::unexpected(IoError{0, fmt::format("{}: zero-copy is asked for, but another setting rules it out",
                                            interfaces_[interfaces[0]].config.name)});
  if (may_zerocopy) opened = open_ports(interfaces, queue, true, patience);
  refused = may_zerocopy && !opened && refuses_zerocopy(opened.error().code);
  if (may_copy && (refused || !may_zerocopy)) opened = open_ports(interfaces, queue, false, patience);
  return opened;
}

Engine::Parts& Engine::Parts::operator=(Parts&& other) noexcept {
  std::swap(injector, other.injector);
  std::swap(umem, other.umem);
  std::swap(ports, other.ports);
  std::swap(transmit, other.transmit);
  return *this;
}

tl::expected<Engine::Parts, IoError> Engine::open_ports(const std::vector<std::size_t>& interfaces,
                                                        uint32_t queue, bool zerocopy,
                                                        std::chrono::milliseconds patience) {
  const auto frames = kFramesPerPort * static_cast<uint32_t>(interfaces.size());
  std::vector<TransmitInterface> senders;
  for (const std::size_t i : interfaces) {
    senders.push_back({interfaces_[i].name, interfaces_[i].ifindex, interfaces_[i].config.transmit});
  }
  // One port that needs it makes the UMEM so, and with it all its sockets (kernel, xsk_bind).
  const bool multi_frame = std::any_of(interfaces.begin(), interfaces.end(), [&](std::size_t i) {
    return mtu_of(interfaces_[i].name) > kMaxSingleFrameMtu;
  });
  TransmitPlan plan = plan_transmit(senders, zerocopy, frames);
  Parts parts;
  parts.injector = std::move(plan.injector);
  parts.transmit = std::move(plan.choices);
  for (std::size_t k = 0; k < interfaces.size(); ++k) {
    ServedInterface& served = interfaces_[interfaces[k]];
    served.multi_frame = multi_frame;
    PortOptions options;
    options.interface = served.name;
    options.interface_index = static_cast<uint16_t>(interfaces[k]);
    options.queue = queue;
    options.zerocopy = zerocopy;
    options.multi_frame = multi_frame;
    if (parts.transmit[k].inject)
      options.inject = parts.injector->options(served.ifindex, mtu_of(served.name));
    parts.ports.push_back({std::make_unique<XskPort>(std::move(options)), served.shim->heartbeat(queue)});
  }
  auto memory = parts.injector ? parts.injector->memory()
                               : UmemMemory::anonymous(static_cast<std::size_t>(frames) * kFrameSize,
                                                       hugepages_ == HugepageMode::automatic);
  if (!memory) return tl::unexpected(memory.error());
  parts.umem = Umem::create(std::move(*memory), frames);
  for (const WorkerPort& p : parts.ports) {
    if (auto r = p.port->open(*parts.umem, patience); !r) return tl::unexpected(r.error());
  }
  return parts;
}

void Engine::report_transmit(const std::vector<std::size_t>& interfaces, const Parts& parts,
                             Preflight& findings) {
  for (std::size_t k = 0; k < interfaces.size(); ++k) {
    const TransmitChoice& choice = parts.transmit[k];
    const uint32_t queue = parts.ports[k].port->options().queue;
    const std::string text =
        fmt::format("{} queue {}: transmit by {} ({})", interfaces_[interfaces[k]].config.name, queue,
                    choice.ready ? "inject" : "ring", choice.why);
    transmit_[{interfaces[k], queue}] = choice;
    sum_up_transmit(interfaces[k]);
    if (InjectTransmit* injection = parts.ports[k].port->injection()) injection->permit(choice.ready);
    if (choice.in_vain) {
      findings.warn(text);
    } else {
      findings.ok(text);
    }
  }
}

/// Its queues may differ: each worker's sockets are opened by themselves, and one may have got what another was refused.
void Engine::sum_up_transmit(std::size_t interface) {
  std::map<uint32_t, std::string> why;
  for (const auto& [place, choice] : transmit_) {
    if (place.first == interface) why[place.second] = choice.why;
  }
  interfaces_[interface].transmit_why = transmit_reasons(why);
}

bool Engine::review_transmit() {
  bool complete = true;
  for (std::size_t i = 0; i < interfaces_.size(); ++i) {
    const ServedInterface& served = interfaces_[i];
    std::vector<XskPort*> injectors;
    for (const auto& worker : workers_) {
      for (const WorkerPort& p : worker->ports()) {
        if (p.port->options().interface_index == i && p.port->injection()) injectors.push_back(p.port.get());
      }
    }
    if (injectors.empty()) continue;
    const auto features = xdp_features(served.ifindex);
    complete &= features.has_value() || features.error().never;
    const TransmitChoice now = choose_transmit({served.config.transmit, false, features, false});
    bool changed = false;
    for (XskPort* port : injectors) {
      TransmitChoice& known = transmit_[{i, port->options().queue}];
      if (now.ready == known.ready) continue;
      port->injection()->permit(now.ready);
      known = now;
      changed = true;
    }
    if (!changed) continue;
    sum_up_transmit(i);
    const std::string text =
        fmt::format("{}: transmit by {} ({})", served.config.name, now.ready ? "inject" : "ring", now.why);
    spdlog::log(now.in_vain ? spdlog::level::warn : spdlog::level::info, text);
  }
  return complete;
}

tl::expected<void, StartError> Engine::start_workers() {
  for (auto& worker : workers_) {
    for (auto& other : workers_) {
      if (other != worker) worker->read_fragments_of(*other);
    }
  }
  for (auto& worker : workers_) {
    tables_->add_reader(worker->reader());
    if (auto r = start_worker(*worker); !r) return r;
  }
  return {};
}

tl::expected<void, StartError> Engine::start_worker(Worker& worker) {
  if (auto r = worker.start(); !r) return tl::unexpected(StartError{1, r.error().message, {}});
  return steer_to(worker);
}

tl::expected<void, StartError> Engine::steer_to(Worker& worker) {
  for (const WorkerPort& p : worker.ports()) {
    const PortOptions& o = p.port->options();
    if (auto r = interfaces_[o.interface_index].shim->set_socket(o.queue, p.port->fd()); !r) {
      return tl::unexpected(from_steering(r.error(), o.interface));
    }
  }
  return {};
}

void Engine::set_taps(std::size_t worker, std::shared_ptr<const CaptureTaps> taps) {
  taps_.resize(workers_.size());
  workers_[worker]->set_taps(taps.get());
  if (auto old = std::exchange(taps_[worker], std::move(taps)); old) tables_->retire(std::move(old));
}

tl::expected<void, std::string> Engine::steer(const std::vector<SteeredService>& services) {
  tl::expected<void, std::string> result;
  for (ServedInterface& i : interfaces_) {
    if (auto r = i.shim->set_services(services); !r && result) {
      result = tl::unexpected(fmt::format("{}: {}", i.config.name, r.error().message));
    }
  }
  return result;
}

tl::expected<void, std::string> Engine::set_replies(const ReplyRules& rules) {
  tl::expected<void, std::string> result;
  for (ServedInterface& i : interfaces_) {
    if (auto r = i.shim->set_replies(rules); !r && result)
      result = tl::unexpected(fmt::format("{}: {}", i.config.name, r.error().message));
  }
  replies_ = rules;
  return result;
}

tl::expected<void, std::string> Engine::set_macs(const std::vector<ServedLink>& links) {
  for (std::size_t i = 0; i < interfaces_.size(); ++i) {
    // Zero would let any frame be steered. Netlink may not have told yet of an interface that the shim is on again.
    if (links[i].mac == MacAddress{}) continue;
    if (auto r = interfaces_[i].shim->set_mac(links[i].mac); !r) {
      return tl::unexpected(fmt::format("{}: {}", links[i].name, r.error().message));
    }
  }
  return {};
}

Openings Engine::openings(uint32_t backend_id) const {
  Openings sum;
  for (uint32_t i = 0; i < nat_->workers(); ++i) {
    const NatOpenings& seen = std::as_const(*nat_).of(i).openings(backend_id);
    sum += {seen.answered.read(), seen.refused.read(), seen.unanswered.read()};
  }
  return sum;
}

tl::expected<void, std::string> Engine::publish(std::unique_ptr<const Table> table,
                                                const ReplyRules& replies) {
  std::vector<SteeredService> wanted = services_of(*table);
  const std::vector<SteeredService> kept = replaced_or_kept(steered_, wanted);
  tl::expected<void, std::string> result;
  if (kept != steered_) result = steer(kept);
  // A new backend's answer must not meet the host's stack, which would reset it: known before the first packet goes there.
  if (auto r = set_replies(either(replies_, replies)); !r && result) result = r;
  tables_->publish(std::move(table));
  tables_->reclaim();
  if (kept != wanted) {
    if (auto r = steer(wanted); !r && result) result = r;
  }
  if (auto r = set_replies(replies); !r && result) result = r;
  // After an error the maps hold something in between, and ServiceMaps knows what: the next call mends it.
  steered_ = result ? std::move(wanted) : kept;
  return result;
}

}  // namespace xebec
