// SPDX-License-Identifier: BSD-2-Clause
// The configuration reader: what it takes, what it refuses and where it says the fault is.
#include "control/config_reader.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config_document.h"

namespace xebec {
namespace {

using testing::HasSubstr;
using testing::Not;

/// All diagnostics, one a line; "" if the text was taken.
std::string errors_of(std::string_view text) {
  const auto config = read_config(text, "f");
  std::string out;
  if (config) return out;
  for (const Diagnostic& diagnostic : config.error()) out += diagnostic.to_string() + "\n";
  return out;
}

/// One service "s" with `more` keys and the given backends.
std::string service_text(const std::string& more, const std::string& backends = "[]") {
  return R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", )" + more +
         (more.empty() ? "" : ", ") + R"("backends": )" + backends + "}]}";
}

const char kFull[] = R"({
  "version": 1, // the only one
  "instance": "lb1",
  "hash_seed": "000102030405060708090A0b0c0d0e0f",
  "fallback_verdict": "pass",
  "hugepages": "off",
  "interfaces": [ { "name": "eth0", "queues": 4, "cpus": "2-5,7", "mode": "native", "bind": "copy",
                    "transmit": "ring", "poll": "busy", "irq_affinity": "set" },
                  { "name": "eth1", "queues": "auto", "cpus": [9, 8] }, {"name": "eth2", "cpus": "auto",
                    "local_mac": "02:00:00:00:00:0C"} ],
  "defaults": { "algorithm": "maglev", "table_size": 251, "mode": "ipip",
                "timeouts": {"tcp_established_s": 100, "tcp_syn_s": 1, "tcp_fin_s": 2, "udp_s": 3} },
  "flow_table": { "capacity": 2048, "max_inserts_per_s": 5000 },
  "tunnel": { "source_ipv4": "10.0.0.1/24", "source_ipv6": "2001:db8::1" },
  "icmp": { "errors_per_s": 0, "echo_replies_per_s": 50 },
  /* two
     services */
  "services": [ { "name": "web", "vip": "203.0.113.10", "port": 443, "protocol": "tcp", "mode": "dsr-l2",
                  "algorithm": "maglev", "hash": "5-tuple", "table_size": 65537, "stateless": true, "mss_clamp": 1380,
                  "backends": [ {"address": "10.0.1.11", "port": 443, "weight": 7, "admin": "drain"},
                                {"address": "2001:db8::11", "mode": "ipip", "mac": "02:00:00:00:00:0A"} ] },
                { "name": "dns", "vip": "2001:db8::53", "port": "any", "protocol": "udp", "mss_clamp": "off" } ],
  "control": { "socket": "/run/x.sock", "http": "[::1]:9190" }
})";

TEST(ConfigReader, ReadsAndWritesHowBackendsAreToldTheClient) {
  for (const auto& [word, note] : {std::pair{"none", ClientNote::none}, std::pair{"toa", ClientNote::toa},
                                   std::pair{"proxy-v2", ClientNote::proxy}}) {
    const std::string text = service_text(fmt::format(R"("mode": "nat", "client_address": "{}")", word));
    const auto read = read_config(text, "f");
    ASSERT_TRUE(read) << errors_of(text);
    EXPECT_EQ(read->services[0].client_address, note);
    const auto again = read_config(write_config(*read, true).dump(), "again");
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *read);
  }
}

TEST(ConfigReader, ReadsEveryKey) {
  const auto read = read_config(kFull, "f");
  ASSERT_TRUE(read) << errors_of(kFull);
  const Config& c = *read;
  EXPECT_EQ(c.instance, "lb1");
  ASSERT_TRUE(c.hash_seed);
  for (uint8_t i = 0; i < 16; ++i) EXPECT_EQ((*c.hash_seed)[i], i);
  EXPECT_EQ(c.fallback_verdict, FallbackVerdict::pass);
  EXPECT_EQ(c.hugepages, HugepageMode::off);

  const InterfaceConfig eth0{
      "eth0",         4,           {2, 3, 4, 5, 7}, XdpMode::native, BindMode::copy, TransmitMode::ring,
      PollMode::busy, IrqMode::set};
  const InterfaceConfig eth1{"eth1", 0, {9, 8}};
  InterfaceConfig eth2{"eth2", 0, {}};
  eth2.local_mac = MacAddress{{2, 0, 0, 0, 0, 12}};
  EXPECT_EQ(c.interfaces, (std::vector<InterfaceConfig>{eth0, eth1, eth2}));

  EXPECT_EQ(c.defaults.mode, Mode::ipip);
  EXPECT_EQ(c.defaults.table_size, 251u);
  EXPECT_EQ(c.defaults.timeouts.established_s, 100u);
  EXPECT_EQ(c.defaults.timeouts.syn_s, 1u);
  EXPECT_EQ(c.defaults.timeouts.fin_s, 2u);
  EXPECT_EQ(c.defaults.timeouts.udp_s, 3u);
  EXPECT_EQ(c.flows.capacity, 2048u);
  EXPECT_EQ(c.flows.max_inserts_per_s, 5000u);
  EXPECT_EQ(c.tunnel.source_ipv4, (TunnelSource{*IpAddress::parse("10.0.0.1"), 8}));
  EXPECT_EQ(c.tunnel.source_ipv6, (TunnelSource{*IpAddress::parse("2001:db8::1"), 0}));
  EXPECT_EQ(c.control.socket, "/run/x.sock");
  EXPECT_EQ(c.control.http, "[::1]:9190");

  ASSERT_EQ(c.services.size(), 2u);
  ServiceConfig web{
      "web", *IpAddress::parse("203.0.113.10"), 443, kProtoTcp, Mode::dsr_l2, 65537, true, {}, {}, 1380};
  web.backends.push_back({*IpAddress::parse("10.0.1.11"), 0, 7, Admin::drain, {}, {}, {}, {}});
  web.backends.push_back({*IpAddress::parse("2001:db8::11"),
                          0,
                          100,
                          Admin::ready,
                          Mode::ipip,
                          MacAddress{{2, 0, 0, 0, 0, 10}},
                          {},
                          {}});
  EXPECT_EQ(c.services[0], web);
  EXPECT_EQ(c.services[1], (ServiceConfig{"dns",
                                          *IpAddress::parse("2001:db8::53"),
                                          0,
                                          kProtoUdp,
                                          Mode::ipip,
                                          251,
                                          false,
                                          {},
                                          {},
                                          kMssClampOff}));
  EXPECT_EQ(c.icmp, (IcmpPolicy{0, 50}));
}

TEST(ConfigReader, ClampsTheMssByItselfUnlessTold) {
  EXPECT_EQ(read_config(service_text(""), "f").value().services[0].mss_clamp, kMssClampAuto);
  EXPECT_EQ(read_config(service_text("\"mss_clamp\": \"auto\""), "f").value().services[0].mss_clamp,
            kMssClampAuto);
}

