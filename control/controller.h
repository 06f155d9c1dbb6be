// SPDX-License-Identifier: BSD-2-Clause
// The one who changes things: holds the desired state, follows the network, builds tables and has the engine
// publish them. The file, the API and netlink events all come through here. One thread, the loop's.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/admin_orders.h"
#include "control/captures.h"
#include "control/change.h"
#include "control/config.h"
#include "control/config_file.h"
#include "control/config_history.h"
#include "control/curl_loop.h"
#include "control/discovery.h"
#include "control/doctor.h"
#include "control/drains.h"
#include "control/engine.h"
#include "control/event_log.h"
#include "control/event_loop.h"
#include "control/health_monitor.h"
#include "control/host_addresses.h"
#include "control/leaving.h"
#include "control/network_watch.h"
#include "control/next_hops.h"
#include "control/response_times.h"
#include "control/slow_start.h"
#include "control/table_builder.h"
#include "control/vip_prober.h"
#include "control/worker_balance.h"
#include "control/xdp_features.h"

namespace xebec {

/// Packets of one backend since it was configured.
struct BackendTotals {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t new_flows = 0;
};

class Controller {
 public:
  struct Options {
    Config config;
    std::array<uint8_t, 16> hash_seed{};  ///< in force: the configuration's or the installation's
    ConfigFile config_file;               ///< read again by reload()
    bool instance_given = false;          ///< on the command line: stands against the file's
  };

  static tl::expected<std::unique_ptr<Controller>, StartError> start(EventLoop& loop, Options options,
                                                                     Preflight& preflight);
  ~Controller();

  /// Replaces the whole desired state. A change of what docs/config.md says needs a restart is refused. What `wanted` is silent about and the command line or the installation gave (interfaces, seed,
  /// instance) stays.
  ChangeResult apply(Config wanted, const ChangeTerms& terms);
  /// Reads the daemon's file again and applies it.
  ChangeResult reload(const ChangeTerms& terms);

  ChangeResult add_service(const nlohmann::json& service, const ChangeTerms& terms);
  ChangeResult set_service(const std::string& name, const nlohmann::json& fields, const ChangeTerms& terms);
  ChangeResult remove_service(const std::string& name, const ChangeTerms& terms);
  ChangeResult add_backend(const std::string& service, const nlohmann::json& backend,
                           const ChangeTerms& terms);
  ChangeResult set_backend(const std::string& service, const IpAddress& address, const nlohmann::json& fields,
                           const ChangeTerms& terms);
  ChangeResult remove_backend(const std::string& service, const IpAddress& address, const ChangeTerms& terms);

  /// No new flows for it from now on; the backend is drained when none is open any more, or at the deadline. What is drained
  /// takes no packet. Asked again, it goes on by the new order. (controller_drain.cc)
  ChangeResult drain_backend(const std::string& service, const IpAddress& address, Drains::Order order,
                             const ChangeTerms& terms);
  const Drains& drains() const { return drains_; }
  const Leaving& leaving() const { return leaving_; }

  // ---- The life of a configuration (controller_config.cc) ----

  /// A change that waits to be confirmed.
  struct Unconfirmed {
    uint64_t back_to = 0;  ///< generation of the configuration that comes back
    std::string by;
    std::chrono::steady_clock::time_point until;
  };
  const std::optional<Unconfirmed>& unconfirmed() const { return unconfirmed_; }
  /// The unconfirmed change stays.
  ChangeResult confirm(const ChangeTerms& terms);
  /// Back to that generation's configuration. 0: the one before the unconfirmed change, or before the last one.
  ChangeResult rollback(uint64_t generation, const ChangeTerms& terms);
  /// Writes what is in force into the daemon's file. Returns its path.
  tl::expected<std::string, ChangeError> save_config(bool force, const std::string& by);
  const ConfigHistory& history() const { return history_; }
  /// Of the configuration in force; differs from that of any other, also of an earlier run's.
  std::string config_tag() const;
  /// What is wrong with a change that was made from another configuration than the one in force.
  std::optional<ChangeError> stale(const ChangeTerms& terms) const;

  /// Starts one health check beside the schedule; the ticket is health().answer()'s. The error says why there is none.
  tl::expected<uint64_t, ChangeError> check_backend(const std::string& service, const IpAddress& address);

  const Config& config() const { return config_; }
  const Engine& engine() const { return *engine_; }
  const TableBuilder& builder() const { return builder_; }
  const NextHops& next_hops() const { return *hops_; }
  const HealthMonitor& health() const { return *health_; }
  Captures& captures() { return *captures_; }
  Doctor& doctor() { return doctor_; }
  const ResponseTimes& response_times() const { return response_times_; }
  const EventLog& event_log() const { return event_log_; }
  const std::set<IpAddress>& own_addresses() const { return addresses_->all(); }
  const EventLoop& loop() const { return loop_; }
  std::chrono::steady_clock::time_point started_at() const { return started_at_; }

  BackendTotals totals(uint32_t backend_id) const;
  /// What keeps the daemon from being healthy, a sentence each; empty: healthy.
  std::vector<std::string> problems() const;
  /// What is worth a look and no fault.
  std::vector<std::string> warnings() const;

