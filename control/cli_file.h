// SPDX-License-Identifier: BSD-2-Clause
// A file named on the command line: the tool reads it itself, and needs no daemon for it.
#pragma once

#include <string>

#include <tl/expected.hpp>

#include "control/cli_error.h"
#include "control/config_reader.h"

namespace xebec {

/// As messages name it; "-" is standard input.
std::string shown_name(const std::string& file);

/// Errors have the code "invalid_config", as everything that keeps a configuration from being read.
tl::expected<std::string, CliError> read_file(const std::string& file);

/// With all its diagnostics in the error.
tl::expected<Config, CliError> read_config_file(const std::string& file);

/// "1 error", "2 errors"
std::string counted(std::size_t count, std::string_view noun);

}  // namespace xebec