TEST(ConfigReader, GivesAnEmptyObjectEveryDefault) {
  const auto read = read_config("{}", "f");
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, Config{});
}

TEST(ConfigReader, ReadsTheShortFormOfVips) {
  const char text[] = R"({"vips": [
    {"vip": "203.0.113.10", "port": "443", "protocol": "TCP",
     "reals": [{"ip": "10.0.1.11", "mac": "02:00:00:00:01:0b"}, {"ip": "10.0.1.12"}]},
    {"vip": "2001:db8::1", "port": 53, "protocol": 17, "reals": []},
    {"vip": "203.0.113.10", "port": "any", "protocol": "6", "reals": []}],
    "interfaces": [{"name": "eth0"}], "services": [{"name": "x", "vip": "192.0.2.9", "port": 1, "protocol": "tcp"}]})";
  const auto read = read_config(text, "f");
  ASSERT_TRUE(read) << errors_of(text);
  ASSERT_EQ(read->services.size(), 4u);
  EXPECT_EQ(read->interfaces.size(), 1u);
  const ServiceConfig& first = read->services[1];
  EXPECT_EQ(first.name, "vip-203.0.113.10-443-tcp");
  EXPECT_EQ(first.port, 443);
  ASSERT_EQ(first.backends.size(), 2u);
  EXPECT_EQ(first.backends[0].mac, (MacAddress{{2, 0, 0, 0, 1, 11}}));
  EXPECT_EQ(first.backends[1].address, IpAddress::parse("10.0.1.12"));
  EXPECT_EQ(first.backends[1].mac, std::nullopt);
  EXPECT_EQ(read->services[2].name, "vip-2001:db8::1-53-udp");
  EXPECT_EQ(read->services[2].protocol, kProtoUdp);
  EXPECT_EQ(read->services[3].name, "vip-203.0.113.10-any-tcp");
  EXPECT_EQ(read->services[3].port, 0);
}

TEST(ConfigReader, ReadsAndWritesPrefixesRangesProtocolsAndSourceRules) {
  const char text[] = R"({"interfaces": [{"name": "e"}], "services": [
    {"name": "a", "vip": "203.0.113.0/24", "port": "8000-8099", "protocol": "any", "hash": "source",
     "allow": ["10.0.0.0/8", "192.0.2.1"], "deny": ["10.1.0.0/16"],
     "rate_limit": {"new_flows_per_s": 7, "per": "source"}},
    {"name": "b", "vip": "2001:db8::/32", "port": "80-80", "protocol": "sctp", "hash": "source-destination",
     "rate_limit": {"new_flows_per_s": 9}}],
    "vips": [{"vip": "198.51.100.0/24", "port": "1-9", "protocol": 132, "reals": []}]})";
  const auto read = read_config(text, "f");
  ASSERT_TRUE(read) << errors_of(text);
  const ServiceConfig& a = read->services[0];
  EXPECT_EQ(a.match().to_string(), "203.0.113.0/24 port 8000-8099 protocol any");
  EXPECT_EQ(a.hash, HashInput::source);
  EXPECT_EQ(a.allow, (std::vector<IpPrefix>{*IpPrefix::parse("10.0.0.0/8"), *IpPrefix::parse("192.0.2.1")}));
  EXPECT_EQ(a.deny, (std::vector<IpPrefix>{*IpPrefix::parse("10.1.0.0/16")}));
  EXPECT_EQ(a.rate_limit, (NewFlowLimit{7, NewFlowLimit::Per::source}));
  const ServiceConfig& b = read->services[1];
  EXPECT_EQ(b.match().to_string(), "2001:db8::/32 port 80 protocol 132");
  EXPECT_EQ(b.rate_limit, (NewFlowLimit{9, NewFlowLimit::Per::service}));
  EXPECT_EQ(read->services[2].name, "vip-198.51.100.0_24-1-9-sctp");
  const auto again = read_config(write_config(*read, true).dump(), "f");
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *read);
}

TEST(ConfigReader, RefusesServicesThatClaimTheSameOrCross) {
  const auto service = [](const char* name, const char* vip, const char* port, const char* protocol) {
    return fmt::format(R"({{"name":"{}","vip":"{}","port":{},"protocol":"{}"}})", name, vip, port, protocol);
  };
  const auto both = [&](const char* vip, const char* first, const char* second, const char* protocol) {
    return "{\"services\":[\n" + service("a", vip, first, "tcp") + ",\n" +
           service("b", vip, second, protocol) + "]}";
  };
  EXPECT_EQ(errors_of(both("192.0.2.0/24", "80", "80", "tcp")),
            "f:3:19: error: /services/1/vip: 192.0.2.0/24:80/tcp is already served by \"a\", /services/0\n");
  EXPECT_EQ(errors_of(both("192.0.2.1", "\"80-90\"", "\"80-90\"", "tcp")),
            "f:3:19: error: /services/1/vip: 192.0.2.1:80-90/tcp is already served by \"a\", /services/0\n");
  for (const auto& [first, second] : {std::pair("\"80-90\"", "\"85-95\""), {"\"85-95\"", "\"80-90\""}}) {
    EXPECT_THAT(errors_of(both("192.0.2.1", first, second, "tcp")),
                testing::AllOf(testing::HasSubstr("/services/1/port: 192.0.2.1:8"),
                               testing::HasSubstr("crosses 192.0.2.1:8"),
                               testing::HasSubstr("of \"a\", /services/0")));
    EXPECT_EQ(errors_of(both("192.0.2.1", first, second, "udp")), "") << "of another protocol";
  }
  EXPECT_EQ(errors_of(both("192.0.2.1", "\"80-90\"", "\"81-90\"", "tcp")), "") << "nested";
  EXPECT_EQ(errors_of(both("192.0.2.1", "\"80-90\"", "\"91-95\"", "tcp")), "") << "apart";
  std::string nested;
  for (int length = 8; length <= 16; ++length) {
    const std::string vip = fmt::format("10.0.0.0/{}", length);
    nested +=
        (nested.empty() ? "" : ",") + service(fmt::format("n{}", length).c_str(), vip.c_str(), "80", "tcp");
  }
  EXPECT_THAT(errors_of("{\"services\":[" + nested + "]}"),
              testing::HasSubstr("10.0.0.0/16 lies in 8 other prefixes that are VIPs"));
}

struct Refused {
  const char* what;
  std::string text;
  const char* error;  ///< exactly what is printed
};

class ConfigReaderRefuses : public testing::TestWithParam<Refused> {};

TEST_P(ConfigReaderRefuses, WithOneLineThatSaysWhereAndWhy) {
  EXPECT_EQ(errors_of(GetParam().text), std::string(GetParam().error) + "\n");
}

