// SPDX-License-Identifier: BSD-2-Clause
#include "control/log_rate.h"

#include <algorithm>

#include <fmt/format.h>

namespace xebec {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// What numbers, IP addresses, MAC addresses and hex words are written with.
bool in_number(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

bool in_word(char c) {
  return in_number(c) || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '_';
}

/// The audit of changes (control/api.cc) is complete or it is none.
bool is_audit(std::string_view line) {
  return line.starts_with("api: ") || line.starts_with("audit: ");
}

}  // namespace

std::string log_kind(std::string_view line) {
  std::string kind;
  kind.reserve(line.size());
  for (std::size_t at = 0; at < line.size();) {
    if (!in_word(line[at])) {
      kind += line[at++];
      continue;
    }
    const auto end = std::find_if_not(line.begin() + static_cast<std::ptrdiff_t>(at), line.end(), in_word);
    const std::string_view word(line.data() + at, static_cast<std::size_t>(end - line.begin()) - at);
    at += word.size();
    if (std::all_of(word.begin(), word.end(), in_number) && std::any_of(word.begin(), word.end(), is_digit)) {
      kind += '#';
      if (word.back() == ':' || word.back() == '.') kind += word.back();  // the sentence's own
      continue;
    }
    // In a name ("web4", "eth0") the digits alone.
    for (const char c : word) {
      if (!is_digit(c)) {
        kind += c;
      } else if (kind.empty() || kind.back() != '#') {
        kind += '#';
      }
    }
  }
  return kind;
}

bool LogRate::admit(std::string_view line, Clock::time_point now) {
  if (is_audit(line)) return true;
  std::string name = log_kind(line);
  if (kinds_.size() >= kKinds && kinds_.find(name) == kinds_.end()) {
    std::erase_if(
        kinds_, [now](const auto& k) { return k.second.suppressed == 0 && now - k.second.began >= kWindow; });
    if (kinds_.size() >= kKinds) name.clear();
  }
  Kind& kind = kinds_[std::move(name)];
  if (kind.written == 0 || (now - kind.began >= kWindow && kind.suppressed == 0)) {
    kind.began = now;
    kind.written = 0;
  }
  if (kind.written < kBurst) {
    ++kind.written;
    return true;
  }
  if (kind.suppressed++ == 0) kind.first = line;
  return false;
}

std::vector<std::string> LogRate::summaries(Clock::time_point now) {
  std::vector<std::string> told;
  for (auto& [name, kind] : kinds_) {
    if (now - kind.began < kWindow || kind.suppressed == 0) continue;
    told.push_back(fmt::format("{} similar line{} suppressed: {}", kind.suppressed,
                               kind.suppressed == 1 ? "" : "s", kind.first));
    kind = {now, 0, 0, ""};
  }
  return told;
}

}  // namespace xebec
