// SPDX-License-Identifier: BSD-2-Clause
// What a configuration says of algorithms: words, what goes together, and what another algorithm leaves behind.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config_reader.h"

namespace xebec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::json;

std::string service_text(const std::string& more,
                         const std::string& backends = R"([{"address": "10.0.0.1"}])",
                         const std::string& defaults = "{}") {
  return fmt::format(
      R"({{"defaults": {}, "services": [{{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", {}{}"backends": {}}}]}})",
      defaults, more, more.empty() ? "" : ", ", backends);
}

/// Of a text that has errors: pointer and message of each.
std::vector<std::string> errors_of(const std::string& text) {
  std::vector<std::string> errors;
  const auto read = read_config(text, "f");
  if (read) return errors;
  for (const Diagnostic& error : read.error()) errors.push_back(error.pointer + ": " + error.message);
  return errors;
}

TEST(ConfigAlgorithm, EveryWordIsReadAndWritten) {
  const std::pair<const char*, Algorithm> words[] = {{"maglev", Algorithm::maglev},
                                                     {"source-hash", Algorithm::source_hash},
                                                     {"maglev-bounded", Algorithm::maglev_bounded},
                                                     {"rr", Algorithm::rr},
                                                     {"wrr", Algorithm::wrr},
                                                     {"random", Algorithm::random},
                                                     {"lc", Algorithm::lc},
                                                     {"wlc", Algorithm::wlc},
                                                     {"p2c", Algorithm::p2c}};
  for (const auto& [word, algorithm] : words) {
    for (const bool by_default : {false, true}) {
      const std::string key = fmt::format(R"("algorithm": "{}")", word);
      const auto read =
          read_config(by_default ? service_text("", "[]", "{" + key + "}") : service_text(key), "f");
      ASSERT_TRUE(read) << word;
      EXPECT_EQ(read->services[0].algorithm, algorithm);
      EXPECT_EQ(read->services[0].hash,
                algorithm == Algorithm::source_hash ? HashInput::source : HashInput::five_tuple);
      const auto again = read_config(write_config(*read, true).dump(), "again");
      ASSERT_TRUE(again) << word;
      EXPECT_EQ(*again, *read);
    }
  }
}

TEST(ConfigAlgorithm, TheShortFormHasThatOfTheDefaults) {
  const auto read = read_config(R"({"defaults": {"algorithm": "source-hash"},
      "vips": [{"vip": "192.0.2.1", "port": 1, "protocol": "tcp", "reals": [{"ip": "10.0.0.1"}]}]})",
                                "f");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->services[0].algorithm, Algorithm::source_hash);
  EXPECT_EQ(read->services[0].hash, HashInput::source);
}

TEST(ConfigAlgorithm, TheLoadFactorIsReadAndWritten) {
  const auto read =
      read_config(service_text(R"("algorithm": "maglev-bounded", "load_factor_percent": 150)"), "f");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->services[0].load_factor_percent, 150u);
  EXPECT_EQ(write_service(read->services[0])["load_factor_percent"], 150);
  EXPECT_EQ(
      read_config(service_text(R"("algorithm": "maglev-bounded")"), "f")->services[0].load_factor_percent,
      125u);
}

TEST(ConfigAlgorithm, SlowStartIsReadAndWritten) {
  const auto read = read_config(service_text(R"("slow_start_ms": 30000)"), "f");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->services[0].slow_start_ms, 30000u);
  EXPECT_EQ(write_service(read->services[0])["slow_start_ms"], 30000);
  EXPECT_EQ(read_config(service_text(""), "f")->services[0].slow_start_ms, 0u);
  EXPECT_THAT(errors_of(service_text(R"("slow_start_ms": 3600001)")),
              ElementsAre("/services/0/slow_start_ms: 3600001 is out of range 0..3600000"));
}