std::string name_of_case(const testing::TestParamInfo<Refused>& info) {
  return info.param.what;
}

const Refused kSyntax[] = {
    {"EmptyText", "", "f:1:1: error: the document is empty; the smallest configuration is {\"version\": 1}"},
    {"BlankText", " \n\t",
     "f:1:1: error: the document is empty; the smallest configuration is {\"version\": 1}"},
    {"Truncated", "{\"version\": 1", "f:1:14: error: syntax error: unexpected end of input; expected '}'"},
    {"TrailingComma", "{\"version\": 1,\n}",
     "f:2:1: error: syntax error: unexpected '}'; expected string literal"},
    {"SecondValue", "{}\n {}", "f:2:2: error: syntax error: unexpected '{'; expected end of input"},
    {"MissingComma", "{\"a\": 1\n \"b\": 2}",
     "f:2:2: error: syntax error: unexpected string literal; expected '}'"},
    {"CommaAlone", "{\n ,}", "f:2:2: error: syntax error: unexpected ','; expected string literal"},
    {"NumberAsKey", "{\n12: 3}",
     "f:2:1: error: syntax error: unexpected number literal; expected string literal"},
    {"BadLiteral", "{\"version\": one}", "f:1:13: error: syntax error: invalid literal"},
    {"BadUtf8", "{\"instance\": \"a\xff\"}",
     "f:1:16: error: syntax error: invalid string: ill-formed UTF-8 byte"},
    {"NulByte", std::string("{}\n\0garbage", 11),
     "f:2:1: error: syntax error: a NUL byte; is this a text file?"},
    {"OpenComment", "{} /* ", "f:1:7: error: syntax error: invalid comment; missing closing '*/'"},
    {"HugeNumber", "{\"version\": 1e999}", "f:1:13: error: syntax error: the number is too large"},
    {"DeepNesting", std::string(100'000, '['), "f:1:17: error: nested more than 16 levels deep"},
    {"DeepObjects",
     "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
     "\"a\":{\"a\":\n{}",
     "f:2:1: error: nested more than 16 levels deep"},
    {"NoObject", "[]", "f:1:1: error: must be an object, not an array"},
    {"JustANumber", " 7", "f:1:2: error: must be an object, not a number"},
    {"RepeatedKey", "{\"version\": 1,\n \"version\": 1}",
     "f:2:2: error: /version: key \"version\" is here twice; first at line 1, column 2"},
    {"SeedIsNotQuoted", "{\"hash_seed\": \"00112233445566778899aabbccddeeffzz\"}",
     "f:1:15: error: /hash_seed: must be 32 hex digits; `openssl rand -hex 16` prints such"},
};
INSTANTIATE_TEST_SUITE_P(Syntax, ConfigReaderRefuses, testing::ValuesIn(kSyntax), name_of_case);

const Refused kKeys[] = {
    {"UnknownKeyNearAnother", "{\"instnace\": \"x\"}",
     "f:1:2: error: /instnace: unknown key \"instnace\"; did you mean \"instance\"?"},
    {"UnknownKeyNearNothing", "{\"tunnel\": {\"blue\": 1}}",
     "f:1:13: error: /tunnel/blue: unknown key \"blue\"; a tunnel has: source_ipv4, source_ipv6, port, "
     "gue_variant, vni, inner_mac, udp6_checksum"},
    {"KeyWithSlashAndEscape", "{\"control\": {\"a/b~\\u001b\": 1}}",
     "f:1:14: error: /control/a~1b~0?: unknown key \"a/b~\\x1b\"; a control has: socket, http"},
    {"HttpWithoutPort", R"({"control":{"http":"127.0.0.1"}})",
     "f:1:20: error: /control/http: \"127.0.0.1\" is not ADDRESS:PORT, as in \"127.0.0.1:9190\" or "
     "\"[::1]:9190\""},
    {"HttpByName", R"({"control":{"http":"localhost:9190"}})",
     "f:1:20: error: /control/http: \"localhost:9190\" is not ADDRESS:PORT, as in \"127.0.0.1:9190\" or "
     "\"[::1]:9190\""},
    {"MissingName", R"({"interfaces": [{"queues": 1}]})",
     "f:1:17: error: /interfaces/0/name: missing; every interface needs it"},
    {"MissingReals", R"({"vips": [{"vip": "192.0.2.1", "port": 1, "protocol": "udp"}]})",
     "f:1:11: error: /vips/0/reals: missing; every vip needs it"},
};
INSTANTIATE_TEST_SUITE_P(Keys, ConfigReaderRefuses, testing::ValuesIn(kKeys), name_of_case);

const Refused kValues[] = {
    {"Version2", "{\"version\": 2}", "f:1:13: error: /version: 2 is not supported; must be 1"},
    {"VersionString", "{\"version\": \"1\"}", "f:1:13: error: /version: must be a number, not a string"},
    {"PortTooLarge", R"({"services":[{"name":"s","vip":"192.0.2.1","port":70000,"protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: 70000 is out of range 1..65535"},
    {"PortZero", R"({"services":[{"name":"s","vip":"192.0.2.1","port":0,"protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: 0 is out of range 1..65535"},
    {"PortNegative", R"({"services":[{"name":"s","vip":"192.0.2.1","port":-1,"protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: -1 is out of range 1..65535"},
    {"PortFraction", R"({"services":[{"name":"s","vip":"192.0.2.1","port":80.0,"protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: 80.0 is not a whole number"},
    {"PortBeyond64Bits",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":18446744073709551696,"protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: 18446744073709551696 is out of range 1..65535"},
    {"PortAsText", R"({"services":[{"name":"s","vip":"192.0.2.1","port":"80","protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: must be a number: 80 without quotes"},
    {"PortRangeBackwards", R"({"services":[{"name":"s","vip":"192.0.2.1","port":"90-80","protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: \"90-80\": the range ends before it begins"},
    {"PortRangeFromZero", R"({"services":[{"name":"s","vip":"192.0.2.1","port":"0-80","protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: \"0-80\" is out of range 1..65535"},
    {"PortRangeTooLarge",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":"80-65536","protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: \"80-65536\" is out of range 1..65535"},
    {"PortHalfRange", R"({"services":[{"name":"s","vip":"192.0.2.1","port":"80-","protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: \"80-\" is not a port: a number from 1 to 65535, a range such as "
     "\"8000-8099\" or "
     "\"any\""},
    {"PortList", R"({"services":[{"name":"s","vip":"192.0.2.1","port":[80],"protocol":"tcp"}]})",
     "f:1:51: error: /services/0/port: must be a number from 1 to 65535, a range such as \"8000-8099\" or "
     "\"any\", not an "
     "array"},
    {"VipWithHostBits", R"({"services":[{"name":"s","vip":"192.0.2.1/24","port":80,"protocol":"tcp"}]})",
     "f:1:32: error: /services/0/vip: \"192.0.2.1/24\" has bits behind its prefix; did you mean 192.0.2.0/24 "
     "or "
     "192.0.2.1?"},
    {"VipTooWide", R"({"services":[{"name":"s","vip":"192.0.0.0/7","port":80,"protocol":"tcp"}]})",
     "f:1:32: error: /services/0/vip: 192.0.0.0/7 is too much for a VIP: /8 at least"},
    {"VipTooWideIpv6", R"({"services":[{"name":"s","vip":"2000::/15","port":80,"protocol":"tcp"}]})",
     "f:1:32: error: /services/0/vip: 2000::/15 is too much for a VIP: /16 at least"},
    {"VipPrefixTooLong", R"({"services":[{"name":"s","vip":"192.0.2.0/33","port":80,"protocol":"tcp"}]})",
     "f:1:32: error: /services/0/vip: \"192.0.2.0/33\" is not an IPv4 or IPv6 address or prefix"},
    {"AllowOfTheOtherFamily",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"tcp","allow":["2001:db8::/32"]}]})",
     "f:1:80: error: /services/0/allow/0: 2001:db8::/32 is not of the family of the service's address, "
     "192.0.2.1"},
    {"DenyWithHostBits",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"tcp","deny":["10.0.0.1/8"]}]})",
     "f:1:79: error: /services/0/deny/0: \"10.0.0.1/8\" has bits behind its prefix; did you mean 10.0.0.0/8 "
     "or 10.0.0.1?"},
    {"DenyOfANumber",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"tcp","deny":[7]}]})",
     "f:1:79: error: /services/0/deny/0: must be a string, not a number"},
    {"DenyTwice",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"tcp","deny":["10.0.0.0/8","10.0.0.0/8"]}]})",
     "f:1:92: error: /services/0/deny/1: 10.0.0.0/8 is in the list twice"},
    {"DenyWhatIsAllowed",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"tcp","allow":["10.0.0.0/8"],"deny":["10.0.0.0/8"]}]})",
     "f:1:102: error: /services/0/deny/0: 10.0.0.0/8 is in \"allow\", too"},
    {"RateLimitWithoutANumber",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"tcp","rate_limit":{"per":"source"}}]})",
     "f:1:84: error: /services/0/rate_limit/new_flows_per_s: missing; every rate_limit needs it"},
    {"RateLimitOfAStatelessService",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"tcp","stateless":true,"rate_limit":{"new_flows_per_s":5}}]})",
     "f:1:101: error: /services/0/rate_limit: a service that is stateless cannot tell new flows from others: "
     "leave out "
     "\"stateless\" or the limit"},
    {"HashOfQuic",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"udp","hash":"quic"}]})",
     "f:1:78: error: /services/0/hash: \"quic\" needs the object \"quic\", which says how connection ids are "
     "to be "
     "read"},
    {"BackendInThePrefix",
     R"({"services":[{"name":"s","vip":"192.0.2.0/24","port":80,"protocol":"tcp","backends":[{"address":"192.0.2.9"}]}]})",
     "f:1:97: error: /services/0/backends/0/address: is in the service's own prefix: its packets would come "
     "back"},
    {"VipNoAddress", R"({"services":[{"name":"s","vip":"example.org","port":80,"protocol":"tcp"}]})",
     "f:1:32: error: /services/0/vip: \"example.org\" is not an IPv4 or IPv6 address or prefix"},
    {"VipMulticast", R"({"services":[{"name":"s","vip":"ff02::1","port":80,"protocol":"tcp"}]})",
     "f:1:32: error: /services/0/vip: ff02::1 is not an address of one host: multicast"},
    {"VipUnspecified", R"({"services":[{"name":"s","vip":"0.0.0.0","port":80,"protocol":"tcp"}]})",
     "f:1:32: error: /services/0/vip: 0.0.0.0 is not an address of one host: this network (0.0.0.0/8)"},
    {"ProtocolUnknown", R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"TCP"}]})",
     "f:1:65: error: /services/0/protocol: \"TCP\" is not a protocol; available: tcp, udp, sctp, any"},
    {"NameWithBlank", R"({"services":[{"name":"a b","vip":"192.0.2.1","port":80,"protocol":"tcp"}]})",
     "f:1:22: error: /services/0/name: \"a b\" is not a name: a letter or digit, then letters, digits and "
     "any of . _ - :"},
    {"ModeUnknown", service_text("\"mode\": \"dsr\""),
     "f:1:88: error: /services/0/mode: \"dsr\" is not a mode; available: dsr-l2, ipip, gue, gre, vxlan, "
     "dnat, "
     "nat"},
    {"FailUnknown", service_text("\"fail\": \"refuse\""),
     "f:1:88: error: /services/0/fail: \"refuse\" is not a fail; available: drop, reset, pass, open"},
    {"TableSizeNotPrime", service_text("\"table_size\": 65536"),
     "f:1:94: error: /services/0/table_size: 65536 is not prime; the nearest primes are 65521 and 65537"},
    {"TableSizeOfDefaultsOnce",
     R"({"defaults": {"table_size": 4}, "vips": [{"vip":"192.0.2.1","port":1,"protocol":6,"reals":[]}]})",
     "f:1:29: error: /defaults/table_size: 4 is not prime; the nearest primes are 3 and 5"},
    {"TableSizeTooSmall",
     service_text("\"table_size\": 2",
                  R"([{"address":"10.0.0.1"},{"address":"10.0.0.2"},{"address":"10.0.0.3"}])"),
     "f:1:94: error: /services/0/table_size: 2 slots are too few for 3 backends with weight: each needs one, "
     "100 for a good "
     "balance"},
    {"StatelessAsNumber", service_text("\"stateless\": 1"),
     "f:1:93: error: /services/0/stateless: must be true or false, not a number"},
    {"MssClampOutOfRange", service_text("\"mss_clamp\": 47"),
     "f:1:93: error: /services/0/mss_clamp: 47 is out of range 48..65495"},
    {"MssClampWord", service_text("\"mss_clamp\": \"on\""),
     "f:1:93: error: /services/0/mss_clamp: \"on\" is neither a number nor \"auto\" nor \"off\""},
    {"MssClampFlag", service_text("\"mss_clamp\": true"),
     "f:1:93: error: /services/0/mss_clamp: must be a number, \"auto\" or \"off\", not true or false"},
    {"ClientAddressUnknown", service_text("\"client_address\": \"proxy\""),
     "f:1:98: error: /services/0/client_address: \"proxy\" is not a value of client_address; available: "
     "none, "
     "toa, proxy-v2"},
    {"ClientAddressWithoutNat", service_text("\"client_address\": \"toa\""),
     "f:1:98: error: /services/0/client_address: toa is for mode nat: with mode dsr-l2 a backend sees the "
     "client's own address"},
    {"ClientAddressToaOfUdp",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"udp","mode":"nat","client_address":"toa"}]})",
     "f:1:101: error: /services/0/client_address: toa is an option of TCP, and the service's protocol is "
     "udp"},
    {"ClientAddressProxyOfSctp",
     R"({"services":[{"name":"s","vip":"192.0.2.1","port":80,"protocol":"sctp","mode":"nat","client_address":"proxy-v2"}]})",
     "f:1:102: error: /services/0/client_address: proxy-v2 goes with tcp and udp, and the service's protocol "
     "is "
     "sctp"},
    {"IcmpRateOutOfRange", R"({"icmp":{"errors_per_s":1000001}})",
     "f:1:25: error: /icmp/errors_per_s: 1000001 is out of range 0..1000000"},
    {"IcmpUnknownKey", R"({"icmp":{"error_per_s":1}})",
     "f:1:10: error: /icmp/error_per_s: unknown key \"error_per_s\"; did you mean \"errors_per_s\"?"},
    {"UnknownIrqAffinity", R"({"interfaces":[{"name":"eth0","irq_affinity":"yes"}]})",
     "f:1:46: error: /interfaces/0/irq_affinity: \"yes\" is not a value of irq_affinity; available: leave, "
     "set"},
    {"UnknownHugepages", R"({"hugepages":"on"})",
     "f:1:14: error: /hugepages: \"on\" is not a value of hugepages; available: auto, off"},
    {"UnknownTransmit", R"({"interfaces":[{"name":"eth0","transmit":"live"}]})",
     "f:1:42: error: /interfaces/0/transmit: \"live\" is not a transmit; available: auto, ring, inject"},
    {"QueuesZero", R"({"interfaces":[{"name":"eth0","queues":0}]})",
     "f:1:40: error: /interfaces/0/queues: 0 is out of range 1..256"},
    {"QueuesWord", R"({"interfaces":[{"name":"eth0","queues":"all"}]})",
     "f:1:40: error: /interfaces/0/queues: \"all\" is neither a number nor \"auto\""},
    {"CpusBackwards", R"({"interfaces":[{"name":"eth0","cpus":"5-2"}]})",
     "f:1:38: error: /interfaces/0/cpus: \"5-2\" is not a list of CPUs such as \"2-5,7\", nor \"auto\""},
    {"CpusHugeRange", R"({"interfaces":[{"name":"eth0","cpus":"0-99999999999"}]})",
     "f:1:38: error: /interfaces/0/cpus: 99999999999 is out of range 0..8191"},
    {"CpuTwice", R"({"interfaces":[{"name":"eth0","cpus":"1-3,2-5"}]})",
     "f:1:38: error: /interfaces/0/cpus: CPU 2 is in the list twice"},
    {"CpusEmptyList", R"({"interfaces":[{"name":"eth0","cpus":[]}]})",
     "f:1:38: error: /interfaces/0/cpus: an empty list; for every CPU write \"auto\""},
    {"CpuNegative", R"({"interfaces":[{"name":"eth0","cpus":[-1]}]})",
     "f:1:38: error: /interfaces/0/cpus: its elements must be whole numbers in 0..8191"},
    {"InterfaceNameTooLong", R"({"interfaces":[{"name":"abcdefghijklmnop"}]})",
     "f:1:24: error: /interfaces/0/name: \"abcdefghijklmnop\" is longer than 15 characters"},
    {"TimeoutZero", R"({"defaults":{"timeouts":{"udp_s":0}}})",
     "f:1:34: error: /defaults/timeouts/udp_s: 0 is out of range 1..604800"},
    {"TunnelPrefix", R"({"tunnel":{"source_ipv4":"10.0.0.1/33"}})",
     "f:1:26: error: /tunnel/source_ipv4: \"10.0.0.1/33\" is not a prefix of 8 to 32 bits"},
    {"TunnelVni", R"({"tunnel":{"vni":16777216}})",
     "f:1:18: error: /tunnel/vni: 16777216 is out of range 0..16777215"},
    {"VlanWord", R"({"services":[{"name":"a","vip":"192.0.2.1","port":1,"protocol":"tcp","backends":[
       {"address":"10.0.0.1","vlan":"all"}]}]})",
     "f:2:37: error: /services/0/backends/0/vlan: must be a number from 1 to 4094, \"keep\" or \"none\", not "
     "a string"},
    {"VxlanWithoutVni",
     R"({"services":[{"name":"a","vip":"192.0.2.1","port":1,"protocol":"tcp","mode":"vxlan",
       "tunnel":{"inner_mac":"02:00:00:00:00:01"},"backends":[{"address":"10.0.0.1"},
       {"address":"10.0.0.2","tunnel":{"vni":7}}]}]})",
     "f:2:63: error: /services/0/backends/0: mode vxlan needs \"vni\" in a \"tunnel\" of the backend, its "
     "service or the "
     "configuration"},
    {"VxlanFallbackWithoutVni",
     R"({"services":[{"name":"a","vip":"192.0.2.1","port":1,"protocol":"tcp",
       "backends":[{"address":"10.0.0.1"}],
       "fallback":{"address":"10.0.0.2","mode":"vxlan","tunnel":{"inner_mac":"02:00:00:00:00:01"}}}]})",
     "f:3:19: error: /services/0/fallback: mode vxlan needs \"vni\" in a \"tunnel\" of the backend, its "
     "service or "
     "the configuration"},
    {"NatAddressOfAPrefix", R"({"nat":{"addresses":["192.0.2.7"]},"services":[
       {"name":"a","vip":"192.0.2.0/28","port":1,"protocol":"tcp","backends":[]}]})",
     "f:1:21: error: /nat/addresses: 192.0.2.7 is the VIP of \"a\""},
    {"NatBackendThatIsAVip", R"({"services":[
       {"name":"a","vip":"192.0.2.0/28","port":1,"protocol":"tcp","backends":[]},
       {"name":"b","vip":"192.0.2.100","port":1,"protocol":"tcp","mode":"nat","backends":[{"address":"10.0.0.1"}],
        "fallback":{"address":"192.0.2.9"}}]})",
     "f:4:31: error: /services/1/fallback/address: 192.0.2.9 is an address of the VIP of \"a\": its answers "
     "would be "
     "taken for forged ones"},
    {"TunnelFamily", R"({"tunnel":{"source_ipv4":"2001:db8::1"}})",
     "f:1:26: error: /tunnel/source_ipv4: 2001:db8::1 is not an IPv4 address"},
    {"SocketRelative", R"({"control":{"socket":"x.sock"}})",
     "f:1:22: error: /control/socket: \"x.sock\" is not an absolute path"},
    {"SeedProtocolNumber", R"({"vips":[{"vip":"192.0.2.1","port":1,"protocol":133,"reals":[]}]})",
     "f:1:49: error: /vips/0/protocol: protocol 133 is neither 6 (tcp), 17 (udp) nor 132 (sctp)"},
    {"SeedRealAddress",
     R"({"vips":[{"vip":"192.0.2.1","port":1,"protocol":6,"reals":[{"ip":"192.0.2.1"}]}]})",
     "f:1:66: error: /vips/0/reals/0/ip: is the service's own address: its packets would come back"},
};
INSTANTIATE_TEST_SUITE_P(Values, ConfigReaderRefuses, testing::ValuesIn(kValues), name_of_case);

