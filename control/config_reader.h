// SPDX-License-Identifier: BSD-2-Clause
// JSON text <-> Config. One schema for the file, the API and the tool.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "control/config.h"

namespace xebec {

/// One thing wrong with a configuration. Printed as FILE:LINE:COL: error: POINTER: MESSAGE.
struct Diagnostic {
  std::string file;     ///< as given to read_config
  uint32_t line = 0;    ///< 1-based; 0 = no place in a text (a change made through the API)
  uint32_t column = 0;  ///< 1-based, bytes
  std::string pointer;  ///< RFC 6901, "" = the whole document
  std::string message;  ///< what is wrong and what would be right
  std::string to_string() const;
};
using Diagnostics = std::vector<Diagnostic>;

/// Reads a whole configuration: JSON (RFC 8259) with // and /* */ comments. Returns every error found, in
/// document order, not only the first: syntax, unknown keys with "did you mean", wrong types, ranges,
/// duplicate keys, names and services, bad references. Also reads the seeds' form
/// {"vips":[{"vip","port","protocol","reals":[{"ip","mac"}]}]}.
/// hidden_keys: whether a secret may be "hidden", as write_config() shows it.
enum class HiddenKeys : uint8_t { refused, allowed };
tl::expected<Config, Diagnostics> read_config(std::string_view text, const std::string& file,
                                              HiddenKeys hidden_keys = HiddenKeys::refused);

/// Reads one service or backend object, as the API takes it: the same keys and checks as inside a file.
tl::expected<ServiceConfig, Diagnostics> read_service(const nlohmann::json& value, const Config& defaults);
tl::expected<BackendConfig, Diagnostics> read_backend(const nlohmann::json& value,
                                                      const ServiceConfig& service);

/// A service with `fields` (an object) set, for read_service(). Another algorithm does not inherit what was said to the old one.
nlohmann::json merged_service(const ServiceConfig& service, const nlohmann::json& fields);

/// The checks that need the whole: unique names, no two services on one key, interfaces, limits. read_config
/// has run it; a change through the API runs it again on the result.
Diagnostics validate(const Config& config);

/// Canonical JSON of a configuration; read_config(write_config(c)) == c. The hash seed is written only if
/// `with_secrets`, and keys are "hidden" without.
nlohmann::ordered_json write_config(const Config& config, bool with_secrets);
nlohmann::ordered_json write_service(const ServiceConfig& service, bool with_secrets = false);
nlohmann::ordered_json write_backend(const BackendConfig& backend);

}  // namespace xebec
