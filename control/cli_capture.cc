// SPDX-License-Identifier: BSD-2-Clause
#include "control/cli_capture.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "control/cli_client.h"
#include "control/cli_render.h"
#include "control/cli_stop.h"
#include "control/pcapng.h"

namespace xebec {
namespace {

using Clock = std::chrono::steady_clock;
// A worker's ring holds 700 full-size packets; so often they are taken out, and at once if there were many.
constexpr std::chrono::milliseconds kPause{50};
constexpr std::size_t kManyBytes = 256 * 1024;

CliError wrong_option(std::string message, std::string hint = {}) {
  return {"usage", "capture: " + message, std::move(hint)};
}

/// "10" and "1/10" are one packet in ten.
tl::expected<uint32_t, CliError> parse_sample(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with("1/")) digits.remove_prefix(2);
  uint32_t n = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (error == std::errc() && end == digits.data() + digits.size() && n != 0) return n;
  return tl::unexpected(wrong_option(fmt::format("--sample {}: is not 1/N", text), "--sample 1/100"));
}

tl::expected<CliJson, CliError> body_of(const CaptureArguments& a) {
  const auto sample = parse_sample(a.sample);
  if (!sample) return tl::unexpected(sample.error());
  CliJson body = CliJson::object();
  if (!a.reasons.empty()) body["reasons"] = a.reasons;
  if (!a.service.empty()) body["service"] = a.service;
  if (!a.backend.empty()) body["backend"] = a.backend;
  if (*sample != 1) body["sample"] = *sample;
  if (a.snaplen != 0) body["snaplen"] = a.snaplen;
  if (a.count != 0) body["count"] = a.count;
  if (a.sent) body["sent"] = true;
  return body;
}

struct Close {
  void operator()(std::FILE* file) const {
    if (file != stdout) static_cast<void>(std::fclose(file));
  }
};
using File = std::unique_ptr<std::FILE, Close>;

tl::expected<File, CliError> open_file(const std::string& name) {
  if (name == "-") {
    if (isatty(STDOUT_FILENO) == 0) return File(stdout);
    return tl::unexpected(
        wrong_option("-w -: standard output is a terminal", "xebec capture -w - | tshark -r -"));
  }
  File file(std::fopen(name.c_str(), "abe"));  // what is in it stays until the daemon has said yes
  if (file) return file;
  return tl::unexpected(CliError{"failed", fmt::format("{}: {}", name, std::strerror(errno)), ""});
}

/// What the daemon says until it is over, into the file.
class Capturing {
 public:
  Capturing(const CliOptions& options, const CaptureArguments& arguments, File file)
      : options_(options),
        arguments_(arguments),
        client_(options.socket, options.timeout_s),
        file_(std::move(file)) {}

  VerbResult run(const CliJson& body) {
    const auto started = client_.request("POST", "/v1/captures", body.dump());
    if (!started) return tl::unexpected(started.error());
    if (file_.get() != stdout)
      static_cast<void>(ftruncate(fileno(file_.get()), 0));  // a pipe has nothing to lose
    path_ = "/v1/captures/" + value_at(started->json, "capture").dump();
    if (options_.output != Output::json && isatty(STDERR_FILENO) == 1)
      narrate("capturing to " + arguments_.file + "; Ctrl-C ends it");
    if (auto r = follow(); !r) {
      (void)client_.request_raw("DELETE", path_, {});  // if it is still there
      return tl::unexpected(r.error());
    }
    return tell();
  }

 private:
  tl::expected<void, CliError> follow() {
    const StopSignals stop;
    const auto deadline = Clock::now() + std::chrono::duration<double>(arguments_.seconds);
    while (!totals_.ended) {
      const bool over = stop.seen() || (arguments_.seconds > 0 && Clock::now() >= deadline);
      const auto blocks =
          over ? client_.request_raw("DELETE", path_, {}) : client_.request_raw("POST", path_ + "/read", {});
      if (!blocks) return tl::unexpected(blocks.error());
      if (auto r = write(*blocks); !r) return r;
      if (!totals_.ended && blocks->size() < kManyBytes) stop.sleep(kPause);
    }
    return {};
  }

  tl::expected<void, CliError> write(const std::string& blocks) {
    if (!add_pcapng_totals(blocks, totals_))
      return tl::unexpected(CliError{"failed", "the daemon's answer: is no pcapng",
                                     "xebec and xebecd are of different versions?"});
    const bool written = std::fwrite(blocks.data(), 1, blocks.size(), file_.get()) == blocks.size() &&
                         std::fflush(file_.get()) == 0;  // whoever reads along sees packets as they come
    if (written) return {};
    return tl::unexpected(
        CliError{"failed", fmt::format("write to {}: {}", arguments_.file, std::strerror(errno)), ""});
  }

  int tell() const {
    if (options_.output != Output::json) {
      narrate(fmt::format("{} packet{} captured, {} lost, to {}", totals_.packets,
                          totals_.packets == 1 ? "" : "s", totals_.lost, arguments_.file));
    } else if (arguments_.file != "-") {
      const CliJson result = {{"schema", "xebec.capture-result/1"},
                              {"file", arguments_.file},
                              {"packets", totals_.packets},
                              {"lost", totals_.lost}};
      fmt::print("{}\n",
                 result.dump(options_.pretty ? 2 : -1, ' ', false, CliJson::error_handler_t::replace));
    }
    return 0;
  }

  const CliOptions& options_;
  const CaptureArguments& arguments_;
  Client client_;
  File file_;
  std::string path_;
  PcapngTotals totals_;
};

}  // namespace

CLI::App* add_capture_verb(CLI::App& app, CaptureArguments& a) {
  CLI::App* verb = app.add_subcommand(
      "capture", "Packets into a pcapng file, each with a comment that says what became of it and why");
  verb->add_option("-w,--write", a.file, "the file; - is standard output")->required();
  verb->add_option("--drop", a.reasons, "only packets dropped for REASON (docs/drops.md), or any")
      ->delimiter(',')
      ->type_name("REASON");
  verb->add_option("--service", a.service, "only packets of this service");
  verb->add_option("--backend", a.backend, "only packets of the backend of this address");
  verb->add_option("--count", a.count, "end after so many packets")->check(CLI::Range(1, 1000000000));
  verb->add_option("--seconds", a.seconds, "end after this time")->check(CLI::Range(0.001, 1e6));
  verb->add_option("--snaplen", a.snaplen, "bytes of a packet to keep (default: all that fit a frame)")
      ->check(CLI::Range(14, 3840));
  verb->add_option("--sample", a.sample, "look at one packet in N")->type_name("1/N");
  verb->add_flag("--sent", a.sent, "what leaves, too, as it leaves");
  return verb;
}

VerbResult capture(const CliOptions& options, const CaptureArguments& arguments) {
  const auto body = body_of(arguments);
  if (!body) return tl::unexpected(body.error());
  auto file = open_file(arguments.file);
  if (!file) return tl::unexpected(file.error());
  return Capturing(options, arguments, std::move(*file)).run(*body);
}

}  // namespace xebec
