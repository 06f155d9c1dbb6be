// SPDX-License-Identifier: BSD-2-Clause
// What goes wrong in the tool `xebec`, as it is printed and as the exit code says it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace xebec {

/// Answers keep the order of their keys: -p shows them as the daemon wrote them.
using CliJson = nlohmann::ordered_json;

/// docs/api.md lists the codes. A code from a newer daemon that this tool does not know exits 1.
struct CliError {
  std::string code;
  std::string message;  ///< "WHAT: WHY"
  std::string hint;     ///< what to do about it; may be empty
  CliJson diagnostics = CliJson::array();
};

int exit_code_of(const std::string& code);

/// Text: the diagnostics as FILE:LINE:COL lines, "xebec: error: WHAT: WHY", "hint: ...". JSON: one
/// xebec.error/1 object on one line. Both to stderr: stdout carries results only, so that a pipe never takes
/// an error for one.
void print_error(const CliError& error, bool as_json);

/// A line of narration on stderr.
void narrate(const std::string& line);

}  // namespace xebec
