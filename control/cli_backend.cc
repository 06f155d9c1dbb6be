// SPDX-License-Identifier: BSD-2-Clause
// The verbs that take backends out of work and put them back.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <thread>

#include <fmt/format.h>

#include "control/cli_arguments.h"
#include "control/cli_render.h"
#include "control/cli_verbs.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;

// How often the daemon is asked how a drain goes; it looks five times a second itself.
constexpr auto kAskAgain = 250ms;

// Without a terminal, a line for so much time at most.
constexpr auto kLineEvery = 2s;

/// A backend is found by its address alone; a port would be ignored, and that is no way to treat a port.
tl::expected<std::string, CliError> name_of_backend(const std::string& text) {
  const auto where = parse_backend_address(text);
  if (!where) return tl::unexpected(where.error());
  if (where->contains("port")) {
    return tl::unexpected(
        CliError{"usage", text + ": a backend is named by its address alone", "leave the port away"});
  }
  return where->at("address").get<std::string>();
}

/// What is told of one backend's drain.
struct Progress {
  bool there = false;
  bool drained = false;
  bool working = false;  ///< somebody has put it back
  std::string words;
};

Progress progress_of(const CliJson& rows, const std::string& address) {
  Progress p;
  for (const CliJson& row : rows.is_array() ? rows : CliJson::array()) {
    if (value_at(row, "address") != address) continue;
    p.there = true;
    const CliJson& drain = value_at(row, "drain");
    p.working = !drain.is_object();
    p.drained = value_at(drain, "phase") == "drained";
    const CliJson& flows = value_at(drain, "flows");
    const CliJson& left = value_at(drain, "remaining_ms");
    p.words = fmt::format("{} flows left", flows.is_number() ? flows.get<uint64_t>() : 0);
    if (left.is_number())
      p.words += fmt::format(", {} s to the deadline", (left.get<int64_t>() + 999) / 1000);
    if (p.drained)
      p.words = flows == 0 ? "drained" : fmt::format("drained, {} flows were let go", flows.dump());
  }
  return p;
}

/// One line that is written over on a terminal, lines now and then elsewhere.
class ProgressLine {
 public:
  void show(const std::string& line, bool last) {
    const auto now = std::chrono::steady_clock::now();
    if (terminal_) {
      std::fprintf(stderr, "\r\x1b[K%s%s", line.c_str(), last ? "\n" : "");
      std::fflush(stderr);
    } else if (last || now - shown_ >= kLineEvery) {
      std::fprintf(stderr, "%s\n", line.c_str());
      shown_ = now;
    }
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) == 1;
  std::chrono::steady_clock::time_point shown_{};
};

}  // namespace

std::string Verbs::backend_path(const std::string& service, const std::string& address) {
  return "/v1/services/" + percent_encode(service) + "/backends/" + percent_encode(address);
}

VerbResult Verbs::set_admin(const std::string& service, const std::string& address,
                            const std::string& admin) const {
  const auto name = name_of_backend(address);
  if (!name) return tl::unexpected(name.error());
  return change("PATCH", backend_path(service, *name), CliJson{{"admin", admin}}.dump());
}

VerbResult Verbs::drain_backends(const DrainArguments& a) const {
  std::string query;
  if (!a.deadline.empty()) {
    const auto ms = parse_duration_ms("--deadline", a.deadline);
    if (!ms) return tl::unexpected(ms.error());
    query = fmt::format("deadline_ms={}", *ms);
  }
  std::vector<std::string> names;
  for (const std::string& address : a.addresses) {
    const auto name = name_of_backend(address);
    if (!name) return tl::unexpected(name.error());
    names.push_back(*name);
  }
  for (const std::string& name : names) {
    std::string path = backend_path(a.service, name);
    if (!a.then_delete) path += "/drain" + (query.empty() ? "" : "?" + query);
    if (a.then_delete && !a.now) path += "?drain=1" + (query.empty() ? "" : "&" + query);
    const auto answer = client_.request(a.then_delete ? "DELETE" : "POST", path);
    if (!answer) return tl::unexpected(answer.error());
    if (const VerbResult shown = report_change(*answer); !shown) return shown;
    const CliJson& diff = value_at(answer->json, "diff");
    const bool gone = diff.is_array() && !diff.empty() && value_at(diff.front(), "op") == "remove";
    if (a.then_delete && !gone && options_.output != Output::json)
      narrate(fmt::format("{} is deleted once it is drained, in {} at the latest", name, a.deadline));
  }
  return a.wait ? wait_for_drain(a.service, names) : 0;
}

VerbResult Verbs::wait_for_drain(const std::string& service, const std::vector<std::string>& names) const {
  ProgressLine line;
  for (;;) {
    const auto answer = client_.request("GET", "/v1/backends?service=" + percent_encode(service));
    if (!answer) return tl::unexpected(answer.error());
    std::string text;
    bool all = true;
    for (const std::string& name : names) {
      const Progress p = progress_of(value_at(answer->json, "backends"), name);
      if (p.there && p.working)
        return tl::unexpected(CliError{"conflict", fmt::format("backend {}: is not in drain any more", name),
                                       "somebody has put it back to work, or into maintenance"});
      all = all && (!p.there || p.drained);
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", name, p.there ? p.words : "deleted");
    }
    line.show(text, all);
    if (all) return 0;
    std::this_thread::sleep_for(kAskAgain);
  }
}

}  // namespace xebec
