// SPDX-License-Identifier: BSD-2-Clause
// "health", "fail" and "fallback": what the reader takes, what it refuses, what is in force, and that writing loses
// nothing.
#include "control/config_health.h"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config_diff.h"
#include "control/config_reader.h"
#include "control/health_check.h"

namespace xebec {
namespace {

/// A service "s" with `health` and one backend that has `backend_health`, beneath `defaults`.
std::string text_of(const std::string& health, const std::string& backend_health = "",
                    const std::string& defaults = "{}", const std::string& port = "80") {
  const auto key = [](const std::string& value) { return value.empty() ? "" : ", \"health\": " + value; };
  return "{\"defaults\": " + defaults +
         ",\n\"services\": [{\"name\": \"s\", \"vip\": \"192.0.2.1\", \"port\": " + port +
         ", \"protocol\": \"tcp\"" + key(health) + ",\n\"backends\": [{\"address\": \"10.0.0.1\"" +
         key(backend_health) + "}]}]}";
}

std::string errors_of(const std::string& text) {
  const auto config = read_config(text, "f");
  std::string out;
  if (config) return out;
  for (const Diagnostic& d : config.error()) out += d.pointer + ": " + d.message + "\n";
  return out;
}

Config config_of(const std::string& text) {
  const auto config = read_config(text, "f");
  EXPECT_TRUE(config) << errors_of(text);
  return config.value_or(Config{});
}

HealthSettings in_force(const std::string& text) {
  const Config config = config_of(text);
  return check_of(config, config.services.at(0), config.services.at(0).backends.at(0)).settings;
}

TEST(ConfigHealth, ReadsEveryKey) {
  const HealthSettings http =
      in_force(text_of(R"({"type": "https", "interval_ms": 500, "timeout_ms": 200, "rise": 4,
      "fall": 5, "jitter_percent": 20, "initial": "down", "to": "backend", "port": 8443, "path": "/alive?x=1",
      "host": "example.org:8443", "method": "OPTIONS", "expect_status": [204, "300-399"], "expect_body": "OK",
      "tls_verify": true})"));
  HealthSettings expected;
  expected.type = HealthType::https;
  expected.interval_ms = 500;
  expected.timeout_ms = 200;
  expected.rise = 4;
  expected.fall = 5;
  expected.jitter_percent = 20;
  expected.initial = Health::down;
  expected.port = 8443;
  expected.path = "/alive?x=1";
  expected.host = "example.org:8443";
  expected.method = HttpMethod::options;
  expected.expect_status = {{204, 204}, {300, 399}};
  expected.expect_body = "OK";
  expected.tls_verify = true;
  EXPECT_EQ(http, expected);

  const HealthSettings udp = in_force(text_of(R"({"type": "udp", "payload": "ping", "expect_hex": "00fF"})"));
  EXPECT_EQ(udp.payload, "ping");
  EXPECT_EQ(udp.expect, std::string("\0\xff", 2));
  const HealthSettings dns =
      in_force(text_of(R"({"type": "dns", "dns_name": "example.org.", "dns_type": "AAAA"})"));
  EXPECT_EQ(dns.dns_name, "example.org.");
  EXPECT_EQ(dns.dns_type, 28);
}

TEST(ConfigHealth, ChecksNothingUnlessAsked) {
  EXPECT_EQ(in_force(text_of("")).type, HealthType::none);
  EXPECT_TRUE(checks_of(config_of(text_of(""))).empty());
  EXPECT_EQ(checks_of(config_of(text_of(R"({"type": "tcp"})"))).size(), 1u);
}

TEST(ConfigHealth, TakesTheInnermostValueOfEachKey) {
  const std::string defaults = R"({"health": {"type": "tcp", "interval_ms": 5000, "fall": 7}})";
  HealthSettings s =
      in_force(text_of(R"({"type": "http", "path": "/a", "fall": 2})", R"({"path": "/b"})", defaults));
  EXPECT_EQ(s.type, HealthType::http);
  EXPECT_EQ(s.path, "/b");
  EXPECT_EQ(s.fall, 2u);
  EXPECT_EQ(s.interval_ms, 5000u);
  EXPECT_EQ(s.rise, 2u) << "the default";
  EXPECT_EQ(in_force(text_of("", "", defaults)).type, HealthType::tcp);
  EXPECT_EQ(in_force(text_of("false", "", defaults)).type, HealthType::none);
  EXPECT_EQ(in_force(text_of("", "false", defaults)).type, HealthType::none);
  // Keys of another type are inherited with everything else, and mean nothing.
  EXPECT_EQ(in_force(text_of(R"({"type": "http", "path": "/a"})", R"({"type": "tcp"})")).type,
            HealthType::tcp);
}

TEST(ConfigHealth, ShortensTheTimeoutToTheInterval) {
  EXPECT_EQ(in_force(text_of(R"({"type": "tcp"})")).timeout_ms, 1000u);
  EXPECT_EQ(in_force(text_of(R"({"type": "tcp", "interval_ms": 300})")).timeout_ms, 300u);
}

TEST(ConfigHealth, ChecksWeightZeroAndNotMaintenance) {
  Config config = config_of(text_of(R"({"type": "tcp"})"));
  config.services[0].backends[0].weight = 0;
  EXPECT_EQ(checks_of(config).size(), 1u);
  config.services[0].backends[0].admin = Admin::maint;
  EXPECT_TRUE(checks_of(config).empty());
}

TEST(ConfigHealth, AsksAtTheServicesPortUnlessToldOtherwise) {
  const auto target = [](const std::string& text) { return checks_of(config_of(text)).at(0).target(); };
  EXPECT_EQ(target(text_of(R"({"type": "tcp"})")), "10.0.0.1:80");
  EXPECT_EQ(target(text_of(R"({"type": "tcp", "port": 81})")), "10.0.0.1:81");
  EXPECT_EQ(target(text_of(R"({"type": "icmp"})")), "10.0.0.1");
}

TEST(ConfigHealth, AsksTheVipWhereBackendsHaveIt) {
  const auto vip = [](const std::string& text) { return checks_of(config_of(text)).at(0).vip; };
  EXPECT_EQ(vip(text_of(R"({"type": "tcp"})")), std::nullopt);
  const std::string to_vip = R"({"type": "tcp", "to": "vip"})";
  EXPECT_EQ(vip(text_of(to_vip)), IpAddress::parse("192.0.2.1"));
  EXPECT_EQ(checks_of(config_of(text_of(to_vip))).at(0).target(), "192.0.2.1:80");
  EXPECT_EQ(vip(text_of(R"({"type": "udp", "to": "vip", "payload": "?", "expect": ""})")),
            IpAddress::parse("192.0.2.1"));
  // What is inherited and means nothing is passed over.
  const std::string defaults = R"({"health": {"type": "icmp", "to": "vip"}})";
  EXPECT_EQ(vip(text_of("", "", defaults)), IpAddress::parse("192.0.2.1"));
  EXPECT_EQ(vip(text_of(R"({"type": "http"})", "", defaults)), std::nullopt);
  Config config = config_of(text_of("", "", defaults));
  config.services[0].mode = Mode::nat;
  EXPECT_EQ(checks_of(config).at(0).vip, std::nullopt);
  config.services[0].mode = Mode::ipip;
  config.services[0].vip = IpAddress::parse("198.51.100.0").value();
  config.services[0].vip_length = 96 + 24;
  EXPECT_EQ(checks_of(config).at(0).vip, IpAddress::parse("198.51.100.1"))
      << "the first may be the network's";
  EXPECT_EQ(config_of(write_config(config_of(text_of(to_vip)), true).dump()), config_of(text_of(to_vip)));
}

TEST(ConfigHealth, ChecksAFallbackOnlyIfItSaysHow) {
  const auto with = [](const std::string& more) {
    return config_of(
        R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", "fail": "open",
        "health": {"type": "http", "path": "/alive"}, "fallback": {"address": "10.0.0.9")" +
        more + "}}]}");
  };
  EXPECT_EQ(with("").services[0].fail, FailPolicy::open);
  EXPECT_TRUE(checks_of(with("")).empty());
  const auto checks = checks_of(with(R"(, "health": {"path": "/"})"));
  ASSERT_EQ(checks.size(), 1u);
  EXPECT_EQ(checks[0].settings.type, HealthType::http);
  EXPECT_EQ(checks[0].settings.path, "/");
}

std::string nat_text(const std::string& health, const std::string& backend = "{}",
                     const std::string& more = "") {
  return R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", )" + more +
         R"("health": )" + health + R"(, "backends": [{"address": "10.0.0.1", "health": )" + backend +
         "}]}]}";
}

TEST(ConfigHealth, WatchesConnectionsWhereRepliesComeThroughHere) {
  const std::string nat = R"("mode": "nat", )";
  const Config config = config_of(nat_text(R"({"passive": {}})", "{}", nat));
  ASSERT_EQ(checks_of(config).size(), 1u);
  EXPECT_EQ(checks_of(config)[0].settings.passive, (PassiveHealth{5, 10'000}));
  EXPECT_EQ(checks_of(config)[0].settings.type, HealthType::none);
  EXPECT_EQ(checks_of(config)[0].target(), "10.0.0.1") << "nothing is asked, at no port";
  EXPECT_TRUE(checks_of(config_of(nat_text(R"({"passive": {}})", R"({"passive": false})", nat))).empty());
  EXPECT_TRUE(checks_of(config_of(nat_text(R"({"passive": {}})", "false", nat))).empty());
  const std::string mixed = nat_text(R"({"type": "tcp", "passive": {"fall": 9, "retry_after_ms": 600}})");
  EXPECT_EQ(errors_of(mixed),
            "/services/0/health/passive: watches TCP connections in modes dnat and nat: of others the "
            "replies do not "
            "come through here\n");
  EXPECT_EQ(errors_of(nat_text(R"({"passive": true})", "{}", nat)),
            "/services/0/health/passive: must be an object, or false for nothing\n");
  EXPECT_EQ(errors_of(nat_text(R"({"passive": {"fall": 0}})", "{}", nat)),
            "/services/0/health/passive/fall: 0 is out of range 1..1000\n");
  for (const std::string& text :
       {nat_text(R"({"passive": {"fall": 9}})", R"({"passive": false})", nat),
        nat_text(R"({"type": "http", "passive": {"retry_after_ms": 700}})", "{}", nat)}) {
    EXPECT_EQ(config_of(write_config(config_of(text), true).dump()), config_of(text)) << text;
  }
}

TEST(ConfigHealth, InheritsWhatBecomesOfPacketsWithoutABackend) {
  const Config config = config_of(R"({"defaults": {"fail": "reset", "on_down": "keep"}, "services": [
      {"name": "a", "vip": "192.0.2.1", "port": 80, "protocol": "tcp"},
      {"name": "b", "vip": "192.0.2.1", "port": 81, "protocol": "tcp", "fail": "pass", "on_down": "reset"}]})");
  EXPECT_EQ(config.services[0].fail, FailPolicy::reset);
  EXPECT_EQ(config.services[0].on_down, OnDown::keep);
  EXPECT_EQ(config.services[1].fail, FailPolicy::pass);
  EXPECT_EQ(config.services[1].on_down, OnDown::reset);
}

TEST(ConfigHealth, SurvivesWritingAndReading) {
  const std::string texts[] = {
      text_of("", "false", R"({"fail": "reset", "on_down": "keep"})"),
      R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", "fail": "pass",
          "on_down": "reset"}], "icmp": {"resets_per_s": 5}})",
      text_of("", "false", R"({"health": {"interval_ms": 700}, "fail": "open"})"),
      text_of(
          R"({"type": "http", "interval_ms": 500, "timeout_ms": 200, "rise": 4, "fall": 5, "jitter_percent": 0,
          "initial": "up", "port": 8443, "path": "/a", "host": "h", "method": "HEAD",
          "expect_status": [204, "300-399"]})",
          R"({"type": "udp", "payload_hex": "00ff", "expect": ""})"),
      text_of(R"({"type": "https", "tls_verify": false, "expect_body": "OK"})", R"({"type": "none"})"),
      text_of(R"({"type": "dns", "dns_name": "example.org", "dns_type": "SOA"})", R"({"dns_name": "."})"),
      R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "udp", "fail": "open",
          "fallback": {"address": "10.0.0.9", "health": {"type": "icmp"}}}]})"};
  for (const std::string& text : texts) {
    const Config config = config_of(text);
    const std::string written = write_config(config, true).dump();
    EXPECT_EQ(config_of(written), config) << written;
    EXPECT_TRUE(diff(config, config_of(written)).empty());
  }
}

