// SPDX-License-Identifier: BSD-2-Clause
// Rows and columns on a terminal, or as tab-separated values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace xebec {

/// Control characters, which a name from outside may hold, become \xNN: no value moves a cursor or breaks a
/// line.
std::string printable(std::string_view text);

enum class Style : uint8_t { plain, good, bad };

/// `shown` is for people (1.2M), `exact` for programs (1234567).
struct Cell {
  std::string shown;
  std::string exact;
  Style style = Style::plain;
};

/// A column stands in the aligned form, in the tab-separated one, or in both: what is one glance for an eye
/// (2/3) is two fields for a program.
struct Column {
  enum class Where : uint8_t { both, table, tsv };
  std::string title;  ///< lower case with underscores, as in TSV; the table shows it in capitals with blanks
  bool right = false;
  Where where = Where::both;
};

class TextTable {
 public:
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell for every column.
  void add(std::vector<Cell> cells);

  /// Two blanks between columns, no blank at a line's end. `colour`: ANSI, for a terminal.
  std::string aligned(bool colour) const;
  /// The columns and values of tsv(), for an eye; "-" where there is nothing.
  std::string aligned_exact(bool colour) const;
  /// A header line, then one line a row; exact values.
  std::string tsv() const;

 private:
  std::string aligned(bool colour, Column::Where left_out, const std::string& (*text_in)(const Cell&)) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// 99999, 123k, 1.23M: at most six characters.
std::string human_count(uint64_t count);
/// 512 B, 1.2 KiB
std::string human_bytes(uint64_t bytes);
/// 3d 4h, 4m 12s
std::string human_seconds(uint64_t seconds);

}  // namespace xebec