const Refused kBackends[] = {
    {"WeightTooLarge", service_text("", R"([{"address":"10.0.0.1","weight":1001}])"),
     "f:1:124: error: /services/0/backends/0/weight: 1001 is out of range 0..1000"},
    {"OtherPort", service_text("", R"([{"address":"10.0.0.1","port":8080}])"),
     "f:1:122: error: /services/0/backends/0/port: 8080 differs from the service's port, and mode dsr-l2 "
     "leaves ports as "
     "they are"},
    {"OtherFamilyWithoutMac", service_text("", R"([{"address":"2001:db8::1"}])"),
     "f:1:104: error: /services/0/backends/0/address: 2001:db8::1 is IPv6 and the service IPv4: with mode "
     "dsr-l2 a backend "
     "has the family of its service, unless its \"mac\" is given"},
    {"MulticastMac", service_text("", R"([{"address":"10.0.0.1","mac":"01:00:5e:00:00:01"}])"),
     "f:1:121: error: /services/0/backends/0/mac: 01:00:5e:00:00:01 is a multicast address, no host's"},
    {"MulticastLocalMac", R"({"interfaces":[{"name":"e","local_mac":"03:00:00:00:00:01"}]})",
     "f:1:40: error: /interfaces/0/local_mac: 03:00:00:00:00:01 is a multicast address, no host's"},
    {"NoLocalMac", R"({"interfaces":[{"name":"e","local_mac":"00:00:00:00:00:00"}]})",
     "f:1:40: error: /interfaces/0/local_mac: 00:00:00:00:00:00 is no host's address"},
    {"BadMac", service_text("", R"([{"address":"10.0.0.1","mac":"02-00"}])"),
     "f:1:121: error: /services/0/backends/0/mac: \"02-00\" is not a MAC address of the form "
     "aa:bb:cc:dd:ee:ff"},
    {"Twice", service_text("", R"([{"address":"10.0.0.1"},{"address":"10.0.0.1"}])"),
     "f:1:127: error: /services/0/backends/1/address: 10.0.0.1 is already a backend of this service: "
     "/services/0/backends/0"},
    {"NoObject", service_text("", R"(["10.0.0.1"])"),
     "f:1:93: error: /services/0/backends/0: must be an object, not a string"},
};
INSTANTIATE_TEST_SUITE_P(Backends, ConfigReaderRefuses, testing::ValuesIn(kBackends), name_of_case);