TEST(ConfigHealth, ShowsInADiffWhatChanged) {
  const auto changes = diff(config_of(text_of(R"({"type": "tcp", "fall": 3})")),
                            config_of(text_of(R"({"type": "tcp", "fall": 4})", "false")));
  std::vector<std::string> paths;
  for (const ConfigChange& change : changes) paths.push_back(change.path);
  EXPECT_THAT(paths,
              testing::UnorderedElementsAre("services/s/health/fall", "services/s/backends/10.0.0.1/health"));
}

struct Refused {
  std::string text;
  std::string errors;
};

TEST(ConfigHealth, RefusesWithTheReason) {
  const std::string s = "/services/0/health";
  const Refused rows[] = {
      {text_of("true"), s + ": must be an object, or false for no check\n"},
      {text_of("\"tcp\""), s + ": must be an object, or false for no check\n"},
      {text_of(R"({"type": "tpc"})"),
       s + "/type: \"tpc\" is not a type; available: none, tcp, http, https, udp, icmp, dns\n"},
      {text_of(R"({"type": "http", "to": "vip"})"),
       s + "/to: vip is asked by single packets, which is not enough for http: take type tcp, udp, icmp or "
           "dns, or ask "
           "the backend\n"},
      {text_of(R"({"type": "udp", "to": "vip"})"), s + "/to: a backend without the VIP is silent, too: a "
                                                       "check of type udp to vip needs \"expect\" (\"\": any "
                                                       "answer)\n"},
      {nat_text(R"({"type": "tcp", "to": "vip"})", "{}", R"("mode": "nat", )"),
       s + "/to: modes dnat and nat send to the backend's own address, as its checks do: there is no VIP to "
           "ask\n"},
      {text_of(R"({"type": "tcp", "intervall_ms": 5})"),
       s + "/intervall_ms: unknown key \"intervall_ms\"; did you mean \"interval_ms\"?\n"},
      {text_of(R"({"type": "tcp", "interval_ms": 49})"),
       s + "/interval_ms: 49 is out of range 50..3600000\n"},
      {text_of(R"({"fall": 3})"),
       s + "/type: missing, here and in what it inherits from: tcp, http, ... or none\n"},
      {text_of(R"({"type": "tcp", "fall": 0})"), s + "/fall: 0 is out of range 1..100\n"},
      {text_of(R"({"type": "tcp", "path": "/"})"),
       s + "/path: means nothing to a check of type tcp, only to http and https\n"},
      {text_of(R"({"type": "http"})", R"({"type": "icmp", "payload": "x"})"),
       "/services/0/backends/0/health/payload: means nothing to a check of type icmp, only to udp\n"},
      {text_of(R"({"type": "http", "path": "alive"})"), s + "/path: \"alive\" does not begin with \"/\"\n"},
      {text_of(R"({"type": "http", "path": "/a\r\nX: y"})"),
       s + "/path: \"/a\\x0d\\x0aX: y\" has a blank or a character that is not ASCII\n"},
      {text_of(R"({"type": "http", "host": "a/b"})"),
       s + "/host: \"a/b\" is not a host name, with or without a port\n"},
      {text_of(R"({"type": "http", "expect_status": []})"),
       s + "/expect_status: an empty list: no answer would be good\n"},
      {text_of(R"({"type": "http", "expect_status": ["2xx"]})"),
       s + "/expect_status: its elements must be status codes such as 200, or ranges such as \"200-299\", in "
           "100..599\n"},
      {text_of(R"({"type": "http", "expect_status": [600]})"),
       s + "/expect_status: its elements must be status codes such as 200, or ranges such as \"200-299\", in "
           "100..599\n"},
      {text_of(R"({"type": "http", "method": "HEAD", "expect_body": "x"})"),
       s + "/method: HEAD is answered without a body, and \"expect_body\" wants one\n"},
      {text_of(R"({"type": "udp", "payload": "x", "payload_hex": "00"})"),
       s + "/payload_hex: \"payload\" is given as well\n"},
      {text_of(R"({"type": "udp", "expect_hex": "0"})"),
       s + "/expect_hex: \"0\" is not an even number of hex digits\n"},
      {text_of(R"({"type": "dns"})"), s + "/dns_name: missing; a check of type dns asks for a name\n"},
      {text_of(R"({"type": "dns", "dns_name": "a..b"})"), s + "/dns_name: \"a..b\" is not a domain name\n"},
      {text_of(R"({"type": "tcp", "interval_ms": 500, "timeout_ms": 501})"),
       s + "/timeout_ms: a timeout of 501 ms is longer than the interval, 500 ms: checks would overlap\n"},
      {text_of(R"({"type": "tcp", "interval_ms": 500})", "", R"({"health": {"timeout_ms": 900}})"),
       s + "/interval_ms: a timeout of 900 ms is longer than the interval, 500 ms: checks would overlap\n"},
      {text_of(R"({"type": "tcp"})", "", "{}", "\"any\""),
       s + "/port: missing: the service takes any port, so the check has to say which\n"},
      {text_of(R"({"type": "none", "to": "vip"})"), s + "/to: means nothing where nothing is asked\n"},
      {text_of("", "", R"({"health": {"path": "x"}})"),
       "/defaults/health/path: \"x\" does not begin with \"/\"\n"},
      {text_of("", "", R"({"fail": "passs"})"),
       "/defaults/fail: \"passs\" is not a fail; available: drop, reset, pass, open\n"},
      {text_of("", "", R"({"on_down": "move"})"),
       "/defaults/on_down: \"move\" is not an on_down; available: rehash, keep, reset\n"},
      {R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", "stateless": true,
          "on_down": "keep"}]})",
       "/services/0/on_down: keep is about connections that are remembered, and the service is stateless: "
       "its packets "
       "go where the lookup array says (rehash)\n"},
      {R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp",
          "backends": [{"address": "10.0.0.1"}],
          "fallback": {"address": "10.0.0.1"}}]})",
       "/services/0/fallback/address: is one of the service's backends: it would not be up either\n"},
      {R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", "fallback": []}]})",
       "/services/0/fallback: must be an object, not an array\n"},
  };
  for (const Refused& row : rows) EXPECT_EQ(errors_of(row.text), row.errors) << row.text;
}

