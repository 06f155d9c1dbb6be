// SPDX-License-Identifier: BSD-2-Clause
// What each verb of the tool does: the request it makes and the answer it shows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "control/cli_client.h"
#include "control/cli_error.h"

namespace xebec {

class OfflineNetwork;
class Table;
struct Config;
struct PacketExplanation;

enum class Output : uint8_t { table, json, tsv };

struct CliOptions {
  Output output = Output::table;
  bool pretty = false;  ///< JSON with line breaks
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

/// The exit code of a verb that has done what it was asked; most say 0, `status` says 1 for degraded.
using VerbResult = tl::expected<int, CliError>;

/// What a service leaves open of a flow: empty where it does not.
struct WhichFlow {
  std::string port, destination, protocol;
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
  VerbResult delete_service(const std::string& name) const;
  VerbResult which(const std::string& service, const std::string& source, const WhichFlow& flow) const;
  /// `service`: empty for all.
  VerbResult list_backends(const std::string& service) const;
  VerbResult add_backend(const std::string& service, const std::string& address,
                         const std::vector<std::string>& settings) const;
  VerbResult set_backend(const std::string& service, const std::string& address,
                         const std::vector<std::string>& settings) const;
  VerbResult delete_backend(const std::string& service, const std::string& address) const;
  /// One check now, and its result; exit code 1 if it is not good.
  VerbResult check_backend(const std::string& service, const std::string& address) const;
  VerbResult list_health(const std::string& service) const;
  /// `service` and `address` empty: of all.
  VerbResult health_history(const std::string& service, const std::string& address) const;
  VerbResult list_interfaces() const;
  VerbResult list_workers() const;
  /// `service`: empty for all. `by`: "", "backend", "worker" or "drop-reason".
  VerbResult stats(const std::string& service, const std::string& by) const;
  /// Needs no daemon. "-" is standard input.
  VerbResult check_config(const std::string& file) const;
  VerbResult show_config() const;
  VerbResult apply_config(const std::string& file, bool dry_run) const;
  VerbResult reload() const;
  /// control/cli_explain.cc
  VerbResult explain(const ExplainArguments& arguments) const;

 private:
  template <typename Render>
  VerbResult show(const std::string& path, const std::string& schema, Render&& render) const;
  VerbResult show_explanation(const CliJson& json, const std::string& body) const;
  VerbResult explain_offline(const ExplainArguments& arguments) const;
  VerbResult explain_capture(const ExplainArguments& arguments, const Config& config,
                             const OfflineNetwork& network, const Table& table, uint64_t start_ns) const;
  void print_packet(const PacketExplanation& packet) const;
  VerbResult change(const std::string& method, const std::string& path, const std::string& body) const;
  VerbResult report_change(const Answer& answer) const;
  void print(const Answer& answer, const std::string& text) const;

  CliOptions options_;
  Client client_;
  bool colour_ = false;
};

}  // namespace xebec
