// SPDX-License-Identifier: BSD-2-Clause
// The printing of the tool's errors.
#include "control/cli_error.h"

#include <cstdio>

#include <fmt/format.h>

#include "control/cli_table.h"
#include "control/config_reader.h"

namespace xebec {
namespace {

std::string text_field(const CliJson& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

uint32_t number_field(const CliJson& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint32_t>() : 0;
}

}  // namespace

int exit_code_of(const std::string& code) {
  if (code == "usage") return 2;
  if (code == "invalid_config") return 3;
  if (code == "unreachable") return 4;
  if (code == "permission") return 5;
  if (code == "not_found" || code == "conflict") return 6;
  if (code == "timeout") return 7;
  return 1;
}

void print_error(const CliError& error, bool as_json) {
  if (as_json) {
    const CliJson object{{"schema", "xebec.error/1"},
                         {"error",
                          {{"code", error.code},
                           {"message", error.message},
                           {"hint", error.hint},
                           {"diagnostics", error.diagnostics}}}};
    fmt::print(stderr, "{}\n", object.dump(-1, ' ', false, CliJson::error_handler_t::replace));
    return;
  }
  for (const CliJson& entry : error.diagnostics) {
    if (!entry.is_object()) continue;
    const Diagnostic diagnostic{text_field(entry, "file"), number_field(entry, "line"),
                                number_field(entry, "column"), text_field(entry, "pointer"),
                                text_field(entry, "message")};
    fmt::print(stderr, "{}\n", printable(diagnostic.to_string()));
  }
  fmt::print(stderr, "xebec: error: {}\n", printable(error.message));
  if (!error.hint.empty()) fmt::print(stderr, "hint: {}\n", printable(error.hint));
}

void narrate(const std::string& line) {
  std::fflush(stdout);  // results first, also where both go to one file
  fmt::print(stderr, "{}\n", printable(line));
}

}  // namespace xebec
