// SPDX-License-Identifier: BSD-2-Clause
// One object of a configuration, read field by field; everything wrong with it goes to a list, and reading
// goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/config_document.h"
#include "control/config_keys.h"
#include "control/config_reader.h"

namespace xebec {

/// Collects what is wrong, and remembers which values are, so that no second error follows from the first.
class Findings {
 public:
  explicit Findings(std::string file) : file_(std::move(file)) {}

  void add(TextPosition at, const std::string& pointer, std::string message);
  /// Takes the value at `pointer` for unreadable without saying more about it.
  void spoil(const std::string& pointer) { spoiled_.insert(pointer); }
  /// False if the value, or one that it lies in, has been found wrong.
  bool usable(const std::string& pointer) const;

  bool empty() const { return diagnostics_.empty(); }
  /// In document order.
  Diagnostics take();

 private:
  std::string file_;
  Diagnostics diagnostics_;
  std::set<std::string, std::less<>> spoiled_;
};

/// Every typed getter leaves its target alone if the key is not there, and reports and leaves it alone if the
/// value is wrong. Words and ranges come from the object's rule.
class ObjectReader {
 public:
  /// Reports a node that is no object, and unknown, repeated and missing keys.
  ObjectReader(const JsonNode& node, std::string pointer, const ObjectRule& rule, Findings& findings);

  /// nullptr if the key is not there.
  const JsonNode* find(std::string_view key) const;
  std::string pointer(std::string_view key) const { return pointer_to(pointer_, key); }
  void report(std::string_view key, std::string message);
  /// Nothing has been reported about the key's value.
  bool clean(std::string_view key) const { return findings_.usable(pointer(key)); }

  void text(std::string_view key, std::string& target);
  void flag(std::string_view key, bool& target);
  void address(std::string_view key, IpAddress& target);
  /// An address or a prefix, in its family's form and without bits behind it.
  void prefix(std::string_view key, IpPrefix& target);
  void prefixes(std::string_view key, std::vector<IpPrefix>& target);
  void mac(std::string_view key, std::optional<MacAddress>& target);

  template <typename Integer>
  void number(std::string_view key, Integer& target) {
    if (const std::optional<uint64_t> value = number_of(key)) target = static_cast<Integer>(*value);
  }
  template <typename Value>
  void word(std::string_view key, Value& target) {
    if (const std::optional<uint8_t> value = word_of(key)) target = static_cast<Value>(*value);
  }

  /// The node if it is a string or an array as asked for; else nullptr, and reported unless the key is not
  /// there.
  const JsonNode* expect(std::string_view key, JsonNode::Kind kind);

  /// "must be WHAT, not a number"
  void report_kind(std::string_view key, std::string_view what);
  /// Finds a word in a list: what word() does, for a text from anywhere.
  std::optional<uint8_t> lookup(std::string_view key, const Words& words, std::string_view text);
  const KeyRule& rule(std::string_view key) const;

 private:
  void check_keys();
  std::string read_prefix(const JsonNode& node, IpPrefix& target) const;
  void report_unknown(const JsonNode& member);
  std::optional<uint64_t> number_of(std::string_view key);
  std::optional<uint8_t> word_of(std::string_view key);

  const JsonNode& node_;
  std::string pointer_;
  const ObjectRule& rule_;
  Findings& findings_;
};

/// Nothing but digits, and at most 18 of them.
std::optional<uint64_t> decimal(std::string_view text);
/// ASCII letters only.
std::string lower(std::string_view text);

/// The word of `candidates` that `word` may be a slip of; empty if none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace xebec