TEST(ConfigAlgorithm, WhatDoesNotGoTogetherIsRefused) {
  EXPECT_THAT(
      errors_of(service_text(R"("algorithm": "wrl")")),
      ElementsAre("/services/0/algorithm: \"wrl\" is not an algorithm; available: maglev, source-hash, "
                  "maglev-bounded, rr, wrr, random, lc, wlc, p2c"));
  EXPECT_THAT(errors_of(service_text(R"("load_factor_percent": 150)")),
              ElementsAre("/services/0/load_factor_percent: only algorithm maglev-bounded has one"));
  EXPECT_THAT(errors_of(service_text(R"("algorithm": "maglev-bounded", "load_factor_percent": 100)")),
              ElementsAre("/services/0/load_factor_percent: 100 is out of range 101..1000"));
  for (const char* word : {"maglev-bounded", "rr", "wrr", "random", "lc", "wlc", "p2c"}) {
    const std::string wanted = fmt::format(
        "/services/0/algorithm: {} has to remember which backend it gave a flow, and the service is "
        "stateless; it may "
        "have maglev or source-hash",
        word);
    const std::string key = fmt::format(R"("algorithm": "{}")", word);
    EXPECT_THAT(errors_of(service_text(key + R"(, "stateless": true)")), ElementsAre(wanted));
    EXPECT_THAT(errors_of(service_text(R"("stateless": true)", "[]", "{" + key + "}")), ElementsAre(wanted));
  }
  EXPECT_THAT(errors_of(service_text(R"("algorithm": "source-hash", "hash": "5-tuple")")),
              ElementsAre(HasSubstr("/services/0/hash: algorithm source-hash goes by the source alone")));
  EXPECT_THAT(
      errors_of(service_text(R"("algorithm": "lc", "hash": "source")")),
      ElementsAre("/services/0/hash: source means nothing to algorithm lc, which goes by no hash: leave it "
                  "out, or take source-hash or maglev"));
  EXPECT_TRUE(
      read_config(service_text(R"("algorithm": "source-hash", "hash": "source", "stateless": true)"), "f"));
  EXPECT_TRUE(read_config(service_text(R"("algorithm": "maglev-bounded", "hash": "source")"), "f"));
}

TEST(ConfigAlgorithm, WeightsThatWouldMeanNothingAreRefused) {
  const std::string unlike = R"([{"address": "10.0.0.1", "weight": 0}, {"address": "10.0.0.2", "weight": 7},
                                 {"address": "10.0.0.3", "weight": 8}])";
  const std::string alike = R"([{"address": "10.0.0.1", "weight": 0}, {"address": "10.0.0.2", "weight": 7},
                                {"address": "10.0.0.3", "weight": 7}])";
  for (const char* word : {"rr", "lc"}) {
    const std::string key = fmt::format(R"("algorithm": "{}")", word);
    EXPECT_THAT(errors_of(service_text(key, unlike)),
                ElementsAre(fmt::format(
                    "/services/0/backends/2/weight: 8 differs from the 7 of another backend, and to "
                    "algorithm {} all are equal: take w{}",
                    word, word)));
    EXPECT_TRUE(read_config(service_text(key, alike), "f"));
  }
  EXPECT_TRUE(read_config(service_text(R"("algorithm": "wrr")", unlike), "f"));
}

TEST(ConfigAlgorithm, AnotherAlgorithmLeavesBehindWhatBelongedToTheOldOne) {
  const Config defaults;
  const auto changed = [&](const std::string& before, const Json& fields) {
    return read_service(merged_service(read_config(service_text(before), "f").value().services[0], fields),
                        defaults);
  };
  const auto plain =
      changed(R"("algorithm": "maglev-bounded", "load_factor_percent": 150)", {{"algorithm", "maglev"}});
  ASSERT_TRUE(plain) << plain.error()[0].message;
  EXPECT_EQ(plain->algorithm, Algorithm::maglev);

  const auto by_source = changed("", {{"algorithm", "source-hash"}});
  ASSERT_TRUE(by_source) << by_source.error()[0].message;
  EXPECT_EQ(by_source->hash, HashInput::source);

  const auto by_turns = changed(R"("algorithm": "source-hash")", {{"algorithm", "rr"}});
  ASSERT_TRUE(by_turns) << by_turns.error()[0].message;
  EXPECT_EQ(by_turns->hash, HashInput::five_tuple);

  const auto bounded =
      changed(R"("hash": "source")", {{"algorithm", "maglev-bounded"}, {"load_factor_percent", 200}});
  ASSERT_TRUE(bounded) << bounded.error()[0].message;
  EXPECT_EQ(bounded->hash, HashInput::source) << "it may have that, too";
  EXPECT_EQ(bounded->load_factor_percent, 200u);

  EXPECT_FALSE(changed("", {{"algorithm", "wrl"}}));
  EXPECT_FALSE(changed("", {{"algorithm", 7}}));
}

}  // namespace
}  // namespace xebec
