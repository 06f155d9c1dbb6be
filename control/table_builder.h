// SPDX-License-Identifier: BSD-2-Clause
// Desired state + what the kernel knows of the network -> forwarding table. Asks nothing itself: everything
// is passed in, so a test hands it a network of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/backend_ids.h"
#include "control/config.h"
#include "control/next_hops.h"
#include "control/timeout_classes.h"
#include "dataplane/table.h"

namespace xebec {

/// An interface that Xebec serves, as the table needs it.
struct ServedLink {
  int ifindex = 0;
  std::string name;
  MacAddress mac{};
  uint32_t mtu = 0;
  bool operator==(const ServedLink&) const = default;
};

/// A VLAN device on top of a served interface: what the kernel sends by it leaves that interface with a tag.
struct VlanLink {
  int ifindex = 0;
  uint16_t interface = 0;  ///< position in NetworkView::links
  uint16_t vlan = 0;
  MacAddress mac{};
  uint32_t mtu = 0;
  bool operator==(const VlanLink&) const = default;
};

/// A served interface that a bond sends and receives by now.
struct BondMember {
  int ifindex = 0;         ///< of the bond
  uint16_t interface = 0;  ///< position in NetworkView::links
  uint32_t mtu = 0;        ///< of the bond
  bool operator==(const BondMember&) const = default;
};

/// What the builder is told of the network.
struct NetworkView {
  std::set<IpAddress> own;        ///< addresses of this host
  std::vector<ServedLink> links;  ///< position = interface index in the table
  std::function<const ResolvedHop*(const IpAddress&)> find_hop;
  std::vector<VlanLink> vlans{};    ///< one on a bond several times, once a member
  std::vector<BondMember> bonds{};  ///< a bond several times, once a member; none: not by a served one
};

/// What the builder is told of the backends' health, and of what else concerns who takes how much.
struct HealthView {
  /// Empty if the backend is up, unknown or not checked; else why it is down. Null: nothing is checked.
  std::function<std::string(const ServiceConfig&, const BackendConfig&)> why_down;
  /// Of one in drain: nothing is to go there any more. Null: that is so of none.
  std::function<bool(const ServiceConfig&, const BackendConfig&)> drained;
  /// The configuration that was asked for does not have it any more (control/leaving.h). Null: that is so of none.
  std::function<bool(const ServiceConfig&, const BackendConfig&)> removed;
  /// How much of its weight it has now, in permille from 1 to 1000 (control/slow_start.h). Null: all of it.
  std::function<uint32_t(const ServiceConfig&, const BackendConfig&)> weight_permille;
};

/// What became of a backend in the last table built.
struct BackendStatus {
  uint32_t id = 0;
  bool usable = false;
  std::string why;         ///< it takes no packets; empty if it does
  bool asking = false;     ///< not usable only because the kernel is still asking for the link-layer address
  bool by_intent = false;  ///< not usable because the operator said so: no fault
  bool down = false;       ///< its health says so
  bool open = false;       ///< and it takes packets all the same, since none of its service is up
  bool fallback = false;   ///< it is its service's fallback
  bool removed = false;    ///< it is not configured any more, and has connections yet
  bool stands_in = false;  ///< and takes new flows at present
  bool taking = false;     ///< new flows go to it
  uint32_t weight_permille = 1000;  ///< of its weight, if they do: less while it starts slowly
  double share = 0;                 ///< of its service's lookup array
};

/// Builds tables one after the other, keeping what carries over: backend ids, and the lookup arrays of
/// unchanged services.
class TableBuilder {
 public:
  explicit TableBuilder(const std::array<uint8_t, 16>& hash_seed);

  /// The table for `config`, with generation one above the last. On an error (more than kMaxBackends at
  /// once, those that a change replaces included) the last table stays in force. A backend whose neighbour is
  /// being asked again keeps the link-layer address of the last table.
  /// now_ns: of the clock that the workers have (CLOCK_MONOTONIC).
  tl::expected<std::unique_ptr<const Table>, std::string> build(const Config& config,
                                                                const NetworkView& network, uint64_t now_ns,
                                                                const HealthView& health = {});

