// SPDX-License-Identifier: BSD-2-Clause
// What libbpf would print to stderr, kept for the error message of the call that failed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace xebec {

/// While it lives, collects what libbpf prints on this thread: its reasons and the verifier's log. Nestable.
/// Other threads' output goes where it went before.
class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  const std::string& text() const { return text_; }
  /// The last `count` lines that say something: no separators, no verifier statistics.
  std::vector<std::string> last_lines(std::size_t count) const;
  /// What follows the last occurrence of `prefix`, to the end of its line; empty if there is none.
  std::string_view after(std::string_view prefix) const;

  void append(std::string_view text);

 private:
  std::string text_;
  LibbpfLog* outer_;
};

}  // namespace xebec
