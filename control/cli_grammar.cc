// SPDX-License-Identifier: BSD-2-Clause
// The grammar, for CLI11.
#include "control/cli_grammar.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <curl/curl.h>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "control/cli_capture.h"
#include "control/cli_completion.h"
#include "control/cli_daemon_grammar.h"
#include "control/cli_doctor.h"
#include "control/cli_error.h"
#include "control/cli_monitor.h"
#include "control/cli_top.h"
#include "control/cli_verbs.h"
#include "control/config_fields.h"
#include "control/grammar_json.h"

namespace xebec {
namespace {

/// What the command line sets, and the verb that it chose.
struct Line {
  CliOptions options;
  bool json = false;
  bool pretty = false;
  std::string output;
  std::string service, address, endpoint, source;
  StatsArguments stats;
  WhichFlow flow;
  std::string file = "/etc/xebec/xebec.json";
  std::vector<std::string> settings;
  ApplyArguments apply;
  DrainArguments drain;
  FlowArguments flows;
  std::string generation;
  bool force = false;
  bool arrow = false;  // only there to be read over
  ExplainArguments explain;
  DaemonArguments daemon;
  std::string shell;
  CaptureArguments capture;
  MonitorArguments monitor;
  TopArguments top;
  DoctorArguments doctor;
  std::function<VerbResult(const Verbs&)> verb;
};

using Action = std::function<VerbResult(const Verbs&)>;

CLI::App* add_verb(CLI::App* object, const std::string& name, const std::string& what,
                   std::initializer_list<const char*> aliases, Line& line, Action action) {
  CLI::App* verb = object->add_subcommand(name, what);
  for (const char* alias : aliases) verb->alias(alias);
  verb->callback([&line, action = std::move(action)] { line.verb = action; });
  return verb;
}

/// `xebec service` alone lists, as `ip link` does.
void list_by_default(CLI::App* object, Line& line, Action action) {
  object->require_subcommand(0, 1);
  object->final_callback([object, &line, action = std::move(action)] {
    if (object->get_subcommands().empty()) line.verb = action;
  });
}

void add_service_object(CLI::App& app, Line& line) {
  CLI::App* object = app.add_subcommand("service", "Virtual services");
  const Action list = [&line](const Verbs& verbs) {
    return line.service.empty() ? verbs.list_services() : verbs.show_service(line.service);
  };
  list_by_default(object, line, list);
  add_verb(object, "list", "All services, or NAME with its backends", {"show", "ls"}, line, list)
      ->add_option("NAME", line.service, "of a service");

  CLI::App* add = add_verb(object, "add", "Add a service", {}, line, [&line](const Verbs& verbs) {
    return verbs.add_service(line.service, line.endpoint, line.settings);
  });
  add->add_option("NAME", line.service, "of the new service")->required();
  add->add_option("VIP:PORT/PROTO", line.endpoint, "203.0.113.10:443/tcp, [2001:db8::/64]:8000-8099/udp")
      ->required();
  add->add_option(
      "KEY=VALUE", line.settings,
      "mode=dsr-l2|ipip|gue|gre|vxlan|dnat|nat "
      "algorithm=maglev|source-hash|maglev-bounded|rr|wrr|random|lc|wlc|p2c load_factor_percent=NUMBER "
      "slow_start_ms=MS drain_ms=MS weights=fixed|response-time weights_floor_percent=1..100 "
      "weights_move_percent=1..100 "
      "hash=5-tuple|source|source-destination "
      "table_size=PRIME stateless=true|false mss_clamp=auto|off|BYTES fragment=true|false "
      "client_address=none|toa|proxy-v2 allow=PREFIX,... deny=PREFIX,... fail=drop|reset|pass|open "
      "on_down=rehash|keep|reset "
      "backend=ADDR[:PORT],...");

  CLI::App* set = add_verb(object, "set", "Change a service", {}, line, [&line](const Verbs& verbs) {
    return verbs.set_service(line.service, line.settings);
  });
  set->add_option("NAME", line.service, "of a service")->required();
  set->add_option("KEY=VALUE", line.settings, "as for add; backend= replaces them all")->required();

  add_verb(object, "delete", "Delete a service and its backends", {"del", "rm"}, line,
           [&line](const Verbs& verbs) { return verbs.delete_service(line.service); })
      ->add_option("NAME", line.service, "of a service")
      ->required();

  CLI::App* which =
      add_verb(object, "which", "The backend that a flow gets by the lookup array", {}, line,
               [&line](const Verbs& verbs) { return verbs.which(line.service, line.source, line.flow); });
  which->add_option("NAME", line.service, "of a service")->required();
  which->add_option("--src", line.source, "ADDR:PORT of the client")->required();
  which->add_option("--dport", line.flow.port, "destination port, for a service of more than one");
  which->add_option("--dst", line.flow.destination, "destination address, for a service of a prefix");
  which->add_option("--protocol", line.flow.protocol, "tcp, udp or sctp, for a service of any protocol");
}

void add_drain_verbs(CLI::App* object, Line& line) {
  DrainArguments& drain = line.drain;
  const auto with_backends = [&drain](CLI::App* verb, const char* deadline) {
    verb->add_option("SVC", drain.service, "the service")->required();
    verb->add_option("ADDR", drain.addresses, "IP addresses of backends")->required();
    verb->add_flag("--wait", drain.wait, "until it is done, with the progress on stderr");
    verb->add_option("--deadline", drain.deadline, deadline);
    return verb;
  };
  with_backends(add_verb(object, "drain", "No new flows; those that are there go on until they end", {}, line,
                         [&drain](const Verbs& verbs) { return verbs.drain_backends(drain); }),
                "let go of what is left then (60s, 5m); without it flows may stay for ever");
  with_backends(
      add_verb(object, "delete", "Take a backend out of a service, once it is drained", {"del", "rm"}, line,
               [&drain](const Verbs& verbs) {
                 drain.then_delete = true;
                 if (drain.deadline.empty()) drain.deadline = "60s";
                 return verbs.drain_backends(drain);
               }),
      "of the drain; 60s if not given")
      ->add_flag("--now", drain.now, "without a drain: remembered flows move to other backends");
  for (const char* admin : {"ready", "maint"}) {
    const bool ready = admin == std::string_view("ready");
    CLI::App* verb = add_verb(
        object, admin, ready ? "Back to work" : "No packet at all, and no health check", {}, line,
        [&line, admin](const Verbs& verbs) { return verbs.set_admin(line.service, line.address, admin); });
    verb->add_option("SVC", line.service, "the service")->required();
    verb->add_option("ADDR", line.address, "the backend's IP address")->required();
  }
}

void add_backend_object(CLI::App& app, Line& line) {
  CLI::App* object = app.add_subcommand("backend", "Where a service's packets go");
  const Action list = [&line](const Verbs& verbs) { return verbs.list_backends(line.service); };
  list_by_default(object, line, list);
  add_verb(object, "list", "All backends, or those of SVC", {"show", "ls"}, line, list)
      ->add_option("SVC", line.service, "a service");

  const auto with_backend = [&line](CLI::App* verb) {
    verb->add_option("SVC", line.service, "the service")->required();
    verb->add_option("ADDR", line.address, "the backend's IP address")->required();
    return verb;
  };
  with_backend(add_verb(object, "add", "Add a backend to a service", {}, line,
                        [&line](const Verbs& verbs) {
                          return verbs.add_backend(line.service, line.address, line.settings);
                        }))
      ->add_option("KEY=VALUE", line.settings,
                   "weight=0..1000 admin=ready|drain|maint mode=dsr-l2|ipip|gue|gre|vxlan|dnat|nat "
                   "mac=aa:bb:cc:dd:ee:ff vlan=1..4094|keep|none port=PORT server_id=HEX");
  with_backend(add_verb(object, "set", "Change a backend", {}, line,
                        [&line](const Verbs& verbs) {
                          return verbs.set_backend(line.service, line.address, line.settings);
                        }))
      ->add_option("KEY=VALUE", line.settings, "weight=, admin=, mode=, mac=, vlan=, server_id= as for add")
      ->required();
  add_drain_verbs(object, line);
  with_backend(
      add_verb(object, "check", "Check a backend's health now; exit code 0 if it is good", {}, line,
               [&line](const Verbs& verbs) { return verbs.check_backend(line.service, line.address); }));
}

void add_health_object(CLI::App& app, Line& line) {
  CLI::App* object = app.add_subcommand("health", "Health checks");
  const Action list = [&line](const Verbs& verbs) { return verbs.list_health(line.service); };
  list_by_default(object, line, list);
  add_verb(object, "list", "All checks, or those of SVC", {"show", "ls"}, line, list)
      ->add_option("SVC", line.service, "a service");
  CLI::App* history =
      add_verb(object, "history", "When backends went down and came up, and why", {}, line,
               [&line](const Verbs& verbs) { return verbs.health_history(line.service, line.address); });
  history->add_option("SVC", line.service, "a service");
  history->add_option("ADDR", line.address, "a backend's IP address");
}

void add_config_object(CLI::App& app, Line& line) {
  CLI::App* object = app.add_subcommand("config", "The configuration");
  object->require_subcommand(1);
  add_verb(object, "check", "Check a file; needs no daemon", {}, line,
           [&line](const Verbs& verbs) { return verbs.check_config(line.file); })
      ->add_option("FILE", line.file, "a configuration; - is standard input")
      ->required();
  add_verb(object, "show", "The running configuration, without the hash seed", {"list", "ls"}, line,
           [](const Verbs& verbs) { return verbs.show_config(); });
  add_verb(object, "diff", "What applying FILE would change", {}, line,
           [&line](const Verbs& verbs) { return verbs.apply_config(line.file, {.dry_run = true}); })
      ->add_option("FILE", line.file, "a configuration; - is standard input")
      ->capture_default_str();
  CLI::App* apply =
      add_verb(object, "apply", "Make FILE the running configuration, all of it or nothing", {}, line,
               [&line](const Verbs& verbs) { return verbs.apply_config(line.file, line.apply); });
  apply->add_option("FILE", line.file, "a configuration; - is standard input")->required();
  apply->add_flag("--dry-run", line.apply.dry_run, "only say what would change, and what would move");
  apply->add_option("--confirm-within", line.apply.confirm_within,
                    "undo it by itself unless `config confirm` comes in this time (60s, 5m)");
  apply
      ->add_option("--if-match", line.apply.match,
                   "only if the configuration still has this tag (config show)")
      ->check([](const std::string& tag) { return tag.empty() ? std::string("is empty") : std::string(); });
  add_verb(object, "confirm", "The change applied with --confirm-within stays", {}, line,
           [](const Verbs& verbs) { return verbs.confirm_config(); });
  CLI::App* rollback = add_verb(
      object, "rollback", "Back to the configuration before the last change, or to that of GENERATION", {},
      line,
      [&line](const Verbs& verbs) { return verbs.rollback_config(line.generation, line.apply.dry_run); });
  rollback->add_option("GENERATION", line.generation, "as config history counts them");
  rollback->add_flag("--dry-run", line.apply.dry_run, "only say what would change");
  add_verb(object, "history", "Past configurations: when, by whom, what", {}, line,
           [](const Verbs& verbs) { return verbs.config_history(); });
  add_verb(object, "save", "Write the running configuration into the daemon's file", {}, line,
           [&line](const Verbs& verbs) { return verbs.save_config(line.force); })
      ->add_flag("--force", line.force, "although the file was changed since the daemon read it");
  add_verb(object, "schema", "The JSON Schema of a configuration; needs no daemon", {}, line,
           [](const Verbs& verbs) { return verbs.show_schema(); });
}

void add_flow_object(CLI::App& app, Line& line) {
  CLI::App* object = app.add_subcommand("flow", "What the workers remember of connections");
  const FlowArguments& flows = line.flows;
  const Action list = [&flows](const Verbs& verbs) { return verbs.list_flows(flows); };
  list_by_default(object, line, list);
  const auto with_filters = [&line](CLI::App* verb) {
    verb->add_option("--service", line.flows.service, "of this service");
    verb->add_option("--src", line.flows.source, "of clients in this prefix");
    verb->add_option("--backend", line.flows.backend, "of this backend");
    return verb;
  };
  with_filters(add_verb(object, "list", "Flows, in no order", {"show", "ls"}, line, list))
      ->add_option("--limit", line.flows.limit, "at most so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000'000));
  with_filters(add_verb(object, "count", "How many", {}, line,
                        [&flows](const Verbs& verbs) { return verbs.count_flows(flows); }));
  with_filters(add_verb(object, "flush", "Forget them: their next packets are placed anew", {}, line,
                        [&flows](const Verbs& verbs) { return verbs.flush_flows(flows); }))
      ->add_flag("--all", line.flows.all, "needed without a filter");
}

void add_explain(CLI::App& app, Line& line) {
  CLI::App* verb = add_verb(&app, "explain", "What becomes of a flow or of the packets of a capture, and why",
                            {}, line, [&line](const Verbs& verbs) { return verbs.explain(line.explain); });
  verb->add_option("SRC:PORT", line.explain.source, "10.0.0.1:5555, [2001:db8::7]:5555");
  verb->add_option("VIP:PORT/PROTO", line.explain.destination, "203.0.113.10:443/tcp, [2001:db8::1]:53/udp");
  // A word that begins with '-' is an option to the parser.
  verb->add_flag("->", line.arrow, "may stand between the two");
  verb->add_option("--config", line.explain.config,
                   "ask this file instead of the daemon; - is standard input");
  verb->add_option("--pcap", line.explain.capture,
                   "explain each packet of this capture; - is standard input");
  verb->add_option("--write", line.explain.write, "write what leaves to this capture");
  verb->add_option("--mtu", line.explain.mtu, "of the egress interface, with --config (default 1500)")
      ->check(CLI::Range(68, 65535));  // RFC 791: the smallest every host forwards
}

void add_other_objects(CLI::App& app, Line& line) {
  add_verb(&app, "status", "One screen: is all well? Exit code 0 healthy, 1 degraded", {}, line,
           [](const Verbs& verbs) { return verbs.status(); });

  const Action interfaces = [](const Verbs& verbs) { return verbs.list_interfaces(); };
  CLI::App* interface = app.add_subcommand("interface", "Network interfaces and their queues");
  list_by_default(interface, line, interfaces);
  add_verb(interface, "list", "All interfaces", {"show", "ls"}, line, interfaces);

  const Action workers = [](const Verbs& verbs) { return verbs.list_workers(); };
  CLI::App* worker = app.add_subcommand("worker", "The threads that forward");
  list_by_default(worker, line, workers);
  add_verb(worker, "list", "All workers", {"show", "ls"}, line, workers);

  CLI::App* stats = add_verb(&app, "stats", "Counters since start, or what a second brings", {}, line,
                             [&line](const Verbs& verbs) { return verbs.stats(line.stats); });
  stats->add_option("SVC", line.stats.service, "a service: its backends' counters");
  stats->add_option("--by", line.stats.by, "one row for each")
      ->check(CLI::IsMember({"backend", "worker", "drop-reason"}));
  stats->add_flag("--rate", line.stats.rate, "the increase a second, measured over one or over -w");
  stats->add_option("-w,--watch", line.stats.every_s, "again every so many seconds, until Ctrl-C")
      ->check(CLI::Range(0.1, 86400.0));
  stats->add_option("--count", line.stats.count, "with -w: so often")->check(CLI::Range(1, 1000000000));

  add_verb(&app, "reload", "Have the daemon read its files again", {}, line,
           [](const Verbs& verbs) { return verbs.reload(); });
}

void add_completion(CLI::App& app, Line& line) {
  add_verb(&app, "completion", "Print the completion for a shell", {}, line,
           [&line](const Verbs&) -> VerbResult {
             fmt::print("{}", completion_script(line.shell));
             return 0;
           })
      ->add_option("SHELL", line.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  // For the making of the manual (docs/man).
  add_verb(&app, "grammar", "The command line's grammar as JSON", {}, line,
           [&app](const Verbs&) -> VerbResult {
             fmt::print("{}\n", grammar_json(app).dump(2));
             return 0;
           })
      ->group("");
}

/// What goes on until it is told to end.
void add_watching(CLI::App& app, Line& line) {
  add_capture_verb(app, line.capture)->callback([&line] {
    line.verb = [&line](const Verbs&) { return capture(line.options, line.capture); };
  });
  add_monitor_verb(app, line.monitor)->callback([&line] {
    line.verb = [&line](const Verbs&) { return monitor(line.options, line.monitor); };
  });
  add_top_verb(app, line.top)->callback([&line] {
    line.verb = [&line](const Verbs&) { return top(line.options, line.top); };
  });
  add_doctor_verb(app, line.doctor)->callback([&line] {
    line.verb = [&line](const Verbs&) { return examine(line.options, line.doctor); };
  });
}

void add_options(CLI::App& app, Line& line) {
  app.add_flag("-j,--json", line.json, "JSON: the daemon's answer as it came");
  app.add_flag("-p,--pretty", line.pretty, "JSON with line breaks");
  app.add_flag("-s,--statistics", line.options.statistics, "tables with all counters, exactly");
  app.add_option("-o,--output", line.output, "form of the output")
      ->check(CLI::IsMember({"table", "json", "tsv"}));
  app.add_option("--socket", line.options.socket, "the daemon's socket")
      ->capture_default_str()
      ->envname("XEBEC_SOCKET");
  app.add_option("--timeout", line.options.timeout_s, "seconds to wait for the daemon")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 3600.0));
  app.set_version_flag("--version", "xebec " XEBEC_VERSION);
}

/// -j and -p may be asked for on a line that does not parse: its error is JSON all the same.
bool asks_for_json(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "-j" || argument == "-p" || argument == "--json" || argument == "--pretty") return true;
    const bool output = argument == "-o" || argument == "--output";
    if (argument == "-ojson" || argument == "--output=json" ||
        (output && i + 1 < argc && argv[i + 1] == std::string_view("json"))) {
      return true;
    }
  }
  return false;
}

