// SPDX-License-Identifier: BSD-2-Clause
// The reading of an object's fields, and the sentences about what is wrong with them.
#include "control/config_fields.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <map>

#include <fmt/format.h>

namespace xebec {
namespace {

/// A document of nothing but errors would make an answer larger than itself.
constexpr std::size_t kMaxDiagnostics = 1000;

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. Short words only.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  constexpr std::size_t kLongest = 32;
  if (a.size() > kLongest || b.size() > kLongest) return kLongest;
  std::array<std::array<std::size_t, kLongest + 1>, kLongest + 1> cost{};
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t k = 0; k <= b.size(); ++k) {
      if (i == 0 || k == 0) {
        cost[i][k] = i + k;
        continue;
      }
      const std::size_t change = a[i - 1] == b[k - 1] ? 0 : 1;
      cost[i][k] = std::min({cost[i - 1][k] + 1, cost[i][k - 1] + 1, cost[i - 1][k - 1] + change});
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) {
        cost[i][k] = std::min(cost[i][k], cost[i - 2][k - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

std::string joined(std::span<const Word> words) {
  std::string out;
  for (const Word& word : words) out += fmt::format("{}{}", out.empty() ? "" : ", ", word.text);
  return out;
}

bool is_integer_text(std::string_view text) {
  const std::string_view digits = text.substr(text.substr(0, 1) == "-" ? 1 : 0);
  return !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

void Findings::add(TextPosition at, const std::string& pointer, std::string message) {
  spoil(pointer);
  diagnostics_.push_back({file_, at.line, at.column, pointer, std::move(message)});
}

bool Findings::usable(const std::string& pointer) const {
  std::string_view rest = pointer;
  while (true) {
    if (spoiled_.find(rest) != spoiled_.end()) return false;
    if (rest.empty()) return true;
    rest = rest.substr(0, rest.rfind('/'));
  }
}

Diagnostics Findings::take() {
  std::stable_sort(diagnostics_.begin(), diagnostics_.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return TextPosition{a.line, a.column} < TextPosition{b.line, b.column};
  });
  if (diagnostics_.size() > kMaxDiagnostics) {
    Diagnostic more = diagnostics_[kMaxDiagnostics];
    more.message = fmt::format("{} more errors are not shown", diagnostics_.size() - kMaxDiagnostics);
    diagnostics_.resize(kMaxDiagnostics);
    diagnostics_.push_back(std::move(more));
  }
  return std::move(diagnostics_);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::optional<uint64_t> decimal(std::string_view text) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string_view::npos)
    return {};
  uint64_t value = 0;
  for (const char c : text) value = value * 10 + static_cast<uint64_t>(c - '0');
  return value;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

ObjectReader::ObjectReader(const JsonNode& node, std::string pointer, const ObjectRule& rule,
                           Findings& findings)
    : node_(node), pointer_(std::move(pointer)), rule_(rule), findings_(findings) {
  if (node.kind == JsonNode::Kind::object) {
    check_keys();
  } else {
    findings_.add(node.at, pointer_, fmt::format("must be an object, not {}", kind_name(node.kind)));
  }
}

void ObjectReader::check_keys() {
  std::map<std::string_view, const JsonNode*> seen;
  for (const JsonNode& member : node_.children) {
    const auto [first, inserted] = seen.emplace(member.key, &member);
    if (!inserted) {
      // Through the API keys cannot come twice: there is always a position.
      findings_.add(member.key_at, pointer(member.key),
                    fmt::format("key {} is here twice; first at line {}, column {}", quote(member.key),
                                first->second->key_at.line, first->second->key_at.column));
      continue;
    }
    const auto rule = std::find_if(rule_.keys.begin(), rule_.keys.end(),
                                   [&](const KeyRule& candidate) { return candidate.name == member.key; });
    if (rule == rule_.keys.end()) {
      report_unknown(member);
    }
  }
  for (const KeyRule& rule : rule_.keys) {
    if (rule.use != KeyUse::required || seen.count(rule.name) > 0) continue;
    // The pointer is the missing key's: it spoils that key alone, not the whole object.
    findings_.add(node_.at, pointer(rule.name), fmt::format("missing; every {} needs it", rule_.name));
  }
}

void ObjectReader::report_unknown(const JsonNode& member) {
  std::vector<std::string_view> candidates;
  for (const KeyRule& rule : rule_.keys) candidates.push_back(rule.name);
  const std::string_view guess = nearest(member.key, candidates);
  std::string message = fmt::format("unknown key {}", quote(member.key));
  if (guess.empty()) {
    message += fmt::format("; a {} has: {}", rule_.name, fmt::join(candidates, ", "));
  } else {
    message += fmt::format("; did you mean \"{}\"?", guess);
  }
  findings_.add(member.key_at, pointer(member.key), std::move(message));
}

const KeyRule& ObjectReader::rule(std::string_view key) const {
  const auto rule = std::find_if(rule_.keys.begin(), rule_.keys.end(),
                                 [&](const KeyRule& candidate) { return candidate.name == key; });
  assert(rule != rule_.keys.end() && "a key that is read stands in its object's rule");
  return *rule;
}

const JsonNode* ObjectReader::find(std::string_view key) const {
  assert(rule(key).name == key);
  for (const JsonNode& member : node_.children) {
    if (member.key == key && node_.kind == JsonNode::Kind::object) return &member;
  }
  return nullptr;
}

void ObjectReader::report(std::string_view key, std::string message) {
  const JsonNode* node = find(key);
  findings_.add(node == nullptr ? node_.at : node->at, pointer(key), std::move(message));
}

void ObjectReader::report_kind(std::string_view key, std::string_view what) {
  report(key, fmt::format("must be {}, not {}", what, kind_name(find(key)->kind)));
}

const JsonNode* ObjectReader::expect(std::string_view key, JsonNode::Kind kind) {
  const JsonNode* node = find(key);
  if (node == nullptr || node->kind == kind) return node;
  report_kind(key, kind_name(kind));
  return nullptr;
}

void ObjectReader::text(std::string_view key, std::string& target) {
  if (const JsonNode* node = expect(key, JsonNode::Kind::string)) target = node->text;
}

void ObjectReader::flag(std::string_view key, bool& target) {
  if (const JsonNode* node = expect(key, JsonNode::Kind::boolean)) target = node->boolean;
}

void ObjectReader::address(std::string_view key, IpAddress& target) {
  const JsonNode* node = expect(key, JsonNode::Kind::string);
  if (node == nullptr) return;
  if (const auto parsed = IpAddress::parse(node->text)) {
    target = *parsed;
    return;
  }
  if (IpPrefix::parse(node->text)) {
    report(key, fmt::format("{}: not a prefix but one address is wanted here", quote(node->text)));
  } else {
    report(key, fmt::format("{} is not an IPv4 or IPv6 address", quote(node->text)));
  }
}

/// What is wrong; empty if nothing is, and `target` is set.
std::string ObjectReader::read_prefix(const JsonNode& node, IpPrefix& target) const {
  const auto parsed = IpPrefix::parse(node.text);
  if (!parsed) return fmt::format("{} is not an IPv4 or IPv6 address or prefix", quote(node.text));
  if (parsed->has_stray_bits()) {
    const IpPrefix meant{masked(parsed->network, parsed->length), parsed->length};
    return fmt::format("{} has bits behind its prefix; did you mean {} or {}?", quote(node.text),
                       meant.to_string(), parsed->network.to_string());
  }
  target = *parsed;
  return {};
}

void ObjectReader::prefix(std::string_view key, IpPrefix& target) {
  const JsonNode* node = expect(key, JsonNode::Kind::string);
  if (node == nullptr) return;
  if (std::string fault = read_prefix(*node, target); !fault.empty()) report(key, std::move(fault));
}

void ObjectReader::prefixes(std::string_view key, std::vector<IpPrefix>& target) {
  const JsonNode* list = expect(key, JsonNode::Kind::array);
  for (std::size_t i = 0; list != nullptr && i < list->children.size(); ++i) {
    const JsonNode& node = list->children[i];
    const std::string at = pointer_to(pointer(key), i);
    IpPrefix prefix;
    std::string fault =
        node.kind == JsonNode::Kind::string
            ? read_prefix(node, prefix)
            : fmt::format("must be {}, not {}", kind_name(JsonNode::Kind::string), kind_name(node.kind));
    if (fault.empty()) {
      target.push_back(prefix);
    } else {
      findings_.add(node.at, at, std::move(fault));
    }
  }
}

void ObjectReader::mac(std::string_view key, std::optional<MacAddress>& target) {
  const JsonNode* node = expect(key, JsonNode::Kind::string);
  if (node == nullptr) return;
  const auto parsed = parse_mac(node->text);
  if (!parsed) {
    report(key, fmt::format("{} is not a MAC address of the form aa:bb:cc:dd:ee:ff", quote(node->text)));
    return;
  }
  target = *parsed;
}

std::optional<uint64_t> ObjectReader::number_of(std::string_view key) {
  const JsonNode* node = expect(key, JsonNode::Kind::number);
  if (node == nullptr) return std::nullopt;
  const Range range = rule(key).range;
  if (node->whole && *node->whole >= range.low && *node->whole <= range.high) return node->whole;
  if (!is_integer_text(node->text)) {
    report(key, fmt::format("{} is not a whole number", node->text));
  } else if (range.low == range.high) {
    report(key, fmt::format("{} is not supported; must be {}", node->text, range.low));
  } else {
    report(key, fmt::format("{} is out of range {}..{}", node->text, range.low, range.high));
  }
  return std::nullopt;
}

std::optional<uint8_t> ObjectReader::word_of(std::string_view key) {
  const JsonNode* node = expect(key, JsonNode::Kind::string);
  if (node == nullptr) return std::nullopt;
  assert(rule(key).words != nullptr);
  return lookup(key, *rule(key).words, node->text);
}

std::optional<uint8_t> ObjectReader::lookup(std::string_view key, const Words& words, std::string_view text) {
  for (const Word& word : words.available) {
    if (word.text == text) return word.value;
  }
  const bool vowel = std::string_view("aeio").find(words.noun.front()) != std::string_view::npos;
  report(key, fmt::format("{} is not {} {}; available: {}", quote(text), vowel ? "an" : "a", words.noun,
                          joined(words.available)));
  return std::nullopt;
}

}  // namespace xebec