  /// Of the last table built: by (service name, address).
  const std::map<std::pair<std::string, IpAddress>, BackendStatus>& status() const { return status_; }
  struct Tally {
    std::size_t backends = 0;
    std::size_t usable = 0;
    std::size_t down = 0;  ///< by their health
  };
  /// Of those that are configured, in the last table.
  Tally tally() const;
  uint64_t generation() const { return generation_; }
  const HashSecret& secret() const { return secret_; }

 private:
  struct Cached {
    std::vector<MaglevBackend> backends;
    uint32_t size = 0;
    std::shared_ptr<const MaglevTable> lookup;
    std::shared_ptr<const std::vector<uint16_t>>
        turns;                   ///< of `backends`; null until an algorithm wants them
    std::vector<double> shares;  ///< of `backends` in `lookup`
    std::vector<std::pair<uint32_t, Backend>>
        entries;                     ///< of the last table in which the service had a usable backend
    PreviousLookup last;             ///< lookup and ids of that table
    uint64_t last_since_ns = 0;      ///< and when they came into force
    uint64_t previous_stood_ns = 0;  ///< how long `previous` was in force
    std::shared_ptr<const PreviousLookup> previous;
  };
  Backend resolve(const Config& config, const ServiceConfig& service, const BackendConfig& backend,
                  const NetworkView& network, uint32_t id, std::string& why);
  static bool find_nat_source(const Config& config, const BackendConfig& backend, const ResolvedHop* hop,
                              Backend& b, std::string& why);
  bool find_next_hop(const BackendConfig& backend, const NetworkView& network, uint32_t id, NextHop& out,
                     const ResolvedHop*& hop, std::string& why) const;
  /// A service of the table to be, before it has its lookup array.
  struct Draft {
    Service service;
    std::vector<MaglevBackend> weighted;  ///< those that take new flows
    std::vector<BackendStatus*> taking;   ///< of the same
    bool asking = false;                  ///< some neighbour is being asked for
    /// No backend yet, but soon: those of the last table may be kept meanwhile.
    bool may_keep() const { return weighted.empty() && asking; }
  };
  using Statuses = std::map<std::pair<std::string, IpAddress>, BackendStatus>;
  /// What all services of one table are drafted from, and into.
  struct Drafting {
    const Config& config;
    const NetworkView& network;
    const HealthView& health;
    TableParts& parts;
    Statuses& status;
  };
  Draft draft(const Drafting& all, const ServiceConfig& service, uint32_t index);
  BackendStatus& place(const Drafting& all, const ServiceConfig& service, const BackendConfig& backend,
                       uint32_t index);
  std::shared_ptr<const QuicRoutes> quic_routes(const ServiceConfig& service) const;
  static void use(Draft& draft, const ServiceConfig& service, const BackendConfig& backend,
                  BackendStatus& status);
  NoBackend without_backend(const Drafting& all, const ServiceConfig& service) const;
  static void reweigh(Draft& draft);
  static void use_without_backend_up(Draft& draft, const Drafting& all, const ServiceConfig& service);
  void build_lookup(const ServiceConfig& service, const std::vector<MaglevBackend>& backends,
                    Cached& cached) const;
  void build_lookups(const Config& config, const std::vector<Draft>& drafts);
  bool keep_replaced_backends(const Drafting& all, const ServiceConfig& config, Service& service,
                              std::set<uint32_t>& kept) const;
  static void set_turns(Service& service, Cached& cached);
  void remember_previous(Service& service, uint64_t now_ns);
  void release_ids_not_in(const Config& config, const std::set<uint32_t>& kept);

  HashSecret secret_;
  uint64_t maglev_seed_;
  uint64_t generation_ = 0;
  BackendIds ids_;
  TimeoutClasses timeout_classes_;
  std::map<std::string, Cached> lookups_;
  std::map<uint32_t, NextHop> last_hops_;  // by backend id, resolved ones only
  Statuses status_;
};

}  // namespace xebec
