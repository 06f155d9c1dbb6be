// SPDX-License-Identifier: BSD-2-Clause
// A command line's grammar as JSON, of which docs/man makes the reference pages: they can only say what the programs have.
#pragma once

#include <nlohmann/json.hpp>

namespace CLI {
class App;
}

namespace xebec {

/// {"name", "aliases", "what", "options": [{"names", "value", "what", "default", "choices", "required"}], "arguments": [the
/// same with "name"], "verbs": [...]}. What help hides is not in it.
nlohmann::ordered_json grammar_json(const CLI::App& app);

}  // namespace xebec