TEST(ConfigReader, TakesAnyFamilyWithIpipAndWithAStaticMac) {
  EXPECT_EQ(
      errors_of(service_text("\"mode\": \"ipip\"", R"([{"address":"2001:db8::1"},{"address":"10.0.0.1"}])")),
      "");
  EXPECT_EQ(errors_of(service_text("", R"([{"address":"2001:db8::1","mac":"02:00:00:00:00:01"}])")), "");
  EXPECT_EQ(errors_of(service_text("", R"([{"address":"2001:db8::1","mode":"ipip"}])")), "");
}

TEST(ConfigReader, RefusesNamesServicesAndInterfacesThatAreThereTwice) {
  const std::string errors = errors_of(R"({
 "interfaces": [{"name": "eth0"}, {"name": "eth0"}],
 "services": [{"name": "a", "vip": "192.0.2.1", "port": 80, "protocol": "tcp"},
              {"name": "a", "vip": "192.0.2.1", "port": 81, "protocol": "tcp"},
              {"name": "b", "vip": "192.0.2.1", "port": 80, "protocol": "tcp"}],
 "vips": [{"vip": "192.0.2.1", "port": 81, "protocol": "tcp", "reals": []}]})");
  EXPECT_EQ(errors,
            "f:2:44: error: /interfaces/1/name: \"eth0\" is already in the list: /interfaces/0\n"
            "f:4:24: error: /services/1/name: the name \"a\" is already taken by /services/0\n"
            "f:5:36: error: /services/2/vip: 192.0.2.1:80/tcp is already served by \"a\", /services/0\n"
            "f:6:19: error: /vips/0/vip: 192.0.2.1:81/tcp is already served by \"a\", /services/1\n");
}

