// SPDX-License-Identifier: BSD-2-Clause
// libbpf has one print function per process; this one sorts its output by thread.
#include "control/libbpf_log.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace xebec {
namespace {

// A verifier log can have megabytes, and only its end says why.
constexpr std::size_t kMaxText = 256 * 1024;

thread_local LibbpfLog* innermost = nullptr;
libbpf_print_fn_t previous_print = nullptr;

__attribute__((format(printf, 2, 0))) int print(libbpf_print_level level, const char* format,
                                                va_list arguments) {
  if (innermost == nullptr) return previous_print != nullptr ? previous_print(level, format, arguments) : 0;
  if (level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  std::vsnprintf(text.data(), text.size(), format, arguments);
  text.pop_back();
  innermost->append(text);
  return 0;
}

bool says_something(std::string_view line) {
  constexpr std::array<std::string_view, 6> kNoise = {"-- BEGIN PROG LOAD LOG --",
                                                      "-- END PROG LOAD LOG --",
                                                      "verification time",
                                                      "stack depth",
                                                      "processed ",
                                                      "mark_precise"};
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return false;
  return std::none_of(kNoise.begin(), kNoise.end(),
                      [line](std::string_view noise) { return line.find(noise) != std::string_view::npos; });
}

}  // namespace

LibbpfLog::LibbpfLog() : outer_(innermost) {
  static std::once_flag once;
  std::call_once(once, [] { previous_print = libbpf_set_print(print); });
  innermost = this;
}

LibbpfLog::~LibbpfLog() {
  innermost = outer_;
}

void LibbpfLog::append(std::string_view text) {
  text_.append(text);
  if (text_.size() > kMaxText) text_.erase(0, text_.size() - kMaxText);
}

std::vector<std::string> LibbpfLog::last_lines(std::size_t count) const {
  std::vector<std::string> lines;
  std::size_t end = text_.size();
  while (end > 0 && lines.size() < count) {
    const std::size_t newline = text_.rfind('\n', end - 1);
    const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
    const std::string line = text_.substr(begin, end - begin);
    if (says_something(line)) lines.push_back(line);
    end = newline == std::string::npos ? 0 : newline;
  }
  std::reverse(lines.begin(), lines.end());
  return lines;
}

std::string_view LibbpfLog::after(std::string_view prefix) const {
  const std::size_t at = text_.rfind(prefix);
  if (at == std::string::npos) return {};
  const std::string_view rest = std::string_view(text_).substr(at + prefix.size());
  return rest.substr(0, rest.find('\n'));
}

}  // namespace xebec
