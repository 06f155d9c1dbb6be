// SPDX-License-Identifier: BSD-2-Clause
// Who may speak to a service: nested prefixes flattened into pieces of the address space.
#include "dataplane/source_rules.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

namespace xebec {
namespace {

struct Rule {
  IpPrefix prefix;
  bool allowed = false;
};

// The first address behind a prefix; nothing if it reaches to the end of all.
std::optional<IpAddress> end_of(const IpPrefix& prefix) {
  IpAddress end = prefix.network;
  for (std::size_t bit = prefix.length; bit-- > 0;) {
    const auto mask = static_cast<uint8_t>(0x80u >> bit % 8);
    if ((end.bytes[bit / 8] & mask) == 0) {
      end.bytes[bit / 8] = static_cast<uint8_t>(end.bytes[bit / 8] | mask);
      return end;
    }
    end.bytes[bit / 8] = static_cast<uint8_t>(end.bytes[bit / 8] & ~mask);
  }
  return std::nullopt;
}

}  // namespace

SourceRules::SourceRules(std::vector<IpPrefix> allow, std::vector<IpPrefix> deny)
    : allow_(std::move(allow)), deny_(std::move(deny)) {
  std::vector<Rule> rules;
  for (const IpPrefix& prefix : deny_) rules.push_back({prefix, false});
  for (const IpPrefix& prefix : allow_) rules.push_back({prefix, true});
  // Outer prefixes before those inside them; of two that are equal the denied one last.
  std::stable_sort(rules.begin(), rules.end(), [](const Rule& a, const Rule& b) {
    return std::tie(a.prefix, b.allowed) < std::tie(b.prefix, a.allowed);
  });
  const auto begin_piece = [this](const IpAddress& first, bool allowed) {
    if (!pieces_.empty() && pieces_.back().first == first) pieces_.pop_back();
    if (pieces_.empty() || pieces_.back().allowed != allowed) pieces_.push_back({first, allowed});
  };
  std::vector<Rule> open;
  const auto verdict = [&] { return open.empty() ? allows_unlisted() : open.back().allowed; };
  const auto close = [&] {
    const auto end = end_of(open.back().prefix);
    open.pop_back();
    if (end) begin_piece(*end, verdict());
  };
  begin_piece(IpAddress{}, allows_unlisted());
  for (const Rule& rule : rules) {
    // By the sixteen bytes, not by family: this is about where on the line of all addresses it ends.
    while (!open.empty() &&
           masked(rule.prefix.network, open.back().prefix.length) != open.back().prefix.network)
      close();
    open.push_back(rule);
    begin_piece(rule.prefix.network, rule.allowed);
  }
  while (!open.empty()) close();
}

bool SourceRules::allows(const IpAddress& source) const {
  const auto behind =
      std::upper_bound(pieces_.begin(), pieces_.end(), source,
                       [](const IpAddress& wanted, const Piece& piece) { return wanted < piece.first; });
  return std::prev(behind)->allowed;  // the first piece begins where the addresses do
}

}  // namespace xebec
