// SPDX-License-Identifier: BSD-2-Clause
// The text of /metrics, from rows as the API has them; docs/metrics.md against the list; what the port tells anybody.
#include "control/metrics.h"

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/metric_list.h"
#include "control/public_pages.h"
#include "control/report_latency.h"

namespace xebec {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;

MetricsSource full_source() {
  LatencyHistogram latency;
  latency.record(600);
  latency.record(700);
  latency.record(3'000'000'000);
  MetricsSource s;
  s.status =
      Json::parse(R"({"version":"1.2","instance":"lb1","loop":"epoll","uptime_seconds":7,"healthy":false,
    "problems":["a","b"],"warnings":["c"],"generation":42,"services":{"total":2,"degraded":1},
    "backends":{"total":3,"usable":2}})");
  s.workers = Json::parse(R"([{"worker":0,"cpu":null,"generation":41,"asleep":true,
    "packets":{"received":10,"received_bytes":900,"forwarded":7,"passed":0,"replied":1,"held":0,
               "drops":{"no_backend":2},"icmp_errors":{"too_big":1,"time_exceeded":0,"port_unreachable":6},"resets":9,"mss_clamped":3,"cut":2,
               "checksums_completed":4,"transmit_errors":5},
    "flows":{"used":1,"capacity":2,"hits":3,"misses":4,"second_chances":5,"inserts":6,"refused":7},
    "quic":{"routed":1,"unrouted":2},
    "nat":{"used":1,"created":2,"expired":3,"reused":4,"refused":5,"replies":6,"replies_home":5,"client_told":4,
           "client_untold":3},
    "frames":{"total":8192,"free":1,"receive":2,"transmit":3,"in_hand":4,"lost":0},
    "loop":{"rounds":1,"empty_rounds":2,"sleeps":3}}])");
  s.workers[0]["latency"] = report_latency(latency);
  s.interfaces = Json::parse(
      R"([{"name":"eth0","driver":"veth","xdp":"native","up":true,"carrier":false,"mtu":1500,"attached_again":9,
    "shim":{"steered":1,"no_socket":2,"stale":3,"denied":4,"passed":5},
    "nat_ports":{"home":{"tcp4":8,"udp4":7,"tcp6":6,"udp6":5},"away":{"tcp4":1,"udp4":2,"tcp6":3,"udp6":4}},
    "queues":[{"queue":3,"worker":0,"bind":"copy","transmit":"ring","poll":"adaptive","transmitted":1,"injected":2,
               "transmit_calls":3,"transmit_stuck":false,"transmit_stalls":4,"rx_dropped":5,"rx_ring_full":6,
               "fill_ring_empty":7,"tx_invalid":8}]}])");
  s.services = Json::parse(R"([{"name":"web","vip":"203.0.113.10","port":443,"protocol":"tcp","mode":"dsr-l2",
    "algorithm":"wlc","digest":"0123456789abcdef","backends":{"total":3,"usable":2,"down":1}}])");
  s.backends = Json::parse(
      R"([{"service":"web","address":"10.0.1.11","weight":100,"effective_weight":37.5,"admin":"ready","usable":true,
    "health":{"state":"up"},"fallback":false,"share":0.25,"response_ms":12.5,"packets":12,"bytes":13,"new_flows":14}])");
  s.checks = Json::parse(R"([{"service":"web","address":"10.0.1.11","duration_ms":1.5,"checks":9,"failures":8,
    "not_run":7}])");
  return s;
}

/// Samples by name, as a scraper reads them; fails on a line that is none.
std::map<std::string, std::vector<std::string>> parse(const std::string& text) {
  std::map<std::string, std::vector<std::string>> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# ")) continue;
    const std::size_t end = line.find_first_of("{ ");
    EXPECT_NE(end, std::string::npos) << line;
    EXPECT_NE(line.back(), ' ') << line;
    samples[line.substr(0, end)].push_back(line.substr(end));
  }
  return samples;
}

