// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_doctor.h"

#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "control/cli_client.h"
#include "control/cli_file.h"
#include "control/cli_render.h"
#include "control/cli_table.h"
#include "control/config_reader.h"
#include "control/daemon_process.h"
#include "control/doctor_host.h"

namespace xebec {
namespace {

constexpr std::chrono::milliseconds kPause{50};  // the daemon's answers do not wait for results

struct Row {
  std::string about;  ///< "host" or "backend"
  std::string level, text, mend;
};

std::string text_at(const CliJson& object, const char* key) {
  const CliJson& value = value_at(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

/// The daemon's configuration, or the file's.
tl::expected<Config, CliError> config_of(const Client& client, const DoctorArguments& arguments) {
  if (!arguments.config.empty()) return read_config_file(arguments.config);
  const auto answer = client.request("GET", "/v1/config");
  if (!answer) return tl::unexpected(answer.error());
  auto config = read_config(value_at(answer->json, "config").dump(), "(daemon)");
  if (!config)
    return tl::unexpected(CliError{"failed", "the daemon's configuration: is not understood",
                                   "xebec and xebecd are of different versions?"});
  return std::move(*config);
}

tl::expected<void, CliError> ask_daemon(const Client& client, const CliOptions& options,
                                        const std::string& service, std::vector<Row>& rows) {
  const std::string query = service.empty() ? "" : "?service=" + percent_encode(service);
  auto answer = client.request("POST", "/v1/doctor" + query, "");
  if (!answer) return tl::unexpected(answer.error());
  const std::string path = "/v1/doctor/" + value_at(answer->json, "doctor").dump();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(options.timeout_s);
  while (value_at(answer->json, "done") != true) {
    if (std::chrono::steady_clock::now() > deadline)
      return tl::unexpected(CliError{"timeout", "doctor: the backends' examination has no result yet",
                                     "--timeout SECONDS waits longer"});
    std::this_thread::sleep_for(kPause);
    answer = client.request("GET", path);
    if (!answer) return tl::unexpected(answer.error());
  }
  const CliJson& findings = value_at(answer->json, "findings");
  for (const CliJson& f : findings.is_array() ? findings : CliJson::array())
    rows.push_back({"backend", text_at(f, "level"), text_at(f, "text"), text_at(f, "mend")});
  return {};
}

/// The machine is examined from here: that is not the daemon's, if its network is another.
bool is_elsewhere(const std::string& socket) {
  const auto found = DaemonProcess::find(socket);
  return found && *found && !(*found)->shares_our_network();
}

void print_rows(const CliOptions& options, const std::vector<Row>& rows) {
  if (options.output == Output::json) {
    CliJson list = CliJson::array();
    for (const Row& r : rows)
      list.push_back({{"level", r.level}, {"about", r.about}, {"text", r.text}, {"mend", r.mend}});
    const CliJson result = {{"schema", "xebec.doctor/1"}, {"findings", list}};
    fmt::print("{}\n", result.dump(options.pretty ? 2 : -1, ' ', false, CliJson::error_handler_t::replace));
    return;
  }
  if (options.output == Output::tsv) fmt::print("level\tabout\ttext\tmend\n");
  for (const Row& r : rows) {
    if (options.output == Output::tsv) {
      fmt::print("{}\t{}\t{}\t{}\n", r.level, r.about, printable(r.text), printable(r.mend));
    } else {
      fmt::print("{:<5} {}\n", r.level, printable(r.text));
      if (!r.mend.empty()) fmt::print("      mend: {}\n", printable(r.mend));
    }
  }
}

}  // namespace

CLI::App* add_doctor_verb(CLI::App& app, DoctorArguments& a) {
  CLI::App* verb = app.add_subcommand(
      "doctor", "Examine the machine and the backends; exit code 1 if something is to be mended");
  verb->add_option("SVC", a.service, "only the backends of this service");
  verb->add_option("--config", a.config, "only the machine, by this file; needs no daemon");
  verb->add_option("-i,--interface", a.interfaces,
                   "only the machine and this interface, if no file names one");
  return verb;
}

VerbResult examine(const CliOptions& options, const DoctorArguments& arguments) {
  const Client client(options.socket, options.timeout_s);
  const bool offline = !arguments.config.empty() || !arguments.interfaces.empty();
  Config config;
  if (!offline || !arguments.config.empty()) {
    auto read = config_of(client, arguments);
    if (!read) return tl::unexpected(read.error());
    config = std::move(*read);
  }
  if (!arguments.interfaces.empty()) config.interfaces.clear();
  for (const std::string& name : arguments.interfaces) {
    InterfaceConfig interface;
    interface.name = name;
    config.interfaces.push_back(std::move(interface));
  }
  constexpr const char* kLevels[] = {"ok", "warn", "fail"};
  std::vector<Row> rows;
  if (!offline && is_elsewhere(options.socket)) {
    rows.push_back(
        {"host", kLevels[1],
         "xebecd runs in another network namespace: what follows of interfaces is about this one's",
         "ip netns exec NAME xebec doctor"});
  }
  for (const Finding& f : examine_host(config))
    rows.push_back({"host", kLevels[static_cast<std::size_t>(f.level)], f.text, f.mend});
  if (!offline) {
    if (const auto asked = ask_daemon(client, options, arguments.service, rows); !asked)
      return tl::unexpected(asked.error());
  }
  print_rows(options, rows);
  for (const Row& r : rows) {
    if (r.level == "fail") return 1;
  }
  return 0;
}

}  // namespace xebec
