// SPDX-License-Identifier: BSD-2-Clause
#include "control/config_diff.h"

#include "control/config_reader.h"

namespace xebec {
namespace {

using Json = nlohmann::ordered_json;

/// Lists of named things become objects keyed by name, so that order does not count and paths read well.
Json keyed(const Json& list, const char* key) {
  Json object = Json::object();
  for (const Json& item : list) object[item.at(key).get<std::string>()] = item;
  return object;
}

Json comparable(const Config& config) {
  Json json = write_config(config, true);
  Json services = keyed(json.value("services", Json::array()), "name");
  for (auto& [name, service] : services.items()) {
    service["backends"] = keyed(service.value("backends", Json::array()), "address");
  }
  json["services"] = services;
  json["interfaces"] = keyed(json.value("interfaces", Json::array()), "name");
  return json;
}

/// Of QUIC connection ids, wherever they stand in what has changed.
void hide_keys(Json& json) {
  for (auto& [name, value] : json.items()) {
    if (name == "key" && value.is_string()) {
      value = "(secret)";
    } else if (value.is_structured()) {
      hide_keys(value);
    }
  }
}

void compare(const Json& before, const Json& after, const std::string& path, std::vector<ConfigChange>& out) {
  if (before == after) return;
  if (!before.is_object() || !after.is_object()) {
    out.push_back({ConfigChange::Op::change, path, before, after});
    return;
  }
  const std::string prefix = path.empty() ? "" : path + "/";
  for (const auto& [key, value] : after.items()) {
    if (before.contains(key)) {
      compare(before.at(key), value, prefix + key, out);
    } else {
      out.push_back({ConfigChange::Op::add, prefix + key, nullptr, value});
    }
  }
  for (const auto& [key, value] : before.items()) {
    if (!after.contains(key)) out.push_back({ConfigChange::Op::remove, prefix + key, value, nullptr});
  }
}

}  // namespace

std::string_view to_string(ConfigChange::Op op) {
  constexpr std::string_view kNames[] = {"add", "remove", "change"};
  return kNames[static_cast<std::size_t>(op)];
}

std::vector<ConfigChange> diff(const Config& before, const Config& after) {
  std::vector<ConfigChange> changes;
  compare(comparable(before), comparable(after), "", changes);
  for (ConfigChange& c : changes) {
    hide_keys(c.from);
    hide_keys(c.to);
    if (c.path != "hash_seed") continue;
    if (!c.from.is_null()) c.from = "(secret)";
    if (!c.to.is_null()) c.to = "(secret)";
  }
  return changes;
}

}  // namespace xebec