TEST(ConfigHealth, TakesIcmpForAServiceOfAnyPort) {
  EXPECT_EQ(errors_of(text_of(R"({"type": "icmp"})", "", "{}", "\"any\"")), "");
}

TEST(ConfigHealth, TakesTheExampleOfItsPage) {
  std::ifstream file(XEBEC_SOURCE_DIR "/docs/health.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::size_t begin = text.str().find("```jsonc\n") + 9;
  const std::string example = text.str().substr(begin, text.str().find("\n```", begin) - begin);
  EXPECT_EQ(checks_of(config_of(example)).size(), 2u) << example;
}

TEST(ConfigHealth, HasTheSchemasDefaults) {
  std::ifstream file(XEBEC_SOURCE_DIR "/docs/xebec.schema.json");
  const auto schema = nlohmann::json::parse(file);
  const auto& properties = schema["$defs"]["health"]["properties"];
  const HealthSettings d;
  EXPECT_EQ(properties["interval_ms"]["default"], d.interval_ms);
  EXPECT_EQ(properties["timeout_ms"]["default"], d.timeout_ms);
  EXPECT_EQ(properties["rise"]["default"], d.rise);
  EXPECT_EQ(properties["fall"]["default"], d.fall);
  EXPECT_EQ(properties["jitter_percent"]["default"], d.jitter_percent);
  EXPECT_EQ(properties["initial"]["default"], to_string(d.initial));
  EXPECT_EQ(properties["path"]["default"], d.path);
  EXPECT_EQ(properties["method"]["default"], to_string(d.method));
  EXPECT_EQ(properties["expect_status"]["default"], (nlohmann::json{"200-399"}));
  EXPECT_EQ(d.expect_status, (std::vector<StatusRange>{{200, 399}}));
  EXPECT_EQ(properties["tls_verify"]["default"], d.tls_verify);
}

}  // namespace
}  // namespace xebec
