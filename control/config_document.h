// SPDX-License-Identifier: BSD-2-Clause
// A JSON text as a tree that remembers where every value stands, so that an error can name its line and
// column.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

namespace xebec {

/// 1-based, columns in bytes. Line 0: the value never stood in a text.
struct TextPosition {
  uint32_t line = 0;
  uint32_t column = 0;
  auto operator<=>(const TextPosition&) const = default;
};

/// One value. Members of an object keep their order, and a key that is there twice stays there twice: finding
/// that is the reader's business.
struct JsonNode {
  enum class Kind : uint8_t { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  TextPosition at;
  std::string key;      ///< of a member
  TextPosition key_at;  ///< of a member
  bool boolean = false;
  std::string text;               ///< a string's content (valid UTF-8), a number as it was written
  std::optional<uint64_t> whole;  ///< a number's value, if it is a whole one from 0 to 2^64 - 1
  std::vector<JsonNode> children;
};

/// "an object", "a number", ... for messages.
std::string_view kind_name(JsonNode::Kind kind);

struct SyntaxError {
  TextPosition at;
  std::string message;
};

/// Deepest nesting read. A configuration is at most 6 deep; the bound keeps recursion over a tree harmless.
inline constexpr std::size_t kMaxDocumentDepth = 16;

/// Reads one JSON value with // and /* */ comments. Stops at the first syntax error: what follows it is
/// guesswork.
tl::expected<JsonNode, SyntaxError> parse_document(std::string_view text);

/// The same tree from a value that has already been parsed. The error says that it is nested too deeply.
tl::expected<JsonNode, std::string> document_of(const nlohmann::json& value);

/// RFC 6901: `parent` with one more token.
std::string pointer_to(std::string_view parent, std::string_view key);
std::string pointer_to(std::string_view parent, std::size_t index);

/// `text` in double quotes, fit for a terminal, a log line and JSON: control characters are escaped, bytes
/// that are not UTF-8 too, and what is longer than 64 bytes is cut.
std::string quote(std::string_view text);

}  // namespace xebec
