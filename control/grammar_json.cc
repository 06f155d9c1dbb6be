// SPDX-License-Identifier: BSD-2-Clause
#include "control/grammar_json.h"

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace xebec {
namespace {

using Json = nlohmann::ordered_json;

Json option_json(const CLI::Option& option) {
  Json names = Json::array();
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  if (option.get_positional()) names.push_back(option.get_single_name());
  const bool flag = option.get_items_expected_max() == 0;
  return {{"names", names},
          {"value", flag ? "" : option.get_type_name()},
          {"what", option.get_description()},
          {"default", option.get_default_str()},
          {"required", option.get_required()},
          {"many", option.get_items_expected_max() > 1},
          {"environment", option.get_envname()}};
}

}  // namespace

Json grammar_json(const CLI::App& app) {
  Json options = Json::array(), arguments = Json::array(), verbs = Json::array();
  for (const CLI::Option* option : app.get_options([](const CLI::Option*) { return true; })) {
    if (option->get_group().empty()) continue;
    (option->get_positional() ? arguments : options).push_back(option_json(*option));
  }
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!verb->get_group().empty()) verbs.push_back(grammar_json(*verb));
  }
  return {{"name", app.get_name()}, {"aliases", app.get_aliases()}, {"what", app.get_description()},
          {"options", options},     {"arguments", arguments},       {"verbs", verbs}};
}

}  // namespace xebec
