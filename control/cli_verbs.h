// SPDX-License-Identifier: BSD-2-Clause
// What each verb of the tool does: the request it makes and the answer it shows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/cli_client.h"
#include "control/cli_error.h"
#include "control/cli_render.h"

namespace xebec {

class OfflineNetwork;
class Table;
struct Config;
struct PacketExplanation;

enum class Output : uint8_t { table, json, tsv };

struct CliOptions {
  Output output = Output::table;
  bool pretty = false;      ///< JSON with line breaks
  bool statistics = false;  ///< -s: all counters, exactly
  std::string socket = "/run/xebec/xebec.sock";
  double timeout_s = 10;
};

/// What `explain` is asked.
struct ExplainArguments {
  std::string source;       ///< SRC:PORT
  std::string destination;  ///< VIP:PORT/PROTO
  std::string config;       ///< a file; empty: the daemon is asked
  std::string capture;
  std::string write;  ///< file for what leaves; empty: none
  uint32_t mtu = 0;   ///< of the egress interface, without a daemon; 0: not given
};

/// What `stats` is asked.
struct StatsArguments {
  std::string service;  ///< empty: all
  std::string by;       ///< "", "backend", "worker" or "drop-reason"
  bool rate = false;    ///< a second's increase instead of the sum since start
  double every_s = 0;   ///< again and again; 0: once
  uint64_t count = 0;   ///< so often; 0: without end
};

/// The exit code of a verb that has done what it was asked; most say 0, `status` says 1 for degraded.
using VerbResult = tl::expected<int, CliError>;

/// What a service leaves open of a flow: empty where it does not.
struct WhichFlow {
  std::string port, destination, protocol;
};

/// What `backend drain` and `backend delete` are told.
struct DrainArguments {
  std::string service;
  std::vector<std::string> addresses;
  std::string deadline;  ///< "60s"; empty: none
  bool wait = false;
  bool then_delete = false;
  bool now = false;  ///< delete without a drain
};

/// Which flows. Empty: all.
struct FlowArguments {
  std::string service, source, backend;
  std::size_t limit = 100;
  bool all = false;  ///< flush really everything
};

/// What `config apply` is told beside the file.
struct ApplyArguments {
  bool dry_run = false;
  std::string confirm_within{};  ///< "60s"; empty: it stays
  std::string match{};           ///< tag of the configuration that FILE was made from; empty: any
};

class Verbs {
 public:
  explicit Verbs(CliOptions options);

  VerbResult status() const;
  VerbResult list_services() const;
  VerbResult show_service(const std::string& name) const;
  /// `endpoint`: VIP:PORT/PROTO. `settings`: KEY=VALUE each.
  VerbResult add_service(const std::string& name, const std::string& endpoint,
                         const std::vector<std::string>& settings) const;
  VerbResult set_service(const std::string& name, const std::vector<std::string>& settings) const;
  VerbResult delete_service(const std::string& name) const;
  VerbResult which(const std::string& service, const std::string& source, const WhichFlow& flow) const;
  /// `service`: empty for all.
  VerbResult list_backends(const std::string& service) const;
  VerbResult add_backend(const std::string& service, const std::string& address,
                         const std::vector<std::string>& settings) const;
  VerbResult set_backend(const std::string& service, const std::string& address,
                         const std::vector<std::string>& settings) const;
  // control/cli_backend.cc
  VerbResult drain_backends(const DrainArguments& arguments) const;
  VerbResult set_admin(const std::string& service, const std::string& address,
                       const std::string& admin) const;
  /// One check now, and its result; exit code 1 if it is not good.
  VerbResult check_backend(const std::string& service, const std::string& address) const;
  VerbResult list_health(const std::string& service) const;
  /// `service` and `address` empty: of all.
  VerbResult health_history(const std::string& service, const std::string& address) const;
  VerbResult list_interfaces() const;
  VerbResult list_workers() const;
  // control/cli_flow.cc
  VerbResult list_flows(const FlowArguments& arguments) const;
  VerbResult count_flows(const FlowArguments& arguments) const;
  VerbResult flush_flows(const FlowArguments& arguments) const;
  /// control/cli_stats.cc
  VerbResult stats(const StatsArguments& arguments) const;
  /// Needs no daemon. "-" is standard input.
  VerbResult check_config(const std::string& file) const;
  /// control/cli_config.cc
  VerbResult show_config() const;
  VerbResult apply_config(const std::string& file, const ApplyArguments& arguments) const;
  VerbResult confirm_config() const;
  /// `generation`: empty for the one before.
  VerbResult rollback_config(const std::string& generation, bool dry_run) const;
  VerbResult config_history() const;
  VerbResult save_config(bool force) const;
  /// Needs no daemon.
  VerbResult show_schema() const;
  VerbResult reload() const;
  /// control/cli_explain.cc
  VerbResult explain(const ExplainArguments& arguments) const;

 private:
  using Renderer = std::function<tl::expected<std::string, CliError>(const CliJson&, RenderOptions)>;
  VerbResult show(const std::string& path, const std::string& schema, const Renderer& render) const;
  tl::expected<Answer, CliError> fetch(const std::string& path, const std::string& schema) const;
  VerbResult print_rendered(const Answer& answer, const Renderer& render) const;
  RenderOptions render_options() const;
  VerbResult show_explanation(const CliJson& json, const std::string& body) const;
  VerbResult explain_offline(const ExplainArguments& arguments) const;
  VerbResult explain_capture(const ExplainArguments& arguments, const Config& config,
                             const OfflineNetwork& network, const Table& table, uint64_t start_ns) const;
  void print_packet(const PacketExplanation& packet) const;
  static std::string backend_path(const std::string& service, const std::string& address);
  VerbResult wait_for_drain(const std::string& service, const std::vector<std::string>& names) const;
  VerbResult change(const std::string& method, const std::string& path, const std::string& body,
                    const std::string& tag = {}) const;
  VerbResult report_change(const Answer& answer) const;
  void print(const Answer& answer, const std::string& text) const;

  CliOptions options_;
  Client client_;
  bool colour_ = false;
};

}  // namespace xebec
