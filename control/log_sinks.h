// SPDX-License-Identifier: BSD-2-Clause
// spdlog sinks of ours: one that writes one line an event and not too many of a kind, and the journal.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include <spdlog/sinks/base_sink.h>

#include "control/journal.h"
#include "control/log_rate.h"

namespace xebec {

/// Passes on to another sink what LogRate admits, with control characters replaced: what a peer says must not begin a
/// line of its own.
class LimitedSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LimitedSink(std::shared_ptr<spdlog::sinks::sink> inner) : inner_(std::move(inner)) {}
  /// Writes how many lines were left out, where that is due.
  void tell_suppressed(LogRate::Clock::time_point now);

 private:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override { inner_->flush(); }
  void set_pattern_(const std::string& pattern) override { inner_->set_pattern(pattern); }
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override {
    inner_->set_formatter(std::move(formatter));
  }

  std::shared_ptr<spdlog::sinks::sink> inner_;
  LogRate rate_;
};

class JournalSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  JournalSink(Journal journal, std::string instance)
      : journal_(std::move(journal)), instance_(std::move(instance)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

  Journal journal_;
  std::string instance_;
};

}  // namespace xebec
