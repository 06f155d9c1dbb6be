// SPDX-License-Identifier: BSD-2-Clause
// The laying out of tables, and the writing of numbers for people.
#include "control/cli_table.h"

#include <algorithm>
#include <array>
#include <cassert>

#include <fmt/format.h>

namespace xebec {
namespace {

/// Columns a text takes: its code points. Names and addresses are ASCII; wide characters would be off by one
/// each.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string heading(std::string title) {
  std::transform(title.begin(), title.end(), title.begin(), [](char c) {
    if (c == '_') return ' ';
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return title;
}

std::string_view escape_of(Style style) {
  switch (style) {
    case Style::plain:
      return "";
    case Style::good:
      return "\x1b[32m";
    case Style::bad:
      return "\x1b[31m";
  }
  return "";
}

/// Three significant digits: 1.23, 12.3, 123.
std::string three_digits(double value) {
  if (value < 9.995) return fmt::format("{:.2f}", value);
  if (value < 99.95) return fmt::format("{:.1f}", value);
  return fmt::format("{:.0f}", value);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xa0;
    if (byte < 0x20 || byte == 0x7f || c1) {
      out += fmt::format("\\x{:02x}", byte);
      if (c1) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[++i]));
    } else {
      out += text[i];
    }
  }
  return out;
}

void TextTable::add(std::vector<Cell> cells) {
  assert(cells.size() == columns_.size());
  for (Cell& cell : cells) {
    cell.shown = printable(cell.shown);
    cell.exact = printable(cell.exact);
  }
  rows_.push_back(std::move(cells));
}

std::string TextTable::aligned(bool colour) const {
  return aligned(colour, Column::Where::tsv,
                 [](const Cell& cell) -> const std::string& { return cell.shown; });
}

std::string TextTable::aligned_exact(bool colour) const {
  static const std::string nothing = "-";
  return aligned(colour, Column::Where::table, [](const Cell& cell) -> const std::string& {
    return cell.exact.empty() ? nothing : cell.exact;
  });
}

std::string TextTable::aligned(bool colour, Column::Where left_out,
                               const std::string& (*text_in)(const Cell&)) const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = columns_[c].title.size();
    for (const auto& row : rows_) width = std::max(width, width_of(text_in(row[c])));
    widths.push_back(width);
  }
  std::string out;
  const auto add_line = [&](auto&& text_of, auto&& escape_for) {
    std::string blanks;  // held back until something follows: no blank at a line's end
    bool first = true;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (columns_[c].where == left_out) continue;
      if (!first) blanks += "  ";
      first = false;
      const std::string text = text_of(c);
      const std::string padding(widths[c] - width_of(text), ' ');
      if (columns_[c].right) blanks += padding;
      if (!text.empty()) {
        const std::string_view escape = colour ? escape_for(c) : std::string_view();
        out += blanks;
        out += escape;
        out += text;
        if (!escape.empty()) out += "\x1b[0m";
        blanks.clear();
      }
      if (!columns_[c].right) blanks += padding;
    }
    out += '\n';
  };
  add_line([&](std::size_t c) { return heading(columns_[c].title); },
           [](std::size_t) { return std::string_view("\x1b[1m"); });
  for (const auto& row : rows_) {
    add_line([&](std::size_t c) { return text_in(row[c]); },
             [&](std::size_t c) { return escape_of(row[c].style); });
  }
  return out;
}

std::string TextTable::tsv() const {
  std::string out;
  const auto add_line = [&](auto&& text_of) {
    bool first = true;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (columns_[c].where == Column::Where::table) continue;
      if (!first) out += '\t';
      first = false;
      out += text_of(c);
    }
    out += '\n';
  };
  add_line([&](std::size_t c) { return columns_[c].title; });
  for (const auto& row : rows_) {
    add_line([&](std::size_t c) { return row[c].exact; });
  }
  return out;
}

std::string human_count(uint64_t count) {
  if (count < 100'000) return std::to_string(count);
  constexpr std::array<char, 6> kUnits{'k', 'M', 'G', 'T', 'P', 'E'};
  double value = static_cast<double>(count) / 1000;
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return fmt::format("{}{}", three_digits(value), kUnits[unit]);
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::array<char, 6> kUnits{'K', 'M', 'G', 'T', 'P', 'E'};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1023.5 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{} {}iB", three_digits(value), kUnits[unit]);
}

std::string human_seconds(uint64_t seconds) {
  const uint64_t minutes = seconds / 60;
  const uint64_t hours = minutes / 60;
  const uint64_t days = hours / 24;
  if (days > 0) return fmt::format("{}d {}h", days, hours % 24);
  if (hours > 0) return fmt::format("{}h {}m", hours, minutes % 60);
  if (minutes > 0) return fmt::format("{}m {}s", minutes, seconds % 60);
  return fmt::format("{}s", seconds);
}

}  // namespace xebec
