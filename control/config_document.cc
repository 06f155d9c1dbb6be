// SPDX-License-Identifier: BSD-2-Clause
// The reading of a JSON text into a tree: nlohmann's SAX parser says what, a small scanner beside it says
// where.
#include "control/config_document.h"

#include <algorithm>

#include <fmt/format.h>

namespace xebec {
namespace {

/// Walks over text that the parser has found well-formed up to here, one token per SAX event, and tells where
/// each begins. nlohmann's parser reports positions only for errors.
class TokenScanner {
 public:
  explicit TokenScanner(std::string_view text) : text_(text) {
    if (text.substr(0, 3) == "\xEF\xBB\xBF") skip(3);  // a byte order mark, which the parser skips as well
  }

  /// Position of the next token, which is skipped. Commas and colons carry no event and count as blanks.
  TextPosition next() {
    skip_blanks();
    const TextPosition start = at_;
    if (done()) return start;
    const char c = text_[offset_];
    if (c == '"') {
      skip_string();
    } else if (c == '{' || c == '}' || c == '[' || c == ']') {
      skip(1);
    } else {
      while (!done() && std::string_view(" \t\r\n,:]}/").find(text_[offset_]) == std::string_view::npos)
        skip(1);
    }
    return start;
  }

 private:
  bool done() const { return offset_ >= text_.size(); }

  void skip(std::size_t count) {
    for (; count > 0 && !done(); --count, ++offset_) {
      if (text_[offset_] == '\n') {
        ++at_.line;
        at_.column = 1;
      } else {
        ++at_.column;
      }
    }
  }

  void skip_blanks() {
    while (!done()) {
      const char c = text_[offset_];
      if (c == '/') {
        skip_comment();
      } else if (std::string_view(" \t\r\n,:").find(c) != std::string_view::npos) {
        skip(1);
      } else {
        return;
      }
    }
  }

  void skip_comment() {
    const bool block = text_.substr(offset_, 2) == "/*";
    // A line comment ends at either of CR and LF, as the parser has it.
    const std::size_t end = block ? text_.find("*/", offset_ + 2) : text_.find_first_of("\r\n", offset_);
    skip(end == std::string_view::npos ? text_.size() - offset_ : end - offset_ + (block ? 2 : 1));
  }

  void skip_string() {
    skip(1);
    while (!done() && text_[offset_] != '"') skip(text_[offset_] == '\\' ? 2 : 1);
    skip(1);
  }

  std::string_view text_;
  std::size_t offset_ = 0;
  TextPosition at_{1, 1};
};

TextPosition position_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 = 0: the first line
  return {static_cast<uint32_t>(std::count(before.begin(), before.end(), '\n') + 1),
          static_cast<uint32_t>(before.size() - line_start + 1)};
}

class TreeBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeBuilder(std::string_view text, JsonNode& root) : text_(text), scanner_(text), root_(root) {}