/// The innermost object or verb that was understood.
const CLI::App* innermost(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return at;
}

CliError usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = innermost(app);
  std::string path;  // as typed: "xebec service add"
  for (const CLI::App* step = at; step != nullptr; step = step->get_parent()) {
    path = path.empty() ? step->get_name() : step->get_name() + " " + path;
  }
  const std::string what = at == &app ? "command line" : path.substr(app.get_name().size() + 1);
  std::vector<std::string> names;
  const auto shown = [](const CLI::App* verb) { return !verb->get_group().empty(); };
  for (const CLI::App* verb : at->get_subcommands(shown)) {
    names.push_back(verb->get_name());
  }
  const std::string help = fmt::format("{} --help", path);
  const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
  if (!extras.empty()) {
    const std::string_view guess = nearest(extras.front(), {names.begin(), names.end()});
    return {"usage", fmt::format("{}: \"{}\" is not expected here", what, extras.front()),
            guess.empty() ? help : fmt::format("did you mean \"{}\"?", guess)};
  }
  if (!names.empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    return {"usage", fmt::format("{}: needs one of: {}", what, fmt::join(names, ", ")), help};
  }
  return {"usage", fmt::format("{}: {}", what, error.what()), help};
}

/// Which form -j, -p and -o ask for together.
tl::expected<void, CliError> settle_output(Line& line) {
  const bool json = line.json || line.pretty;
  if (json && !line.output.empty() && line.output != "json") {
    return tl::unexpected(
        CliError{"usage", "-o " + line.output + ": contradicts -j or -p", "leave one of them out"});
  }
  line.options.pretty = line.pretty;
  if (json || line.output == "json") line.options.output = Output::json;
  if (line.output == "tsv") line.options.output = Output::tsv;
  return {};
}