TEST(ConfigReader, ReportsEveryErrorInDocumentOrder) {
  const std::string errors = errors_of(R"({
  "services": [
    { "name": "web", "vip": "203.0.113.999", "port": 70000, "protocol": "tcp", "backend": [] },
    { "name": "web", "vip": "203.0.113.10", "port": 443, "protocol": "icmp",
      "backends": [ {"addres": "10.0.1.11"}, {"address": "10.0.1.12", "weight": -5, "mac": 7} ] },
    42
  ],
  "version": 2
})");
  EXPECT_EQ(
      errors,
      "f:3:29: error: /services/0/vip: \"203.0.113.999\" is not an IPv4 or IPv6 address or prefix\n"
      "f:3:54: error: /services/0/port: 70000 is out of range 1..65535\n"
      "f:3:80: error: /services/0/backend: unknown key \"backend\"; did you mean \"backends\"?\n"
      "f:4:15: error: /services/1/name: the name \"web\" is already taken by /services/0\n"
      "f:4:70: error: /services/1/protocol: \"icmp\" is not a protocol; available: tcp, udp, sctp, any\n"
      "f:5:21: error: /services/1/backends/0/address: missing; every backend needs it\n"
      "f:5:22: error: /services/1/backends/0/addres: unknown key \"addres\"; did you mean \"address\"?\n"
      "f:5:81: error: /services/1/backends/1/weight: -5 is out of range 0..1000\n"
      "f:5:92: error: /services/1/backends/1/mac: must be a string, not a number\n"
      "f:6:5: error: /services/2: must be an object, not a number\n"
      "f:8:14: error: /version: 2 is not supported; must be 1\n");
}

TEST(ConfigReader, PutsPositionsBehindCommentsStringsAndByteOrderMarks) {
  const char text[] =
      "\xEF\xBB\xBF// \"a\": {[\r\n/* ] \" */ {\"instance\": /* x */ \"q\\\"}\\u00e9/*\",\t// {\r\n "
      "\"version\":3}";
  EXPECT_EQ(errors_of(text),
            "f:2:32: error: /instance: \"q\\\"}\xC3\xA9/*\" is not a name: a letter or digit, then letters, "
            "digits and any "
            "of . _ - :\n"
            "f:3:12: error: /version: 3 is not supported; must be 1\n");
}

