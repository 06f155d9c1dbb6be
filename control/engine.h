// SPDX-License-Identifier: BSD-2-Clause
// Everything that moves packets, as the control thread holds it: per interface the shim, per queue a port,
// the workers, and the published table.
//
//   start:   load and attach the shims -> open the ports -> start each worker, then put its sockets into the
//            XSKMAPs. The shims steer nothing yet.
//   publish: the shims forget removed services and learn of added backends' replies -> the workers get the table ->
//            the shims learn added services and forget removed backends' replies
//   stop:    the shims forget everything -> the workers drain and end -> sockets close -> the shims detach
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "control/config.h"
#include "control/driver_quirks.h"
#include "control/hardware.h"
#include "control/injector.h"
#include "control/irq_affinity.h"
#include "control/openings.h"
#include "control/preflight.h"
#include "control/queue_health.h"
#include "control/reply_homing.h"
#include "control/reply_maps.h"
#include "control/steering.h"
#include "control/table_builder.h"
#include "control/transmit_plan.h"
#include "dataplane/busy_poll.h"
#include "dataplane/nat_table.h"
#include "dataplane/published.h"
#include "dataplane/worker.h"

namespace xebec {

/// Why the daemon cannot start; `exit_code` as in docs/xebecd.md.
struct StartError {
  int exit_code = 1;
  std::string message;
  std::string hint;
};

/// One served interface.
struct ServedInterface {
  InterfaceConfig config;
  std::string
      name;  ///< what the kernel calls it now: config.name until somebody renames it. Empty: it is gone
  int ifindex = 0;
  uint32_t queues = 0;       ///< served: 0 .. queues - 1
  Hardware hardware;         ///< as it was at start, or when the number of queues last changed
  std::string transmit_why;  ///< why its ports send the way they do; empty while it has none
  bool multi_frame = false;  ///< its sockets take packets longer than a frame
  std::vector<DriverQuirk> quirks;
  bool had_carrier = false;      ///< before the shim was attached
  uint32_t queues_at_start = 0;  ///< receive queues it had once XDP was attached, served or not
  std::string count_problem;     ///< what has become of them since; empty: nothing
  std::unique_ptr<Steering> shim;
};

class Engine {
 public:
  /// Findings about what was obtained (attach mode, zero-copy, polling) go to `preflight`.
  static tl::expected<std::unique_ptr<Engine>, StartError> start(const Config& config, Preflight& preflight);
  ~Engine();  ///< stops
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Makes `table` the one in force, in the order that loses no packet. The steered services follow from it.
  /// An error means that a shim refused its map; the table is in force all the same.
  /// `replies`: what the shims are to take for replies of the table's translating services.
  tl::expected<void, std::string> publish(std::unique_ptr<const Table> table, const ReplyRules& replies);
  /// Tells each shim its interface's address, so that frames to another host are left alone. `links` as in the table; one whose
  /// address is not known yet (zero) keeps the one that its shim has.
  tl::expected<void, std::string> set_macs(const std::vector<ServedLink>& links);
  /// Frees tables no worker can hold any more; returns how many still wait.
  std::size_t reclaim() { return tables_->reclaim(); }
  /// Captures of one worker from now on; null: none. The old ones wait for reclaim().
  void set_taps(std::size_t worker, std::shared_ptr<const CaptureTaps> taps);
  const Table& table() const { return tables_->current(); }
  /// Asks the kernel anew which drivers take redirected packets, and has the injectors act on it. False: it would not
  /// say of one, which sends by the ring until asked again.
  bool review_transmit();

  /// Every half second: are there as many queues as at start, does every transmit ring move, is the shim on every interface, has
  /// every worker its sockets? What is not so is told to the log once and by problems(), and as far as it can be mended it is;
  /// not by closing sockets that a driver's fault forbids to close. True: an interface that had been deleted and made anew was
  /// attached to again, so that its index and address are others.
  bool look_after(uint64_t now_ms, const NextHops& network);
  /// How often that was done with the interface.
  uint64_t times_attached_again(std::size_t interface) const;
  /// Why it is not done with the one that is there now; empty: it is, or there is none.
  std::string why_not_attached_again(std::size_t interface) const;
  /// Why a worker does not poll busily although that is asked for; empty: it does, or it is not.
  std::string why_not_busy(uint32_t worker) const;
  /// Sentences for the status.
  std::vector<std::string> problems() const;
  const QueueHealth& health(std::size_t interface, uint32_t queue) const;

  /// Whether ports of mode nat are chosen by RSS, and where replies then came.
  const ReplyHoming& reply_homing(std::size_t interface) const;
  ReplyHoming::Counts reply_arrivals(std::size_t interface) const;

  /// What all workers remember of a backend.
  FlowCount flows(uint32_t backend_id) const;
  /// What became of connections that clients opened to a translating backend.
  Openings openings(uint32_t backend_id) const;
  /// Some algorithm in force compares flows, and there are several workers, which are to be told by share_flow_counts().
  bool shares_flow_counts() const;
  /// Tells each worker how many open flows all of them have. Some nanoseconds a backend and worker.
  void share_flow_counts();
  const std::vector<ServedInterface>& interfaces() const { return interfaces_; }
  const std::vector<std::unique_ptr<Worker>>& workers() const { return workers_; }

 private:
  Engine() = default;
  tl::expected<void, StartError> attach_shims(const Config& config, Preflight& preflight);
  void place(const Config& config, uint32_t workers, Preflight& preflight);
  tl::expected<void, StartError> open_worker(const Config& config, uint32_t id, Preflight& preflight);
  /// What a worker is made of.
  struct Parts {
    Parts() = default;
    Parts(Parts&&) = default;
    Parts& operator=(Parts&& other) noexcept;

