// SPDX-License-Identifier: BSD-2-Clause
// The one who changes things: holds the desired state, follows the network, builds tables and has the engine
// publish them. The file, the API and netlink events all come through here. One thread, the loop's.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/config.h"
#include "control/config_diff.h"
#include "control/config_reader.h"
#include "control/curl_loop.h"
#include "control/engine.h"
#include "control/event_loop.h"
#include "control/health_monitor.h"
#include "control/host_addresses.h"
#include "control/next_hops.h"
#include "control/table_builder.h"
#include "control/xdp_features.h"

namespace xebec {

/// What a change did, or with dry_run would do.
struct ChangeReport {
  bool changed = false;
  bool dry_run = false;
  uint64_t generation = 0;
  std::vector<ConfigChange> diff;
  std::vector<std::string> warnings;
};

/// Why a change was refused; nothing was changed.
struct ChangeError {
  enum class Kind : uint8_t { invalid, not_found, conflict, failed };
  Kind kind = Kind::failed;
  std::string message;  ///< "WHAT: WHY"
  std::string hint;
  Diagnostics diagnostics;
};
using ChangeResult = tl::expected<ChangeReport, ChangeError>;

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
    std::string config_file;              ///< read again by reload(); empty: none
    bool instance_given = false;          ///< on the command line: stands against the file's
  };

  static tl::expected<std::unique_ptr<Controller>, StartError> start(EventLoop& loop, Options options,
                                                                     Preflight& preflight);
  ~Controller();

  /// Replaces the whole desired state. A change of what docs/config.md says needs a restart is refused. What `wanted` is silent about and the command line or the installation gave (interfaces, seed,
  /// instance) stays.
  ChangeResult apply(Config wanted, bool dry_run);
  /// Reads the daemon's file again and applies it.
  ChangeResult reload();

  ChangeResult add_service(const nlohmann::json& service);
  ChangeResult remove_service(const std::string& name);
  ChangeResult add_backend(const std::string& service, const nlohmann::json& backend);
  ChangeResult set_backend(const std::string& service, const IpAddress& address,
                           const nlohmann::json& fields);
  ChangeResult remove_backend(const std::string& service, const IpAddress& address);

  /// Starts one health check beside the schedule; the ticket is health().answer()'s. The error says why there is none.
  tl::expected<uint64_t, ChangeError> check_backend(const std::string& service, const IpAddress& address);

  const Config& config() const { return config_; }
  const Engine& engine() const { return *engine_; }
  const TableBuilder& builder() const { return builder_; }
  const NextHops& next_hops() const { return *hops_; }
  const HealthMonitor& health() const { return *health_; }
  const EventLoop& loop() const { return loop_; }
  std::chrono::steady_clock::time_point started_at() const { return started_at_; }

  BackendTotals totals(uint32_t backend_id) const;
  /// What keeps the daemon from being healthy, a sentence each; empty: healthy.
  std::vector<std::string> problems() const;

 private:
  Controller(EventLoop& loop, Options options);
  NetworkView network() const;
  HealthView health_view() const;
  void on_health_change();
  /// Builds the table of `config_` anew and publishes it.
  tl::expected<void, std::string> rebuild();
  void follow_destinations();
  void follow_xdp_features();
  void review_transmit();
  /// Looks after the queues, now and again every half second.
  void look_after_queues();
  void follow_channels();
  void on_network_change();
  /// What the last table was built from, to tell whether a change of the network changes it.
  struct SeenNetwork {
    std::map<IpAddress, ResolvedHop> hops;
    std::vector<ServedLink> links;
    std::vector<VlanLink> vlans;
    std::set<IpAddress> own;
    bool operator==(const SeenNetwork&) const = default;
  };
  void schedule_reclaim();
  BackendTotals raw_totals(uint32_t backend_id) const;

  EventLoop& loop_;
  Config config_;
  std::string config_file_;
  bool instance_given_;
  TableBuilder builder_;
  std::unique_ptr<NextHops> hops_;
  std::unique_ptr<HostAddresses> addresses_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<CurlLoop> curl_;
  std::unique_ptr<HealthMonitor> health_;  // its probes use curl_
  std::map<uint32_t, std::pair<std::pair<std::string, IpAddress>, BackendTotals>>
      baselines_;  // by backend id
  SeenNetwork seen_;
  EventLoop::TimerId reclaim_timer_ = 0;
  std::unique_ptr<XdpFeatureEvents> feature_events_;  // null: the kernel does not tell
  EventLoop::WatchId feature_watch_ = 0;
  EventLoop::TimerId review_timer_ = 0;
  std::unique_ptr<ChannelEvents> channel_events_;  // null: the kernel does not tell
  EventLoop::WatchId channel_watch_ = 0;
  EventLoop::TimerId care_timer_ = 0;
  std::chrono::steady_clock::time_point started_at_;
};

}  // namespace xebec