int fail(const CliError& error, bool json) {
  std::fflush(stdout);
  print_error(error, json);
  return exit_code_of(error.code);
}

/// A full disk or a closed descriptor shows only here.
int finish(int code, bool json) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  return fail({"failed", fmt::format("write to standard output: {}", std::strerror(errno)), ""}, json);
}

}  // namespace

int run_cli(int argc, const char* const* argv) {
  Line line;
  CLI::App app("Look at and change a running xebecd, the layer-4 load balancer.", "xebec");
  app.footer(
      "Exit codes: 0 ok, 1 failed (status: degraded), 2 usage, 3 configuration, 4 no daemon, 5 permission,\n"
      "6 not found or conflict, 7 timeout.");
  app.require_subcommand(1);
  app.fallthrough();  // inherited: global options may stand behind the verb
  add_options(app, line);
  add_other_objects(app, line);
  add_service_object(app, line);
  add_backend_object(app, line);
  add_health_object(app, line);
  add_flow_object(app, line);
  add_config_object(app, line);
  add_explain(app, line);
  add_daemon_verbs(app, line.options, line.daemon, line.verb);
  add_completion(app, line);
  add_watching(app, line);

  if (argc > 2 && argv[1] == std::string_view(kCompleteWord)) {
    curl_global_init(CURL_GLOBAL_NOTHING);
    const char* socket = std::getenv("XEBEC_SOCKET");
    print_completion(app, argc, argv, socket != nullptr ? socket : line.options.socket);
    curl_global_cleanup();
    return 0;
  }
  const bool json = asks_for_json(argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    app.exit(asked);
    return finish(0, json);
  } catch (const CLI::ParseError& error) {
    return fail(usage_error(app, error), json);
  }
  if (const auto settled = settle_output(line); !settled) return fail(settled.error(), json);
  if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
    return fail({"failed", "libcurl: cannot be initialised", ""}, json);
  const VerbResult result = line.verb(Verbs(line.options));
  curl_global_cleanup();
  return result ? finish(*result, json) : fail(result.error(), json);
}

}  // namespace xebec