TEST(ConfigReader, NeverRepeatsTheHashSeed) {
  for (const char* text : {R"({"hash_seed": "5eC2E7"})", R"({"hash_seed": "5eC2E7)",
                           R"({"hash_seed": 5eC2E7})", R"({"hash_seed": ["5eC2E7"]})"}) {
    const std::string errors = errors_of(text);
    EXPECT_NE(errors, "") << text;
    EXPECT_THAT(errors, Not(HasSubstr("C2E7"))) << text;
  }
}

TEST(ConfigReader, BoundsTheNumberOfErrors) {
  std::string text = "{";
  for (int i = 0; i < 5000; ++i) text += "\"unknown_key_" + std::to_string(i) + "\": 1,\n";
  text += "\"version\": 1}";
  const auto read = read_config(text, "f");
  ASSERT_FALSE(read);
  ASSERT_EQ(read.error().size(), 1001u);
  EXPECT_EQ(read.error().back().message, "4000 more errors are not shown");
}

TEST(ConfigReader, ChecksLimitsOfTheWhole) {
  std::string many = R"({"interfaces": [)";
  for (int i = 0; i < 17; ++i)
    many += (i == 0 ? "" : ",") + std::string(R"({"name": "e)") + std::to_string(i) + "\"}";
  EXPECT_EQ(errors_of(many + "]}"),
            "f:1:16: error: /interfaces: 17 interfaces are more than a daemon serves, 16\n");

  Config config;
  for (uint32_t i = 0; i < kMaxServices + 1; ++i) {
    ServiceConfig service{"s" + std::to_string(i),
                          *IpAddress::parse("192.0.2.1"),
                          static_cast<uint16_t>(i + 1),
                          kProtoTcp,
                          Mode::dsr_l2,
                          251,
                          false,
                          {},
                          {}};
    config.services.push_back(service);
  }
  const Diagnostics found = validate(config);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].to_string(), "error: /services: 4097 services are more than a daemon serves, 4096");
}

TEST(ConfigReader, ReadsAServiceAsTheApiTakesIt) {
  Config config;
  config.defaults = {Mode::ipip, 251};
  const auto good =
      read_service(nlohmann::json::parse(R"({"name":"s","vip":"192.0.2.1","port":80,"protocol":"tcp",
                                 "backends":[{"address":"2001:db8::1"}]})"),
                   config);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->mode, Mode::ipip);
  EXPECT_EQ(good->table_size, 251u);

  const auto bad =
      read_service(nlohmann::json::parse(R"({"name":"s","vip":"192.0.2.1","port":-80,"protocol":"tcp",
                                "backends":[{"address":"192.0.2.1"},{"address":7}]})"),
                   config);
  ASSERT_FALSE(bad);
  ASSERT_EQ(bad.error().size(), 2u);  // the port is not known, so nothing is said about the first backend
  EXPECT_EQ(bad.error()[0].to_string(), "error: /port: -80 is out of range 1..65535");
  EXPECT_EQ(bad.error()[1].to_string(), "error: /backends/1/address: must be a string, not a number");
}

TEST(ConfigReader, ReadsABackendAsTheApiTakesIt) {
  ServiceConfig service{"s", *IpAddress::parse("192.0.2.1"), 80, kProtoTcp, Mode::dsr_l2, 251, false, {}, {}};
  const auto good = read_backend({{"address", "10.0.0.1"}, {"weight", 3}, {"port", 80}}, service);
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, (BackendConfig{*IpAddress::parse("10.0.0.1"), 0, 3, Admin::ready, {}, {}, {}, {}}));

  const auto bad = read_backend({{"address", "2001:db8::1"}, {"wieght", 3}}, service);
  ASSERT_FALSE(bad);
  ASSERT_EQ(bad.error().size(), 2u);
  EXPECT_EQ(bad.error()[0].to_string(), "error: /wieght: unknown key \"wieght\"; did you mean \"weight\"?");
  EXPECT_THAT(bad.error()[1].to_string(),
              HasSubstr("error: /address: 2001:db8::1 is IPv6 and the service IPv4"));

  EXPECT_EQ(read_backend(nlohmann::json(5), service).error().at(0).to_string(),
            "error: must be an object, not a number");
}

TEST(ConfigReader, RefusesAnApiValueNestedTooDeeply) {
  nlohmann::json deep = nlohmann::json::array();
  for (int i = 0; i < 1000; ++i) deep = nlohmann::json::array({std::move(deep)});
  const auto read = read_service(deep, Config{});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().at(0).to_string(), "error: nested more than 16 levels deep");
}

