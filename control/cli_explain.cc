// SPDX-License-Identifier: BSD-2-Clause
// The verb `explain`: a tuple asked of the daemon, or a tuple or a capture of a file.
#include <filesystem>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "control/cli_file.h"
#include "control/cli_render.h"
#include "control/cli_verbs.h"
#include "control/explain.h"
#include "control/explain_capture.h"
#include "control/offline_network.h"

namespace xebec {
namespace {

/// The clock of a world without one: not 0, which stands for "never" in places.
constexpr uint64_t kStartNs = 1'000'000'000;

/// Where the configuration has no "local_mac", frames to any address are taken to be for the host.
constexpr MacAddress kAnyOwnMac{{0x02, 0, 0, 0, 0, 0x01}};

constexpr const char* kHint = "xebec explain --help";

tl::unexpected<CliError> usage(std::string message, std::string hint = kHint) {
  return tl::unexpected(CliError{"usage", std::move(message), std::move(hint)});
}
tl::unexpected<CliError> failed(std::string message) {
  return tl::unexpected(CliError{"failed", std::move(message), ""});
}

/// What contradicts itself is refused before anything is read.
tl::expected<void, CliError> check(const ExplainArguments& arguments) {
  const bool capture = !arguments.capture.empty();
  const bool offline = !arguments.config.empty();
  if (capture && !arguments.source.empty())
    return usage("explain: either SRC:PORT VIP:PORT/PROTO or --pcap, not both");
  if (!capture && arguments.source.empty())
    return usage("explain: needs SRC:PORT VIP:PORT/PROTO, or --config FILE --pcap FILE");
  if (!capture && arguments.destination.empty())
    return usage(fmt::format("explain: {}: needs a destination behind it, VIP:PORT/PROTO", arguments.source));
  if (capture && !offline)
    return usage("explain: --pcap: needs --config", "a capture is explained without the daemon");
  if (arguments.mtu != 0 && !offline)
    return usage("explain: --mtu: needs --config", "the daemon knows the MTU of its interfaces");
  if (!arguments.write.empty() && !capture) return usage("explain: --write: needs --pcap");
  if (arguments.write == "-")
    return usage("explain: --write -: standard output has the explanations", "name a file");
  if (capture && arguments.capture == "-" && arguments.config == "-")
    return usage("explain: --config - --pcap -: there is only one standard input");
  return {};
}

/// What is read is not written over.
tl::expected<void, CliError> check_output(const ExplainArguments& arguments, const CaptureReader& reader) {
  std::error_code none;
  const char* what = nullptr;
  if (reader.is_same_file(arguments.write)) what = "is the capture that is read";
  const std::string config = arguments.config == "-" ? "/dev/stdin" : arguments.config;
  if (std::filesystem::equivalent(config, arguments.write, none)) what = "is the configuration";
  if (what == nullptr) return {};
  return usage(fmt::format("explain: --write {}: {}", arguments.write, what), "name another file");
}

}  // namespace

/// Exit code 6 where no service matches: the answer is still a result.
VerbResult Verbs::show_explanation(const CliJson& json, const std::string& body) const {
  const bool tsv = options_.output == Output::tsv;
  print(Answer{body, json}, options_.output == Output::json ? "" : render_explain(json, {tsv, colour_}));
  return value_at(json, "service").is_null() ? exit_code_of("not_found") : 0;
}

VerbResult Verbs::explain(const ExplainArguments& arguments) const {
  if (const auto good = check(arguments); !good) return tl::unexpected(good.error());
  if (!arguments.source.empty()) {
    const auto tuple = parse_tuple(arguments.source, arguments.destination);
    if (!tuple) return usage(tuple.error());
  }
  if (!arguments.config.empty()) return explain_offline(arguments);
  const auto answer = client_.request("GET", "/v1/explain?src=" + percent_encode(arguments.source) +
                                                 "&dst=" + percent_encode(arguments.destination));
  if (!answer) return tl::unexpected(answer.error());
  if (const CliJson& got = value_at(answer->json, "schema"); got != "xebec.explain/1") {
    return tl::unexpected(CliError{"failed",
                                   fmt::format("the daemon's answer: is {}, not xebec.explain/1", got.dump()),
                                   "xebec and xebecd are of different versions?"});
  }
  return show_explanation(answer->json, answer->body);
}

VerbResult Verbs::explain_offline(const ExplainArguments& arguments) const {
  const auto config = read_config_file(arguments.config);
  if (!config) return tl::unexpected(config.error());
  const OfflineNetwork network(*config, arguments.mtu != 0 ? arguments.mtu : kOfflineMtu);
  TableBuilder builder(config->hash_seed.value_or(std::array<uint8_t, 16>{}));
  const auto table = builder.build(*config, network.view(), kStartNs);
  if (!table) return failed(fmt::format("{}: {}", shown_name(arguments.config), table.error()));
  for (const std::string& note : network.notes(**table)) narrate("xebec: note: " + note);
  if (!arguments.capture.empty()) return explain_capture(arguments, *config, network, **table, kStartNs);

  const ExplainWorld world{*config,   **table,
                           builder,   [&](uint16_t index) { return network.interface_name(index); },
                           "made-up", kStartNs};
  const CliJson json = explain_tuple(world, parse_tuple(arguments.source, arguments.destination).value());
  return show_explanation(json, json.dump(-1, ' ', false, CliJson::error_handler_t::replace));
}

void Verbs::print_packet(const PacketExplanation& packet) const {
  const CliJson json = packet.json();
  if (options_.output == Output::json) {
    fmt::print("{}\n", json.dump(options_.pretty ? 2 : -1, ' ', false, CliJson::error_handler_t::replace));
  } else {
    fmt::print("{}", render_packet(json, {options_.output == Output::tsv, colour_}));
  }
}

VerbResult Verbs::explain_capture(const ExplainArguments& arguments, const Config& config,
                                  const OfflineNetwork& network, const Table& table,
                                  uint64_t start_ns) const {
  const std::vector<MacAddress> own = network.local_macs();
  auto reader = CaptureReader::open(arguments.capture, own.empty() ? kAnyOwnMac : own.front());
  if (!reader) return failed(reader.error());
  if (const CaptureLink& link = reader->link(); !link.is_ethernet())
    narrate(fmt::format("xebec: note: the capture's link type is {}: {}", link.name(),
                        link.is_known() ? "packets that came in get a made-up Ethernet header"
                                        : "not a network that a shim is on, so that every packet passes"));
  std::optional<CaptureWriter> writer;
  if (!arguments.write.empty()) {
    if (const auto safe = check_output(arguments, *reader); !safe) return tl::unexpected(safe.error());
    auto created = CaptureWriter::create(arguments.write, reader->microseconds());
    if (!created) return failed(created.error());
    writer = std::move(*created);
  }
  CaptureExplainer explainer(
      table, config.flows, config.nat.table,
      ShimView(table, network.local_macs(), reply_rules_of(table, config.nat.table, {})), start_ns);
  if (options_.output == Output::tsv) fmt::print("{}", packet_title());

  std::string fault, write_fault;  // without the output every packet is explained all the same
  const auto show = [&](const PacketExplanation& explanation) {
    print_packet(explanation);
    if (!writer || explanation.out.empty() || !write_fault.empty()) return;
    const auto write = [&](const std::vector<uint8_t>& out) {
      const CapturedPacket sent{out, static_cast<uint32_t>(out.size()), explanation.seconds,
                                explanation.nanoseconds};
      if (const auto written = writer->write(sent); !written) write_fault = written.error();
    };
    write(explanation.out);
    for (const std::vector<uint8_t>& piece : explanation.more_out) write(piece);
  };
  while (fault.empty()) {
    auto packet = reader->next();
    if (!packet) fault = packet.error();
    if (!packet || !*packet) break;
    for (const PacketExplanation& explanation : explainer.take(**packet)) show(explanation);
  }
  for (const PacketExplanation& explanation : explainer.finish()) show(explanation);
  if (writer && write_fault.empty()) {
    if (const auto written = writer->finish(); !written) write_fault = written.error();
  }
  narrate("xebec: " + explainer.totals().summary());
  if (reader->ended_early()) narrate("xebec: note: the capture ends in the middle of a packet");
  if (fault.empty()) fault = write_fault;
  if (!fault.empty()) return failed(fault);
  return 0;
}

}  // namespace xebec
