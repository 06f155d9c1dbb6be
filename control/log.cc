// SPDX-License-Identifier: BSD-2-Clause
#include "control/log.h"

#include <string_view>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

namespace xebec {
namespace {

std::string g_target = "stderr";  // of open_log, for reopen_log; both on the control thread

std::shared_ptr<spdlog::logger> make_logger(const std::string& target) {
  constexpr std::string_view kFile = "file:";
  if (target == "syslog") {
    auto logger = spdlog::syslog_logger_mt("syslog", "xebecd", LOG_PID, LOG_DAEMON);
    spdlog::drop("syslog");
    logger->set_pattern("%v");
    return logger;
  }
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (target == "stderr") {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else if (std::string_view(target).starts_with(kFile) && target.size() > kFile.size()) {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(target.substr(kFile.size()));
  } else {
    return nullptr;
  }
  auto logger = std::make_shared<spdlog::logger>("xebecd", std::move(sink));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->flush_on(spdlog::level::info);
  return logger;
}

}  // namespace

tl::expected<void, std::string> open_log(const std::string& target, const std::string& level) try {
  auto logger = make_logger(target);
  if (logger == nullptr) return tl::unexpected("--log: " + target + " is not stderr, syslog or file:PATH");
  const auto wanted = spdlog::level::from_str(level);
  if (wanted == spdlog::level::off && level != "off") {
    return tl::unexpected("--log-level: " + level + " is not trace, debug, info, warning, error or off");
  }
  logger->set_level(wanted);
  spdlog::set_default_logger(std::move(logger));
  g_target = target;
  return {};
} catch (const spdlog::spdlog_ex& e) {
  return tl::unexpected("--log: " + std::string(e.what()));
}

void reopen_log() {
  const auto level = spdlog::default_logger()->level();
  const auto view = spdlog::level::to_string_view(level);
  if (auto r = open_log(g_target, std::string(view.data(), view.size())); !r)
    spdlog::error("log not reopened: {}", r.error());
}

}  // namespace xebec