TEST(Metrics, GivesEveryMetricOfTheListASampleWithHelpAndType) {
  const std::string text = metrics_text(full_source());
  const auto samples = parse(text);
  std::set<std::string_view> names;
  for (const MetricRule& rule : kMetricRules) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name << " is there twice";
    EXPECT_TRUE(rule.name.starts_with("xebec_")) << rule.name;
    EXPECT_EQ(rule.name.ends_with("_total"), rule.type == MetricType::counter) << rule.name;
    EXPECT_THAT(text, HasSubstr(fmt::format("# HELP {} ", rule.name)));
    EXPECT_THAT(text, HasSubstr(fmt::format("# TYPE {} ", rule.name)));
    const std::string first = std::string(rule.name) + (rule.type == MetricType::histogram ? "_bucket" : "");
    EXPECT_EQ(samples.count(first), 1u) << rule.name << " has no sample: is " << rule.pointer << " there?";
  }
}

TEST(Metrics, ReadsEachKindOfValue) {
  const std::string text = metrics_text(full_source());
  for (const char* line : {
           "xebec_build_info{version=\"1.2\"} 1\n",
           "xebec_problems 2\n",
           "xebec_healthy 0\n",
           "xebec_worker_dropped_packets_total{worker=\"0\",reason=\"no_backend\"} 2\n",
           "xebec_worker_dropped_packets_total{worker=\"0\",reason=\"tx_full\"} 0\n",
           "xebec_worker_info{worker=\"0\",cpu=\"\"} 1\n",
           "xebec_worker_asleep{worker=\"0\"} 1\n",
           "xebec_xsk_rx_ring_full_total{interface=\"eth0\",queue=\"3\"} 6\n",
           "xebec_shim_packets_total{interface=\"eth0\",outcome=\"stale\"} 3\n",
           "xebec_interface_attached_again_total{interface=\"eth0\"} 9\n",
           "xebec_nat_foretold_away_replies_total{interface=\"eth0\",class=\"tcp6\"} 3\n",
           "xebec_service_info{service=\"web\",vip=\"203.0.113.10\",port=\"443\",protocol=\"tcp\",mode=\"dsr-"
           "l2\",algorithm=\"wlc\"} 1\n",
           "xebec_backend_effective_weight{service=\"web\",backend=\"10.0.1.11\"} 37.5\n",
           "xebec_service_table_info{service=\"web\",digest=\"0123456789abcdef\"} 1\n",
           "xebec_backend_health{service=\"web\",backend=\"10.0.1.11\",state=\"up\"} 1\n",
           "xebec_backend_health{service=\"web\",backend=\"10.0.1.11\",state=\"down\"} 0\n",
           "xebec_backend_share_ratio{service=\"web\",backend=\"10.0.1.11\"} 0.25\n",
           "xebec_backend_response_seconds{service=\"web\",backend=\"10.0.1.11\"} 0.0125\n",
           "xebec_health_check_duration_seconds{service=\"web\",backend=\"10.0.1.11\"} 0.0015\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Metrics, SumsTheBucketsOfAHistogramUp) {
  const auto samples = parse(metrics_text(full_source()));
  const auto& buckets = samples.at("xebec_worker_latency_seconds_bucket");
  ASSERT_EQ(buckets.size(), LatencyHistogram::kBuckets);
  EXPECT_EQ(buckets[0], "{worker=\"0\",le=\"5.12e-07\"} 0");
  EXPECT_EQ(buckets[1], "{worker=\"0\",le=\"1.024e-06\"} 2");
  EXPECT_EQ(buckets[2], "{worker=\"0\",le=\"2.048e-06\"} 2");
  EXPECT_EQ(buckets.back(), "{worker=\"0\",le=\"+Inf\"} 3");
  EXPECT_EQ(samples.at("xebec_worker_latency_seconds_count").front(), "{worker=\"0\"} 3");
  EXPECT_EQ(samples.at("xebec_worker_latency_seconds_sum").front(), "{worker=\"0\"} 3.0000013");
}

TEST(Metrics, EscapesWhatALabelMayNotHave) {
  MetricsSource s = full_source();
  s.services[0]["name"] = "a\\b\"c\nd\xff";
  EXPECT_THAT(metrics_text(s),
              HasSubstr("xebec_service_backends{service=\"a\\\\b\\\"c\\nd\xef\xbf\xbd\"} 3\n"));
}

TEST(Metrics, GivesNoSampleOfWhatIsNotKnown) {
  MetricsSource s = full_source();
  s.workers[0].erase("nat");
  s.interfaces[0]["mtu"] = nullptr;
  const std::string text = metrics_text(s);
  EXPECT_THAT(text, Not(HasSubstr("\nxebec_nat_connections{")));
  EXPECT_THAT(text, Not(HasSubstr("\nxebec_interface_mtu_bytes{")));
  EXPECT_THAT(text, HasSubstr("\n# TYPE xebec_nat_connections gauge\n"));
}

std::string labels_of(const MetricRule& rule) {
  constexpr std::string_view kScopes[] = {"",
                                          "`worker`",
                                          "`interface`",
                                          "`interface`, `queue`",
                                          "`service`",
                                          "`service`, `backend`",
                                          "`service`, `backend`"};
  std::string labels(kScopes[static_cast<std::size_t>(rule.scope)]);
  const auto add = [&labels](std::string_view name) {
    labels += fmt::format("{}`{}`", labels.empty() ? "" : ", ", name);
  };
  if (!rule.label.empty()) add(rule.label);
  if (rule.reading == MetricReading::info) {
    for (const std::string_view word : rule.words) add(word);
  }
  return labels;
}

TEST(Metrics, StandInTheirDocumentInOrderWithTheirText) {
  constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
  std::ifstream file(XEBEC_SOURCE_DIR "/docs/metrics.md");
  ASSERT_TRUE(file) << "docs/metrics.md cannot be read";
  std::string rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `xebec_")) rows += line + "\n";
  }
  std::string expected;
  for (const MetricRule& rule : kMetricRules) {
    expected += fmt::format("| `{}` | {} | {} | {} |\n", rule.name,
                            kTypes[static_cast<std::size_t>(rule.type)], labels_of(rule), rule.help);
  }
  EXPECT_EQ(rows, expected) << "the table of docs/metrics.md should be:\n" << expected;
}

HttpRequest request(const char* method, const char* path, const char* host = "127.0.0.1:9190") {
  HttpRequest r;
  r.method = method;
  r.path = path;
  r.host = host;
  return r;
}

TEST(PublicPages, TellOfStateAndOfNothingElse) {
  for (const char* path : {"/", "/metrics", "/v1/status", "/v1/services", "/v1/services/web", "/v1/backends",
                           "/v1/health/history", "/v1/interfaces", "/v1/workers", "/v1/stats"}) {
    EXPECT_FALSE(refuse_public_request(request("GET", path), true)) << path;
  }
  for (const char* path :
       {"/v1/config", "/v1/explain", "/v1", "/v2/status", "/metrics/x", "*", "/v1//status"}) {
    const auto refusal = refuse_public_request(request("GET", path), true);
    ASSERT_TRUE(refusal) << path;
    EXPECT_EQ(refusal->status, 404) << path;
  }
}

TEST(PublicPages, ChangeNothing) {
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"}) {
    const auto refusal = refuse_public_request(request(method, "/v1/status"), true);
    ASSERT_TRUE(refusal) << method;
    EXPECT_EQ(refusal->status, 405) << method;
    EXPECT_EQ(refusal->headers.front(), (std::pair<std::string, std::string>("Allow", "GET, HEAD")));
    EXPECT_EQ(Json::parse(refusal->body)["error"]["code"], "permission");
  }
}

TEST(PublicPages, OnLoopbackAreNotReadUnderAnotherName) {
  for (const char* host :
       {"127.0.0.1:9190", "127.0.0.1", "localhost:9190", "localhost", "[::1]:9190", "10.0.0.1", ""}) {
    EXPECT_FALSE(refuse_public_request(request("GET", "/", host), true)) << host;
  }
  for (const char* host :
       {"evil.example:9190", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "::1"}) {
    const auto refusal = refuse_public_request(request("GET", "/", host), true);
    ASSERT_TRUE(refusal) << host;
    EXPECT_EQ(refusal->status, 403) << host;
    EXPECT_FALSE(refuse_public_request(request("GET", "/", host), false))
        << "elsewhere any name will do: " << host;
  }
}

}  // namespace
}  // namespace xebec