 private:
  /// What the doctor says of the ports of mode nat, knowing the routes.
  std::vector<Finding> port_findings() const;
  Controller(EventLoop& loop, Options options);
  NetworkView network() const;
  /// Both outlive it. `config`: with those that leave.
  HealthView health_view(const Config& config, const Leaving& leaving) const;
  /// What tables and checks are made of: the configuration, and those that leave.
  const Config& served() const { return leaving_.empty() ? config_ : served_; }
  void put_in_force(Config config, Leaving leaving);
  /// Why a change may not be made on these terms now.
  std::optional<ChangeError> refusal(const ChangeTerms& terms) const;
  tl::expected<std::vector<ServiceImpact>, std::string> find_impact(const Config& wanted,
                                                                    const Leaving& leaving) const;
  void commit_to_history(const ChangeTerms& terms, ChangeReport& report);
  void wait_for_confirmation(const ChangeTerms& terms, uint64_t back_to);
  void undo_unconfirmed();
  uint64_t open_flows(const Drains::Key& key) const;
  /// Of services that `wanted` does not have: whose connections end with them, a sentence each.
  std::vector<std::string> ends_of_services(const Config& wanted) const;
  /// After a change: those that `before` did not have drain from now on. A sentence about each that has connections.
  std::vector<std::string> begin_leaving(const Config& config_before, const Leaving& before,
                                         const std::string& by);
  void shorten_drain(const Drains::Key& key, std::chrono::milliseconds term, const std::string& by);
  /// Of one that leaves: now.
  ChangeResult let_go(const Leaving::Key& key);
  /// After a drain: a table without those that have left.
  tl::expected<void, std::string> forget_leaving(const std::vector<Leaving::Key>& gone);
  bool has_left(const Leaving::Key& key) const;
  /// After a change of `config_`. standing: AdminOrders::settle().
  void follow_drains(const std::set<AdminOrders::Key>* standing);
  void watch_drains();
  void look_at_drains();
  void settle();
  void on_health_change();
  /// Builds the table of `config_` anew and publishes it.
  tl::expected<void, std::string> rebuild();
  void follow_destinations();
  void follow_xdp_features();
  void review_transmit();
  /// Looks after the queues, now and again every half second.
  void look_after_queues();
  void look_at_balance();
  /// After a change of what is checked (controller_checks.cc).
  void follow_checks();
  tl::expected<VipWay, std::string> way_to_vip(const HealthCheck& check) const;
  /// Once a second, for as long as some service's weights go by response times (controller_spread.cc).
  void follow_response_times();
  void look_at_openings();
  /// False: not now. (controller_discovery.cc)
  bool take_discovered(const std::string& service, const std::vector<DiscoveredBackend>& found);
  void follow_channels();
  /// Notes what has happened in the event_log (controller_events.cc).
  void watch_network();
  void note_change(const std::string& by, const ChangeReport& report);
  void note_health(const HealthEntry& entry, const HealthTransition& transition);
  void note_table(const std::map<std::pair<std::string, IpAddress>, BackendStatus>& before);
  /// After a table: notes who takes new flows, and comes back when weights have to go on.
  void follow_slow_start();
  /// Shares flow counts from now on, ten times a second, for as long as somebody wants them.
  void share_flow_counts();
  void on_network_change();
  /// What the last table was built from, to tell whether a change of the network changes it.
  struct SeenNetwork {
    std::map<IpAddress, ResolvedHop> hops;
    std::vector<ServedLink> links;
    std::vector<VlanLink> vlans;
    std::vector<BondMember> bonds;
    std::set<IpAddress> own;
    bool operator==(const SeenNetwork&) const = default;
  };
  void schedule_reclaim();
  BackendTotals raw_totals(uint32_t backend_id) const;

  EventLoop& loop_;
  Config config_;
  ConfigFile config_file_;
  bool instance_given_;
  ConfigHistory history_;
  uint32_t run_id_;  ///< of this run of the daemon, at random
  std::optional<Unconfirmed> unconfirmed_;
  EventLoop::TimerId confirm_timer_ = 0;
  AdminOrders orders_;
  Drains drains_;
  Leaving leaving_;
  Config served_;  ///< with those that leave; of no meaning while there are none
  EventLoop::TimerId drain_timer_ = 0;
  bool settling_ = false;  ///< the unconfirmed change is being confirmed or undone
  TableBuilder builder_;
  std::unique_ptr<NextHops> hops_;
  std::unique_ptr<HostAddresses> addresses_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Captures> captures_;  // at the engine's workers
  std::unique_ptr<CurlLoop> curl_;
  std::unique_ptr<VipProber> vip_prober_;
  std::unique_ptr<HealthMonitor> health_;  // its probes use both
  std::unique_ptr<Discovery> discovery_;
  std::map<std::string, std::string> refused_answers_;  ///< of DNS: by service, why they changed nothing
  std::map<uint32_t, std::pair<std::pair<std::string, IpAddress>, BackendTotals>>
      baselines_;  // by backend id
  SeenNetwork seen_;
  Doctor doctor_;
  EventLog event_log_;
  ProblemWatch problem_watch_;
  NetworkWatch network_watch_;
  EventLoop::TimerId reclaim_timer_ = 0;
  std::unique_ptr<XdpFeatureEvents> feature_events_;  // null: the kernel does not tell
  EventLoop::WatchId feature_watch_ = 0;
  EventLoop::TimerId review_timer_ = 0;
  std::unique_ptr<ChannelEvents> channel_events_;  // null: the kernel does not tell
  EventLoop::WatchId channel_watch_ = 0;
  EventLoop::TimerId care_timer_ = 0;
  BalanceWatch balance_;
  struct SeenOpenings {
    uint32_t id;
    Openings openings;
  };
  std::map<HealthCheck::Key, SeenOpenings> openings_;
  EventLoop::TimerId share_timer_ = 0;
  ResponseTimes response_times_;
  EventLoop::TimerId response_timer_ = 0;
  SlowStart slow_start_;
  EventLoop::TimerId slow_start_timer_ = 0;
  std::chrono::steady_clock::time_point started_at_;
};

}  // namespace xebec