  bool null() override { return leaf(JsonNode::Kind::null) != nullptr; }
  bool boolean(bool value) override {
    leaf(JsonNode::Kind::boolean)->boolean = value;
    return true;
  }
  bool number_integer(int64_t value) override {
    JsonNode* node = leaf(JsonNode::Kind::number);
    node->text = std::to_string(value);
    if (value >= 0) node->whole = static_cast<uint64_t>(value);
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    JsonNode* node = leaf(JsonNode::Kind::number);
    node->text = std::to_string(value);
    node->whole = value;
    return true;
  }
  bool number_float(double, const std::string& text) override {
    leaf(JsonNode::Kind::number)->text = text;
    return true;
  }
  bool string(std::string& value) override {
    leaf(JsonNode::Kind::string)->text = std::move(value);
    return true;
  }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // no such thing in JSON text
  bool start_object(std::size_t) override { return open(JsonNode::Kind::object); }
  bool start_array(std::size_t) override { return open(JsonNode::Kind::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& value) override {
    key_at_ = scanner_.next();
    key_ = std::move(value);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& error) override {
    std::string_view message = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ... - WHY; last
    // read: '...'"
    const std::size_t why = message.find(" - ");
    if (why != std::string_view::npos) message.remove_prefix(why + 3);
    const std::size_t last_read = message.find("; last read: ");
    const bool within_token = last_read != std::string_view::npos;
    if (within_token) {
      // What follows quotes the text, and the text may hold the hash seed. Line and column are enough.
      const std::size_t expected = message.rfind("; expected ");
      const bool has_expected = expected != std::string_view::npos && expected > last_read;
      message = message.substr(0, has_expected ? std::min(last_read, expected) : last_read);
    }
    error_.at = within_token
                    ? position_of(text_, position > 0 ? position - 1 : 0)  // the last byte read is at fault
                    : position_of_unexpected(message, position);
    error_.message = fmt::format("syntax error: {}", message);
    if (error.id == 406) error_.message = "syntax error: the number is too large";
    return false;
  }

  const SyntaxError& error() const { return error_; }

 private:
  /// The parser's position is behind the token that it did not expect.
  TextPosition position_of_unexpected(std::string_view message, std::size_t position) {
    constexpr std::string_view kPrefix = "unexpected ";
    if (message.substr(0, kPrefix.size()) == kPrefix) message.remove_prefix(kPrefix.size());
    if (message.substr(0, 1) == "'") return position_of(text_, position > 0 ? position - 1 : 0);
    if (message.substr(0, 3) == "end") return position_of(text_, text_.size());
    return scanner_.next();  // a string, number or word: commas and colons before it were in their places
  }

  JsonNode* leaf(JsonNode::Kind kind) {
    JsonNode* node = open_.empty() ? &root_ : &open_.back()->children.emplace_back();
    node->kind = kind;
    node->at = scanner_.next();
    if (!open_.empty() && open_.back()->kind == JsonNode::Kind::object) {
      node->key = std::move(key_);
      node->key_at = key_at_;
    }
    return node;
  }

  bool open(JsonNode::Kind kind) {
    JsonNode* node = leaf(kind);
    if (open_.size() >= kMaxDocumentDepth) {
      error_ = {node->at, fmt::format("nested more than {} levels deep", kMaxDocumentDepth)};
      return false;
    }
    open_.push_back(node);  // stays valid: its parent takes no other child until it is closed
    return true;
  }

  bool close() {
    scanner_.next();
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  TokenScanner scanner_;
  JsonNode& root_;
  std::vector<JsonNode*> open_;
  std::string key_;
  TextPosition key_at_;
  SyntaxError error_;
};

std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto continues = [&](std::size_t count) {
    if (text.size() <= count) return false;
    for (std::size_t i = 1; i <= count; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return false;
    }
    return true;
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf && continues(1)) return 2;
  if (first >= 0xe0 && first <= 0xef && continues(2)) {
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) >= 0xa0;
    return overlong || surrogate ? 0 : 3;
  }
  if (first >= 0xf0 && first <= 0xf4 && continues(3)) {
    const bool overlong = first == 0xf0 && byte(1) < 0x90;
    const bool beyond = first == 0xf4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

tl::expected<JsonNode, std::string> convert(const nlohmann::json& value, std::size_t depth) {
  if (depth > kMaxDocumentDepth) {
    return tl::unexpected(fmt::format("nested more than {} levels deep", kMaxDocumentDepth));
  }
  JsonNode node;
  if (value.is_boolean()) {
    node.kind = JsonNode::Kind::boolean;
    node.boolean = value.get<bool>();
  } else if (value.is_number()) {
    node.kind = JsonNode::Kind::number;
    node.text = value.dump();
    if (value.is_number_unsigned()) node.whole = value.get<uint64_t>();
    if (value.is_number_integer() && !value.is_number_unsigned() && value.get<int64_t>() >= 0) {
      node.whole = static_cast<uint64_t>(value.get<int64_t>());
    }
  } else if (value.is_string()) {
    node.kind = JsonNode::Kind::string;
    node.text = value.get<std::string>();
  } else if (value.is_structured()) {
    node.kind = value.is_object() ? JsonNode::Kind::object : JsonNode::Kind::array;
    for (const auto& item : value.items()) {
      auto child = convert(item.value(), depth + 1);
      if (!child) return child;
      if (value.is_object()) child->key = item.key();
      node.children.push_back(std::move(*child));
    }
  }
  return node;
}

}  // namespace

std::string_view kind_name(JsonNode::Kind kind) {
  switch (kind) {
    case JsonNode::Kind::null:
      return "null";
    case JsonNode::Kind::boolean:
      return "true or false";
    case JsonNode::Kind::number:
      return "a number";
    case JsonNode::Kind::string:
      return "a string";
    case JsonNode::Kind::array:
      return "an array";
    case JsonNode::Kind::object:
      return "an object";
  }
  return "";
}

tl::expected<JsonNode, SyntaxError> parse_document(std::string_view text) {
  // The parser takes a NUL byte for the end of its input and would silently ignore what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return tl::unexpected(
        SyntaxError{position_of(text, nul), "syntax error: a NUL byte; is this a text file?"});
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return tl::unexpected(
        SyntaxError{{1, 1}, "the document is empty; the smallest configuration is {\"version\": 1}"});
  }
  JsonNode root;
  TreeBuilder builder(text, root);
  const bool good =
      nlohmann::json::sax_parse(text.begin(), text.end(), &builder, nlohmann::json::input_format_t::json,
                                /*strict=*/true, /*ignore_comments=*/true);
  if (!good) return tl::unexpected(builder.error());
  return root;
}

tl::expected<JsonNode, std::string> document_of(const nlohmann::json& value) {
  return convert(value, 0);
}

std::string pointer_to(std::string_view parent, std::string_view key) {
  // Pointers are printed: a key is shown as far as a person reads, and moves no cursor.
  constexpr std::size_t kLongest = 64;
  std::string pointer(parent);
  pointer += '/';
  for (const char c : key.substr(0, kLongest)) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  }
  if (key.size() > kLongest) pointer += "...";
  return pointer;
}

std::string pointer_to(std::string_view parent, std::size_t index) {
  return fmt::format("{}/{}", parent, index);
}

std::string quote(std::string_view text) {
  constexpr std::size_t kLongest = 64;
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    if (i >= kLongest) {
      out += "...";
      break;
    }
    const auto byte = static_cast<uint8_t>(text[i]);
    const std::size_t length = utf8_length(text.substr(i));
    // C1 controls (U+0080..U+009F) move a terminal's cursor just as C0 ones do.
    const bool control = byte < 0x20 || byte == 0x7f ||
                         (length == 2 && byte == 0xc2 && static_cast<uint8_t>(text[i + 1]) < 0xa0);
    if (length == 0 || control) {
      out += fmt::format("\\x{:02x}", byte);
      for (std::size_t k = 1; k < length; ++k)
        out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[i + k]));
      i += std::max<std::size_t>(length, 1);
      continue;
    }
    if (byte == '"' || byte == '\\') out += '\\';
    out += text.substr(i, length);
    i += length;
  }
  out += '"';
  return out;
}

}  // namespace xebec
