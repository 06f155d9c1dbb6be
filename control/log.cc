// SPDX-License-Identifier: BSD-2-Clause
#include "control/log.h"

#include <syslog.h>

#include <string_view>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include "control/log_sinks.h"

namespace xebec {
namespace {

// Of open_log, for reopen_log and tell_suppressed_lines; all on the control thread.
std::string g_target = "stderr";
std::string g_instance = "xebec";
std::shared_ptr<LimitedSink> g_sink;

tl::expected<std::shared_ptr<spdlog::sinks::sink>, std::string> make_sink(const std::string& target) {
  constexpr std::string_view kFile = "file:";
  if (target == "stderr") return std::make_shared<spdlog::sinks::stderr_sink_mt>();
  if (target == "syslog")
    return std::make_shared<spdlog::sinks::syslog_sink_mt>("xebecd", LOG_PID, LOG_DAEMON, false);
  if (target == "journal") {
    auto journal = Journal::open();
    if (!journal) return tl::unexpected(journal.error());
    return std::make_shared<JournalSink>(std::move(*journal), g_instance);
  }
  if (std::string_view(target).starts_with(kFile) && target.size() > kFile.size())
    return std::make_shared<spdlog::sinks::basic_file_sink_mt>(target.substr(kFile.size()));
  return tl::unexpected(target + " is not stderr, journal, syslog or file:PATH");
}

}  // namespace

tl::expected<void, std::string> open_log(const std::string& target, const std::string& level,
                                         const std::string& instance) try {
  g_instance = instance;
  auto sink = make_sink(target);
  if (!sink) return tl::unexpected("--log: " + sink.error());
  const auto wanted = spdlog::level::from_str(level);
  if (wanted == spdlog::level::off && level != "off") {
    return tl::unexpected("--log-level: " + level + " is not trace, debug, info, warning, error or off");
  }
  auto limited = std::make_shared<LimitedSink>(std::move(*sink));
  auto logger = std::make_shared<spdlog::logger>("xebecd", limited);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->flush_on(spdlog::level::info);
  logger->set_level(wanted);
  spdlog::set_default_logger(std::move(logger));
  g_target = target;
  g_sink = std::move(limited);
  return {};
} catch (const spdlog::spdlog_ex& e) {
  return tl::unexpected("--log: " + std::string(e.what()));
}

void reopen_log() {
  const auto level = spdlog::default_logger()->level();
  const auto view = spdlog::level::to_string_view(level);
  if (auto r = open_log(g_target, std::string(view.data(), view.size()), g_instance); !r)
    spdlog::error("log not reopened: {}", r.error());
}

void tell_suppressed_lines() {
  if (g_sink) g_sink->tell_suppressed(LogRate::Clock::now());
}

}  // namespace xebec
