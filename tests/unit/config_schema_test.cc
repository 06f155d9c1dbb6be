// SPDX-License-Identifier: BSD-2-Clause
// docs/xebec.schema.json and docs/config.md against the reader: keys, words, ranges, defaults and examples.
#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config_keys.h"
#include "control/config_reader.h"

namespace xebec {
namespace {

using Json = nlohmann::json;

std::string text_of(const std::string& name) {
  std::ifstream file(std::string(XEBEC_SOURCE_DIR) + "/docs/" + name);
  EXPECT_TRUE(file) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

const Json& schema() {
  static const Json schema = Json::parse(text_of("xebec.schema.json"));
  return schema;
}

std::set<std::string> keys_of(const ObjectRule& rule, bool only_required) {
  std::set<std::string> keys;
  for (const KeyRule& key : rule.keys) {
    if (key.use == KeyUse::required || (key.use == KeyUse::optional && !only_required))
      keys.emplace(key.name);
  }
  return keys;
}

/// The part of a property that is about numbers, alone or as one of several forms. Null if none is.
Json number_part(const Json& property) {
  std::vector<Json> parts{property};
  if (property.contains("oneOf")) parts.assign(property["oneOf"].begin(), property["oneOf"].end());
  for (const Json& part : parts) {
    if (part.value("type", "") == "integer") return part;
    if (part.value("type", "") == "array") return part["items"];
  }
  return nullptr;
}

TEST(ConfigSchema, HasTheReadersKeysAndNoOthers) {
  for (const ObjectRule* rule : kObjectRules) {
    const Json& definition = schema().at("$defs").at(std::string(rule->name));
    EXPECT_EQ(definition.at("additionalProperties"), false) << rule->name;
    std::set<std::string> properties;
    for (const auto& item : definition.at("properties").items()) properties.insert(item.key());
    EXPECT_EQ(properties, keys_of(*rule, false)) << rule->name;
    const Json required = definition.value("required", Json::array());
    EXPECT_EQ(required.get<std::set<std::string>>(), keys_of(*rule, true)) << rule->name;
  }
}

TEST(ConfigSchema, HasTheReadersWordsAndRanges) {
  int words = 0;
  int ranges = 0;
  for (const ObjectRule* rule : kObjectRules) {
    for (const KeyRule& key : rule->keys) {
      const std::string where = std::string(rule->name) + "." + std::string(key.name);
      const Json& property =
          schema().at("$defs").at(std::string(rule->name)).at("properties").at(std::string(key.name));
      if (key.words != nullptr && rule != &kVipRule) {  // the short form takes more spellings
        std::set<std::string> expected;
        for (const Word& word : key.words->available) expected.emplace(word.text);
        EXPECT_EQ(property.at("enum").get<std::set<std::string>>(), expected) << where;
        ++words;
      }
      if (key.range.high > 1) {
        const Json part = number_part(property);
        ASSERT_FALSE(part.is_null()) << where;
        EXPECT_EQ(part.at("minimum"), key.range.low) << where;
        EXPECT_EQ(part.at("maximum"), key.range.high) << where;
        ++ranges;
      }
    }
  }
  EXPECT_GT(words, 10);
  EXPECT_GT(ranges, 10);
}

TEST(ConfigSchema, HasTheReadersDefaults) {
  // What the reader gives to a configuration that says nothing, as the writer writes it.
  const Json written = write_config(read_config(R"({"interfaces": [{"name": "e"}], "services": [
      {"name": "s", "vip": "192.0.2.1", "port": 1, "protocol": "tcp", "backends": [{"address": "10.0.0.1"}]}]})",
                                                "f")
                                        .value(),
                                    false);
  const std::pair<const char*, Json> objects[] = {{"configuration", written},
                                                  {"interface", written["interfaces"][0]},
                                                  {"defaults", written["defaults"]},
                                                  {"timeouts", written["defaults"]["timeouts"]},
                                                  {"flow_table", written["flow_table"]},
                                                  {"icmp", written["icmp"]},
                                                  {"service", written["services"][0]},
                                                  {"backend", written["services"][0]["backends"][0]}};
  int compared = 0;
  for (const auto& [name, object] : objects) {
    for (const auto& item : schema()["$defs"][name]["properties"].items()) {
      if (!item.value().contains("default") || !object.contains(item.key())) continue;
      EXPECT_EQ(item.value()["default"], object[item.key()]) << name << "." << item.key();
      ++compared;
    }
  }
  EXPECT_GE(compared, 19);
}

TEST(ConfigDocs, HaveARowForEveryKey) {
  const std::string text = text_of("config.md");
  for (const ObjectRule* rule : kObjectRules) {
    for (const std::string& key : keys_of(*rule, false)) {
      EXPECT_THAT(text, testing::HasSubstr("\n| `" + key + "` |")) << rule->name;
    }
  }
}

TEST(ConfigDocs, ShowExamplesThatTheReaderTakes) {
  const std::string text = text_of("config.md");
  int examples = 0;
  for (std::size_t at = text.find("```jsonc\n"); at != std::string::npos; at = text.find("```jsonc\n", at)) {
    at += 9;
    const std::string example = text.substr(at, text.find("\n```", at) - at);
    const auto read = read_config(example, "docs/config.md");
    if (!read) ADD_FAILURE() << read.error().front().to_string();
    ++examples;
  }
  EXPECT_EQ(examples, 2);
}

}  // namespace
}  // namespace xebec