TEST(ConfigDocument, QuotesTextSoThatNoTerminalObeysIt) {
  EXPECT_EQ(quote("a\"b\\"), R"("a\"b\\")");
  EXPECT_EQ(quote("\x1b[2J\x7f"), R"("\x1b[2J\x7f")");
  EXPECT_EQ(quote("\xc2\x9b"
                  "2J"),
            R"("\xc2\x9b2J")");  // CSI as one code point
  EXPECT_EQ(quote("\xe2\x82\xac \xff\xc3"), "\"\xe2\x82\xac \\xff\\xc3\"");
  EXPECT_EQ(quote(std::string(1000, 'x')), "\"" + std::string(64, 'x') + "...\"");
}

// ---- Properties ----
class RandomConfig {
 public:
  explicit RandomConfig(uint32_t seed) : random_(seed) {}

  Config make() {
    Config c;
    c.instance = "i" + std::to_string(pick(100));
    if (coin()) {
      c.hash_seed.emplace();
      for (uint8_t& byte : *c.hash_seed) byte = static_cast<uint8_t>(pick(256));
    }
    c.fallback_verdict = static_cast<FallbackVerdict>(pick(2));
    c.hugepages = static_cast<HugepageMode>(pick(2));
    c.defaults = {static_cast<Mode>(pick(2)), prime()};
    c.flows.capacity = 1024 + pick(100'000);
    c.flows.max_inserts_per_s = 1 + pick(1'000'000);
    c.defaults.timeouts = {1 + pick(604'800), 1 + pick(60), 1 + pick(60), 1 + pick(60)};
    c.tunnel = tunnel();
    c.icmp = {pick(1'000'001), pick(1'000'001)};
    if (coin()) c.control.socket = "/run/" + std::to_string(pick(100));
    if (coin()) c.control.http = "127.0.0.1:" + std::to_string(1 + pick(100));
    for (uint32_t i = 0, count = pick(4); i < count; ++i) c.interfaces.push_back(interface(i));
    for (uint32_t i = 0, count = pick(8); i < count; ++i) c.services.push_back(service(i));
    return c;
  }

 private:
  uint32_t pick(uint32_t below) { return static_cast<uint32_t>(random_()) % below; }
  bool coin() { return pick(2) == 1; }
  uint32_t prime() { return std::vector<uint32_t>{251, 4093, 65537, 655373}[pick(4)]; }
  static IpAddress v4(uint32_t i) { return *IpAddress::parse("10.1.2." + std::to_string(i + 1)); }
  static IpAddress v6(uint32_t i) { return *IpAddress::parse("2001:db8::5:" + std::to_string(i + 1)); }

  TunnelConfig tunnel() {
    TunnelConfig out;
    if (coin()) out.source_ipv4 = TunnelSource{v4(pick(250)), static_cast<uint8_t>(pick(25))};
    if (coin()) out.source_ipv6 = TunnelSource{v6(pick(250)), static_cast<uint8_t>(pick(33))};
    if (coin()) out.port = static_cast<uint16_t>(1 + pick(65535));
    if (coin()) out.gue_variant = static_cast<uint8_t>(pick(2));
    if (coin()) out.vni = pick(1u << 24);
    if (coin()) out.inner_mac = MacAddress{{2, 0, 0, 0, 0, static_cast<uint8_t>(pick(256))}};
    if (coin()) out.udp6_checksum = coin();
    return out;
  }

  InterfaceConfig interface(uint32_t i) {
    InterfaceConfig out{"eth" + std::to_string(i),
                        pick(257),
                        {},
                        static_cast<XdpMode>(pick(3)),
                        static_cast<BindMode>(pick(3)),
                        static_cast<TransmitMode>(pick(3)),
                        static_cast<PollMode>(pick(3)),
                        static_cast<IrqMode>(pick(2))};
    if (coin()) out.local_mac = MacAddress{{2, 0, 0, 0, 0, static_cast<uint8_t>(i)}};
    for (uint32_t cpu = 0; cpu < 8; ++cpu) {
      if (coin()) out.cpus.push_back(cpu);
    }
    std::shuffle(out.cpus.begin(), out.cpus.end(), random_);
    return out;
  }

  ServiceConfig service(uint32_t i) {
    const bool six = coin();
    ServiceConfig out{"s" + std::to_string(i),
                      *IpAddress::parse(six ? "2001:db8::1" : "192.0.2.1"),
                      static_cast<uint16_t>(i == 0 ? 0 : i + 1),
                      coin() ? kProtoTcp : kProtoUdp,
                      static_cast<Mode>(pick(2)),
                      prime(),
                      coin(),
                      {},
                      tunnel()};
    for (uint32_t k = 0, count = pick(5); k < count; ++k) {
      BackendConfig backend;
      backend.address = six ? v6(k) : v4(k);
      backend.weight = pick(kMaxWeight + 1);
      backend.admin = static_cast<Admin>(pick(2));
      if (coin()) backend.mode = static_cast<Mode>(pick(5));
      if (coin()) backend.tunnel = tunnel();
      if (backend.mode == Mode::vxlan) {
        backend.tunnel.vni = pick(100);
        backend.tunnel.inner_mac = MacAddress{{2, 0, 0, 0, 0, 1}};
      }
      if (coin()) backend.vlan = std::vector<uint16_t>{kVlanKeep, kVlanNone, 1, 4094}[pick(4)];
      if (coin()) backend.mac = MacAddress{{2, 0, 0, 0, 1, static_cast<uint8_t>(k)}};
      out.backends.push_back(backend);
    }
    return out;
  }

  std::mt19937 random_;
};

TEST(ConfigWriter, WritesWhatTheReaderReadsBack) {
  RandomConfig random(1);
  for (int round = 0; round < 500; ++round) {
    const Config config = random.make();
    const std::string text = write_config(config, true).dump(round % 2 == 0 ? -1 : 2);
    const auto read = read_config(text, "f");
    ASSERT_TRUE(read) << text << errors_of(text);
    ASSERT_TRUE(*read == config) << text;
    ASSERT_TRUE(validate(config).empty());
    for (const ServiceConfig& service : config.services) {
      ASSERT_EQ(read_service(write_service(service), config).value(), service);
      for (const BackendConfig& backend : service.backends) {
        ASSERT_EQ(read_backend(write_backend(backend), service).value(), backend);
      }
    }
  }
}

TEST(ConfigWriter, LeavesTheHashSeedOutUnlessAsked) {
  Config config;
  config.hash_seed.emplace();
  EXPECT_FALSE(write_config(config, false).contains("hash_seed"));
  EXPECT_EQ(write_config(config, true)["hash_seed"], "00000000000000000000000000000000");
}

TEST(ConfigReader, RefusesEveryTruncationWithAPlaceInTheText) {
  const std::string_view full = kFull;
  for (std::size_t length = 0; length < full.size(); ++length) {
    const auto read = read_config(full.substr(0, length), "f");
    ASSERT_FALSE(read) << length;
    ASSERT_EQ(read.error().size(), 1u) << length;
    ASSERT_GE(read.error()[0].line, 1u);
    ASSERT_GE(read.error()[0].column, 1u);
  }
}

/// Every error stands inside the text, and can be sent as JSON (which refuses invalid UTF-8).
void expect_sound(const Diagnostics& diagnostics, std::string_view text) {
  ASSERT_FALSE(diagnostics.empty());
  const auto lines = static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n') + 1);
  for (const Diagnostic& diagnostic : diagnostics) {
    ASSERT_GE(diagnostic.line, 1u) << diagnostic.to_string();
    ASSERT_LE(diagnostic.line, lines) << diagnostic.to_string();
    ASSERT_GE(diagnostic.column, 1u) << diagnostic.to_string();
    ASSERT_NO_THROW(nlohmann::json(diagnostic.message + diagnostic.pointer).dump());
  }
}

TEST(ConfigReader, SurvivesRandomMutations) {
  std::mt19937 random(7);
  const std::string alphabet = "{}[]\",:/*\\0123456789-.eE tfn\n\r";
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = kFull;
    for (uint32_t i = 0, count = 1 + random() % 4; i < count; ++i) {
      const std::size_t at = random() % text.size();
      switch (random() % 5) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 2:
          text.erase(at, 1 + random() % 20);
          break;
        case 3:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
          break;
      }
    }
    const auto read = read_config(text, "f");
    if (read) {
      const std::string written = write_config(*read, true).dump();
      ASSERT_TRUE(read_config(written, "f").value() == *read) << text;
    } else {
      ++refused;
      ASSERT_NO_FATAL_FAILURE(expect_sound(read.error(), text)) << text;
    }
  }
  EXPECT_GT(refused, 10'000);
  EXPECT_LT(refused, 20'000) << "some mutations fall into comments";
}

}  // namespace
}  // namespace xebec
