// SPDX-License-Identifier: BSD-2-Clause
// A file named on the command line.
#include "control/cli_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

namespace xebec {
namespace {

/// A configuration beyond it is none; /dev/zero, for one.
constexpr std::size_t kMaxFile = std::size_t{64} << 20;

CliJson json_of(const Diagnostics& diagnostics) {
  CliJson out = CliJson::array();
  for (const Diagnostic& d : diagnostics) {
    out.push_back({{"file", d.file},
                   {"line", d.line},
                   {"column", d.column},
                   {"pointer", d.pointer},
                   {"message", d.message}});
  }
  return out;
}

}  // namespace

std::string shown_name(const std::string& file) {
  return file == "-" ? "(standard input)" : file;
}

tl::expected<std::string, CliError> read_file(const std::string& file) {
  const auto fault = [&](const std::string& why) {
    return tl::unexpected(CliError{"invalid_config", fmt::format("{}: {}", shown_name(file), why), ""});
  };
  struct Close {
    void operator()(std::FILE* f) const {
      if (f != stdin) static_cast<void>(std::fclose(f));
    }
  };
  const std::unique_ptr<std::FILE, Close> input(file == "-" ? stdin : std::fopen(file.c_str(), "rbe"));
  if (!input) return fault(std::strerror(errno));
  std::string text;
  char buffer[65536];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, input.get())) {
    text.append(buffer, count);
    if (text.size() > kMaxFile)
      return fault(fmt::format("larger than {} MiB; is this a configuration?", kMaxFile >> 20));
  }
  if (std::ferror(input.get()) != 0) return fault(std::strerror(errno));
  return text;
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

tl::expected<Config, CliError> read_config_file(const std::string& file) {
  const auto text = read_file(file);
  if (!text) return tl::unexpected(text.error());
  auto config = read_config(*text, shown_name(file));
  if (config) return std::move(*config);
  const Diagnostics& found = config.error();
  return tl::unexpected(CliError{"invalid_config",
                                 fmt::format("{}: {}", shown_name(file), counted(found.size(), "error")), "",
                                 json_of(found)});
}

}  // namespace xebec
