// SPDX-License-Identifier: BSD-2-Clause
// The life of a configuration beyond being applied: what a change would do, its history, its confirmation, the way back, and
// into the file.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "control/config_dns.h"
#include "control/controller.h"

#include "dataplane/clock.h"

namespace xebec {
namespace {

// Of a diff in the log; `config history` has more of it.
constexpr std::size_t kLoggedChanges = 8;
constexpr std::size_t kLoggedValue = 60;

// A way back that fails, for want of memory say, is tried again.
constexpr std::chrono::seconds kUndoAgain{5};

ChangeError conflict(std::string message, std::string hint) {
  return {ChangeError::Kind::conflict, std::move(message), std::move(hint), {}};
}

std::string short_of(const nlohmann::ordered_json& value) {
  std::string text = value.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  if (text.size() > kLoggedValue) text = text.substr(0, kLoggedValue) + "..";
  return text;
}

std::string sentence_of(const ConfigChange& change) {
  switch (change.op) {
    case ConfigChange::Op::add:
      return fmt::format("+ {} {}", change.path, short_of(change.to));
    case ConfigChange::Op::remove:
      return fmt::format("- {}", change.path);
    case ConfigChange::Op::change:
      break;
  }
  return fmt::format("{} {} -> {}", change.path, short_of(change.from), short_of(change.to));
}

/// A backend that nobody has asked the kernel about yet is taken for one that will answer.
ResolvedHop assumed_hop(const NetworkView& network, bool v4) {
  ResolvedHop hop;
  hop.state = ResolvedHop::State::reachable;
  hop.ifindex = network.links.empty() ? 0 : network.links.front().ifindex;
  for (const IpAddress& own : network.own) {
    if (own.is_v4() == v4) hop.preferred_source = own;
  }
  return hop;
}

}  // namespace

std::string Controller::config_tag() const {
  return fmt::format("{}-{:08x}", history_.generation(), run_id_);
}

std::optional<ChangeError> Controller::stale(const ChangeTerms& terms) const {
  if (terms.match.empty() || terms.match == config_tag()) return std::nullopt;
  const ConfigHistory::Entry& last = history_.entries().back();
  return ChangeError{
      ChangeError::Kind::stale,
      fmt::format("configuration {}: it is {} by now, changed by {}", terms.match, config_tag(), last.by),
      "look at what was changed (xebec config history), and try again from there",
      {}};
}

std::optional<ChangeError> Controller::refusal(const ChangeTerms& terms) const {
  if (auto error = stale(terms)) return error;
  if (!unconfirmed_ || settling_ || terms.dry_run) return std::nullopt;
  return conflict(fmt::format("a change by {} waits to be confirmed", unconfirmed_->by),
                  "xebec config confirm keeps it, xebec config rollback undoes it");
}

tl::expected<std::vector<ServiceImpact>, std::string> Controller::find_impact(const Config& wanted,
                                                                              const Leaving& leaving) const {
  const NetworkView real = network();
  NetworkView view = real;
  const ResolvedHop assumed[] = {assumed_hop(real, false), assumed_hop(real, true)};
  view.find_hop = [&](const IpAddress& address) -> const ResolvedHop* {
    const ResolvedHop* hop = real.find_hop(address);
    return hop != nullptr ? hop : &assumed[address.is_v4() ? 1 : 0];
  };
  TableBuilder trial = builder_;  // with the ids and arrays of now, and nobody sees what it makes of them
  const Config all = leaving.with(wanted);
  const auto table = trial.build(all, view, monotonic_ns(), health_view(all, leaving));
  if (!table) return tl::unexpected(table.error());
  return impact_of(engine_->table(), **table,
                   [this](uint32_t id) { return uint64_t{engine_->flows(id).flows}; });
}

void Controller::commit_to_history(const ChangeTerms& terms, ChangeReport& report) {
  const uint64_t before = history_.generation();
  history_.add(config_, report.diff, terms.by, std::chrono::system_clock::now());
  report.config_generation = history_.generation();
  std::string what;
  for (std::size_t i = 0; i < std::min(report.diff.size(), kLoggedChanges); ++i)
    what += (i == 0 ? "" : "; ") + sentence_of(report.diff[i]);
  if (report.diff.size() > kLoggedChanges)
    what += fmt::format("; and {} more", report.diff.size() - kLoggedChanges);
  spdlog::info("audit: configuration {} by {}: {}", history_.generation(), terms.by, what);
  if (terms.confirm_within.count() == 0) return;
  report.confirm_within = terms.confirm_within;
  wait_for_confirmation(terms, before);
}

void Controller::wait_for_confirmation(const ChangeTerms& terms, uint64_t back_to) {
  unconfirmed_ = {back_to, terms.by, std::chrono::steady_clock::now() + terms.confirm_within};
  confirm_timer_ = loop_.at(unconfirmed_->until, [this] { undo_unconfirmed(); });
}

void Controller::undo_unconfirmed() {
  confirm_timer_ = 0;
  const std::string by = fmt::format("xebecd, for want of a confirmation by {}", unconfirmed_->by);
  const ChangeResult undone = rollback(0, {.by = by});
  if (undone) return;
  spdlog::error("audit: configuration not rolled back, trying again: {}", undone.error().message);
  confirm_timer_ = loop_.after(kUndoAgain, [this] { undo_unconfirmed(); });
}

void Controller::settle() {
  unconfirmed_.reset();
  if (confirm_timer_ != 0) loop_.cancel(std::exchange(confirm_timer_, 0));
}

ChangeResult Controller::confirm(const ChangeTerms& terms) {
  if (!unconfirmed_) return tl::unexpected(conflict("confirm: no change waits to be confirmed", {}));
  settling_ = true;
  auto refused = refusal(terms);
  settling_ = false;
  if (refused) return tl::unexpected(std::move(*refused));
  settle();
  spdlog::info("audit: configuration {} confirmed by {}", history_.generation(), terms.by);
  ChangeReport report;
  report.generation = builder_.generation();
  report.config_generation = history_.generation();
  return report;
}

ChangeResult Controller::rollback(uint64_t generation, const ChangeTerms& terms) {
  if (generation == 0) generation = unconfirmed_ ? unconfirmed_->back_to : history_.before_last_made();
  const auto config = history_.find(generation);
  if (config == nullptr) {
    return tl::unexpected(ChangeError{ChangeError::Kind::not_found,
                                      generation == 0
                                          ? "rollback: nothing was changed since the daemon started"
                                          : fmt::format("rollback: configuration {} is not kept", generation),
                                      "xebec config history lists them",
                                      {}});
  }
  if (unconfirmed_ && generation != unconfirmed_->back_to && !terms.dry_run) {
    return tl::unexpected(
        conflict(fmt::format("rollback: a change by {} waits to be confirmed", unconfirmed_->by),
                 fmt::format("xebec config rollback without a number undoes it and is back at {}",
                             unconfirmed_->back_to)));
  }
  Config wanted = *config;
  // What names are known to mean by now is newer than what they meant then; and nobody would be asked before the TTL is over.
  carry_discovered(config_, wanted, true);
  restore_discovered(*config, wanted);
  settling_ = true;
  ChangeResult result = apply(std::move(wanted), terms);
  settling_ = false;
  if (result && !terms.dry_run) settle();
  return result;
}

tl::expected<std::string, ChangeError> Controller::save_config(bool force, const std::string& by) {
  if (unconfirmed_) {
    return tl::unexpected(conflict("save: the last change is not confirmed",
                                   "xebec config confirm keeps it, xebec config rollback undoes it"));
  }
  const std::string text = write_config(config_, true).dump(2) + "\n";
  const auto saved = config_file_.save(text, force);
  if (!saved) {
    if (saved.error().changed) {
      return tl::unexpected(
          conflict("save: " + saved.error().message,
                   "xebec config diff shows what a reload would change; --force overwrites it"));
    }
    return tl::unexpected(ChangeError{ChangeError::Kind::failed, "save: " + saved.error().message, {}, {}});
  }
  spdlog::info("audit: configuration {} saved to {} by {}", history_.generation(), config_file_.path(), by);
  return config_file_.path();
}

}  // namespace xebec