    // Destroyed in reverse: ports before their UMEM, and before the injector that they send by.
    std::unique_ptr<Injector> injector;  // may be null
    std::unique_ptr<Umem> umem;
    std::vector<WorkerPort> ports;
    std::vector<TransmitChoice> transmit;  // of the ports
  };
  /// Zero-copy or copy mode, as the interfaces' settings say. `refused`: zero-copy was tried in vain.
  tl::expected<Parts, IoError> open_as_configured(const std::vector<std::size_t>& interfaces, uint32_t queue,
                                                  std::chrono::milliseconds patience, bool& refused);
  tl::expected<Parts, IoError> open_ports(const std::vector<std::size_t>& interfaces, uint32_t queue,
                                          bool zerocopy, std::chrono::milliseconds patience);
  /// Of sockets that have just been opened, at start or later: tells them whether to inject, and keeps what is known.
  void report_transmit(const std::vector<std::size_t>& interfaces, const Parts& parts, Preflight& findings);
  void sum_up_transmit(std::size_t interface);
  // engine_poll.cc
  PollMode wanted_poll() const;
  /// How a worker with these ports waits, as far as it can be had; of the sockets, what it needs is set. why_not_busy_ has the rest.
  Idle choose_idle(uint32_t worker, const std::vector<WorkerPort>& ports, Preflight& findings);
  void tune_napi(std::size_t interface, Preflight& findings);
  void look_after_polling();
  /// What is found while the daemon serves is a line of the log.
  static void log_finding(const Finding& finding);
  // engine_care.cc
  void wait_for_links(Preflight& preflight);
  void test_ports(Preflight& preflight);
  void test_worker(Worker& worker);
  bool must_copy(std::size_t interface) const;
  /// Ends a worker and closes its sockets, and with them loses what was in their rings.
  void take_down(Worker& worker);
  /// Binds a worker's sockets anew, on those of its interfaces that are there; after an error it has none. zerocopy: absent: as
  /// configured, and as the drivers let it be.
  tl::expected<void, std::string> reopen(Worker& worker, std::optional<bool> zerocopy);
  /// The same, and starts it. After an error look_after() tries again.
  void revive(Worker& worker, uint64_t now_ms);
  /// The worker's sockets could not be opened or used: it has none until at_ms.
  void give_up(Worker& worker, const std::string& why, uint64_t now_ms);
  /// Why the worker's sockets must stay as they are, a sentence; empty: they may be closed.
  std::string why_kept(const Worker& worker) const;
  void look_after_worker(Worker& worker, uint64_t now_ms, const NextHops& network);
  void look_after_counts(ServedInterface& served);
  bool look_after_port(XskPort& port, uint64_t now_ms, bool link_up);
  // engine_replies.cc
  void look_after_replies(uint64_t now_ms);
  // engine_return.cc
  tl::expected<void, SteeringError> attach(ServedInterface& served);
  void follow_names();
  bool look_for_returned(uint64_t now_ms);
  /// Adds to `without` the workers that are to be revived for it.
  tl::expected<void, std::string> attach_again(std::size_t interface, uint64_t now_ms,
                                               std::set<uint32_t>& without);

  tl::expected<void, StartError> start_workers();
  /// After an error it may run, with some of its sockets steered to.
  tl::expected<void, StartError> start_worker(Worker& worker);
  tl::expected<void, StartError> steer_to(Worker& worker);
  tl::expected<void, std::string> set_replies(const ReplyRules& rules);
  tl::expected<void, std::string> steer(const std::vector<SteeredService>& services);

  // Destroyed in reverse: workers (and with them sockets) before shims, and before the injectors that they send by.
  std::map<std::size_t, std::optional<NapiTuning>>
      napi_;  // by interface that is polled; empty: it could not be set
  std::vector<IrqAffinity> irqs_;
  std::vector<uint32_t> cpus_;  // by worker
  HugepageMode hugepages_ = HugepageMode::automatic;
  std::vector<ServedInterface> interfaces_;
  std::unique_ptr<Published<Table>> tables_;
  std::vector<ReplyHoming> homing_;  // by interface; empty until something is translated
  uint64_t read_hashing_ms_ = 0;     // when the drivers are to be asked again
  std::unique_ptr<NatTables> nat_;
  std::map<uint32_t, std::unique_ptr<Injector>> injectors_;         // by worker that has one
  std::map<std::pair<std::size_t, uint32_t>, QueueHealth> health_;  // by interface and queue
  std::map<std::pair<std::size_t, uint32_t>, TransmitChoice>
      transmit_;  // by interface and queue that has a socket
  bool review_wanted_ =
      false;  // what sockets opened since the last review were told may have changed meanwhile
  /// Of a worker whose sockets were to be opened anew.
  struct Retry {
    uint64_t at_ms = 0;            ///< the next try
    std::optional<bool> zerocopy;  ///< absent: as configured
    std::string problem;           ///< why it has no sockets; empty: it has
    std::string kept;              ///< why they stay although a ring stands still
  };
  std::map<uint32_t, Retry> retries_;             // by worker
  std::map<uint32_t, std::string> why_not_busy_;  // by worker
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::shared_ptr<const CaptureTaps>> taps_;  // by worker
  std::vector<SteeredService> steered_;
  ReplyRules replies_;
  /// Of an interface that was deleted and made anew.
  struct Return {
    std::string problem;         ///< why it is not attached to; empty: it is
    uint64_t not_before_ms = 0;  ///< the next try
    uint64_t times = 0;          ///< that it was
  };
  std::map<std::size_t, Return> returns_;  // by interface
};

}  // namespace xebec
