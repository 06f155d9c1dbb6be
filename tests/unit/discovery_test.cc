// SPDX-License-Identifier: BSD-2-Clause
// Backends from a name: what answers mean, when they are asked for again, and what stays while nobody answers.
#include "control/discovery.h"

#include <arpa/nameser.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "control/config_dns.h"
#include "control/config_reader.h"
#include "control/dns_answer.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;
using Clock = EventLoop::Clock;
using testing::ElementsAre;

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}

// ---- Messages, written byte by byte ----

struct Record {
  std::string name;
  uint16_t type;
  uint32_t ttl;
  std::vector<uint8_t> data;
};

std::vector<uint8_t> wire_name(const std::string& name) {
  std::vector<uint8_t> out;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t end = std::min(name.find('.', at), name.size());
    out.push_back(static_cast<uint8_t>(end - at));
    out.insert(out.end(), name.begin() + static_cast<std::ptrdiff_t>(at),
               name.begin() + static_cast<std::ptrdiff_t>(end));
    at = end + 1;
  }
  out.push_back(0);
  return out;
}
void put16(std::vector<uint8_t>& out, uint32_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}
std::vector<uint8_t> message(const std::vector<Record>& answer, const std::vector<Record>& additional = {}) {
  std::vector<uint8_t> out;
  put16(out, 7);
  put16(out, 0x8180);
  for (const std::size_t count : {std::size_t{0}, answer.size(), std::size_t{0}, additional.size()})
    put16(out, static_cast<uint32_t>(count));
  for (const auto* section : {&answer, &additional}) {
    for (const Record& r : *section) {
      const auto name = wire_name(r.name);
      out.insert(out.end(), name.begin(), name.end());
      put16(out, r.type);
      put16(out, 1);
      put16(out, r.ttl >> 16);
      put16(out, r.ttl);
      put16(out, static_cast<uint32_t>(r.data.size()));
      out.insert(out.end(), r.data.begin(), r.data.end());
    }
  }
  return out;
}
Record a(const std::string& name, std::string_view address, uint32_t ttl = 60) {
  const IpAddress parsed = ip(address);
  if (parsed.is_v4()) return {name, ns_t_a, ttl, {parsed.bytes.begin() + 12, parsed.bytes.end()}};
  return {name, ns_t_aaaa, ttl, {parsed.bytes.begin(), parsed.bytes.end()}};
}
Record srv(uint16_t priority, uint16_t weight, uint16_t port, const std::string& target, uint32_t ttl = 60) {
  Record r{"_web._tcp.example.org", ns_t_srv, ttl, {}};
  for (const uint16_t number : {priority, weight, port}) put16(r.data, number);
  const auto name = wire_name(target);
  r.data.insert(r.data.end(), name.begin(), name.end());
  return r;
}

TEST(DnsAnswer, HasAddressesBehindAliasesAndTheShortestTtl) {
  const auto answer =
      parse_dns_answer(message({{"www.example.org", ns_t_cname, 9, wire_name("web.example.org")},
                                a("WEB.example.org", "10.0.0.1", 30),
                                a("web.example.org", "10.0.0.2", 40)}));
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->addresses.size(), 2u);
  EXPECT_EQ(answer->addresses[0].address, ip("10.0.0.1"));
  EXPECT_EQ(answer->addresses[0].name, "web.example.org");
  EXPECT_EQ(answer->ttl_s, 9u);
}

TEST(DnsAnswer, HasServersAndWhatCameWithThem) {
  const auto answer = parse_dns_answer(
      message({srv(1, 20, 8080, "B1.Example.org")}, {a("b1.example.org", "2001:db8::1", 1)}));
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->servers.size(), 1u);
  EXPECT_EQ(answer->servers[0].target, "b1.example.org");
  EXPECT_EQ(answer->servers[0].port, 8080);
  EXPECT_EQ(answer->servers[0].priority, 1);
  EXPECT_EQ(answer->servers[0].weight, 20);
  ASSERT_EQ(answer->additional.size(), 1u);
  EXPECT_EQ(answer->additional[0].address, ip("2001:db8::1"));
  EXPECT_EQ(answer->ttl_s, 60u) << "of the answer itself";
}

TEST(DnsAnswer, IsToTheQuestionThatWasAskedOrNotBelieved) {
  // Header, one question, one address.
  const auto to = [](uint16_t flags, const std::string& name, uint16_t type, uint16_t question_class) {
    std::vector<uint8_t> out = message({a("web.example.org", "10.0.0.1")});
    out[2] = static_cast<uint8_t>(flags >> 8);
    out[3] = static_cast<uint8_t>(flags);
    out[5] = 1;
    std::vector<uint8_t> question = wire_name(name);
    put16(question, type);
    put16(question, question_class);
    out.insert(out.begin() + 12, question.begin(), question.end());
    return out;
  };
  const auto fault = [](const std::vector<uint8_t>& bytes) {
    return dns_answer_fault(bytes, "web.example.org", ns_t_a);
  };
  EXPECT_EQ(fault(to(0x8180, "web.example.org", ns_t_a, 1)), "");
  EXPECT_EQ(fault(to(0x8180, "WEB.Example.org", ns_t_a, 1)), "") << "names are equal in any case";
  EXPECT_EQ(dns_answer_fault(to(0x8180, "web.example.org", ns_t_a, 1), "web.example.org.", ns_t_a), "");
  EXPECT_EQ(fault(to(0x0180, "web.example.org", ns_t_a, 1)), "the answer is a question");
  for (const auto& other :
       {to(0x8180, "www.example.org", ns_t_a, 1), to(0x8180, "web.example.org", ns_t_aaaa, 1),
        to(0x8180, "web.example.org", ns_t_a, 3), message({a("web.example.org", "10.0.0.1")})})
    EXPECT_EQ(fault(other), "the answer is to another question");
  std::vector<uint8_t> refused = message({});
  refused[3] = 0x85;  // REFUSED
  EXPECT_EQ(fault(refused), "") << "with or without the question it says nothing to be believed";
  EXPECT_EQ(fault({1, 2, 3}), "the answer is no DNS message");
  // A record of another class is none of ours.
  std::vector<uint8_t> chaos = message({a("web.example.org", "10.0.0.1")});
  chaos[12 + wire_name("web.example.org").size() + 3] = 3;
  EXPECT_TRUE(parse_dns_answer(chaos)->addresses.empty());
}

TEST(DnsAnswer, NoTruncationOrByteIsReadBeyondTheMessage) {
  const auto whole =
      message({srv(1, 2, 3, "b1.example.org"), a("x", "10.0.0.1")}, {a("b1.example.org", "10.0.0.2")});
  for (std::size_t length = 0; length < whole.size(); ++length)
    (void)parse_dns_answer(
        std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (unsigned value = 0; value <= 0xff; ++value) {
      auto changed = whole;
      changed[at] = static_cast<uint8_t>(value);
      (void)parse_dns_answer(changed);
    }
  }
  EXPECT_FALSE(parse_dns_answer(std::vector<uint8_t>(5)));
}

// ---- Following ----

class FakeLoop final : public EventLoop {
 public:
  WatchId watch(int, short, std::function<void(short)>) override { return 0; }
  void unwatch(WatchId) override {}
  TimerId at(Clock::time_point at, std::function<void()> callback) override {
    timers_.emplace(std::pair(at, ++last_), std::move(callback));
    return last_;
  }
  void cancel(TimerId id) override {
    std::erase_if(timers_, [id](const auto& timer) { return timer.first.second == id; });
  }
  void run() override {}
  void stop() override {}
  std::string_view backend() const override { return "fake"; }
  std::string_view why() const override { return ""; }
  Clock::time_point now() const { return now_; }
  void advance(Clock::duration by) {
    const Clock::time_point until = now_ + by;
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      auto timer = timers_.extract(timers_.begin());
      now_ = std::max(now_, timer.key().first);
      timer.mapped()();
    }
    now_ = until;
  }

 private:
  std::map<std::pair<Clock::time_point, TimerId>, std::function<void()>> timers_;
  TimerId last_ = 0;
  Clock::time_point now_{1h};
};

class DiscoveryTest : public testing::Test {
 protected:
  struct Asked {
    std::string name;
    uint16_t type;
    Clock::time_point at;
    DnsDone done;
  };
  static Config config(const std::string& source, const std::string& vip = "203.0.113.10") {
    auto read = read_config(R"({"services": [{"name": "web", "vip": ")" + vip +
                                R"(", "port": 80, "protocol": "tcp", "mode": "nat", "backends_from": )" +
                                source + "}]}",
                            "f");
    EXPECT_TRUE(read) << (read ? "" : read.error().front().message);
    return read.value_or(Config{});
  }
  void follow(const std::string& source = R"({"dns": "web.example.org"})") {
    discovery_.follow(config(source));
    loop_.advance(0s);
  }
  void answer(const DnsReply& reply) {
    ASSERT_FALSE(asked_.empty());
    const Asked asked = std::move(asked_.front());
    asked_.pop_front();
    asked.done(reply);
  }
  std::vector<std::string> told() {
    std::vector<std::string> out;
    for (const auto& b : last_) out.push_back(b.address.to_string());
    return out;
  }

  FakeLoop loop_;
  std::deque<Asked> asked_;
  std::vector<DiscoveredBackend> last_;
  int offers_ = 0;
  bool takes_ = true;
  Discovery discovery_{
      loop_,
      [this](const std::vector<std::string>&, const std::string& name, uint16_t type, DnsDone done) {
        asked_.push_back({name, type, loop_.now(), std::move(done)});
      },
      [this](const std::string& service, const std::vector<DiscoveredBackend>& found) {
        EXPECT_EQ(service, "web");
        ++offers_;
        if (takes_) last_ = found;
        return takes_;
      },
      [this] { return loop_.now(); }};
};

TEST_F(DiscoveryTest, AsksForTheVipsFamilyAndTellsWhatItHears) {
  follow();
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_[0].type, ns_t_a);
  answer(message({a("web.example.org", "10.0.0.2"), a("web.example.org", "10.0.0.1"),
                  a("web.example.org", "10.0.0.1")}));
  EXPECT_THAT(told(), ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(last_[0].weight, 100u);
  discovery_.follow(config(R"({"dns": "web.example.org"})", "2001:db8::10"));
  loop_.advance(0s);
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_[0].type, ns_t_aaaa);
}

TEST_F(DiscoveryTest, AsksAgainWhenTheTtlIsOverWithinItsBounds) {
  follow(R"({"dns": "web.example.org", "min_ttl_s": 10, "max_ttl_s": 100})");
  for (const auto& [ttl, wanted] : {std::pair(30u, 30s), std::pair(0u, 10s), std::pair(5000u, 100s)}) {
    answer(message({a("web.example.org", "10.0.0.1", ttl)}));
    loop_.advance(wanted - 1s);
    EXPECT_TRUE(asked_.empty()) << ttl;
    loop_.advance(1s);
    EXPECT_EQ(asked_.size(), 1u) << ttl;
  }
}

TEST_F(DiscoveryTest, KeepsWhatWasKnownWhileNobodyAnswers) {
  follow(R"({"dns": "web.example.org", "min_ttl_s": 10, "max_ttl_s": 35})");
  answer(tl::unexpected(std::string("Timeout while contacting DNS servers")));
  EXPECT_EQ(offers_, 0);
  EXPECT_THAT(discovery_.complaints(),
              ElementsAre("service web: web.example.org: Timeout while contacting DNS servers; no "
                          "backend is known from it"));
  loop_.advance(10s);
  answer(message({a("web.example.org", "10.0.0.1")}));
  EXPECT_TRUE(discovery_.complaints().empty());
  loop_.advance(35s);
  for (const auto pause : {10s, 20s, 35s, 35s}) {
    answer(tl::unexpected(std::string("Domain name not found")));
    EXPECT_EQ(offers_, 1);
    loop_.advance(pause - 1s);
    EXPECT_TRUE(asked_.empty()) << "ever later";
    loop_.advance(1s);
    EXPECT_EQ(asked_.size(), 1u);
  }
  EXPECT_THAT(discovery_.complaints(),
              ElementsAre("service web: web.example.org: Domain name not found; the backends that it "
                          "named before stay"));
  answer(message({}));
  EXPECT_EQ(offers_, 1) << "a name without addresses is no order to stop";
  EXPECT_THAT(told(), ElementsAre("10.0.0.1"));
}

TEST_F(DiscoveryTest, FindsTheTargetsOfServersOfTheFirstPriority) {
  follow(R"({"dns": "_web._tcp.example.org", "type": "SRV"})");
  ASSERT_EQ(asked_[0].type, ns_t_srv);
  answer(message({srv(1, 20, 8080, "b1.example.org"), srv(1, 0, 8081, "b2.example.org"),
                  srv(2, 5, 80, "b3.example.org")},
                 {a("b1.example.org", "10.0.0.1"), a("b1.example.org", "2001:db8::1"),
                  a("b3.example.org", "10.0.0.3")}));
  EXPECT_EQ(offers_, 0) << "one address is still to be asked for";
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_[0].name, "b2.example.org");
  EXPECT_EQ(asked_[0].type, ns_t_a);
  answer(message({a("b2.example.org", "10.0.0.2", 20)}));
  EXPECT_THAT(last_, ElementsAre(DiscoveredBackend{ip("10.0.0.1"), 8080, 20},
                                 DiscoveredBackend{ip("10.0.0.2"), 8081, 1}));
  loop_.advance(19s);
  EXPECT_TRUE(asked_.empty());
  loop_.advance(1s);
  EXPECT_EQ(asked_.size(), 1u) << "the shortest of all TTLs";
  answer(message({srv(1, 1, 80, "b1.example.org"), srv(1, 1, 80, "b2.example.org")}));
  answer(message({a("b1.example.org", "10.0.0.1")}));
  answer(tl::unexpected(std::string("DNS server returned general failure")));
  EXPECT_EQ(last_.size(), 2u) << "half an answer is none";
}

TEST_F(DiscoveryTest, OffersAgainWhatWasNotTaken) {
  follow();
  takes_ = false;
  answer(message({a("web.example.org", "10.0.0.1")}));
  EXPECT_EQ(offers_, 1);
  const std::size_t asked = asked_.size();
  loop_.advance(1s);
  EXPECT_EQ(offers_, 2);
  takes_ = true;
  loop_.advance(1s);
  EXPECT_EQ(offers_, 3);
  loop_.advance(1s);
  EXPECT_EQ(offers_, 3);
  EXPECT_EQ(asked_.size(), asked) << "an answer is good for its TTL, whether or not it was taken";
}

TEST_F(DiscoveryTest, ForgetsAServiceThatIsGoneAndItsLateAnswers) {
  follow();
  const Asked late = asked_.front();
  discovery_.follow(Config{});
  late.done(message({a("web.example.org", "10.0.0.1")}));
  EXPECT_EQ(offers_, 0);
  follow();
  EXPECT_EQ(asked_.size(), 2u);
  asked_.pop_front();
  follow(R"({"dns": "other.example.org"})");
  EXPECT_EQ(asked_.back().name, "other.example.org");
  answer(message({a("web.example.org", "10.0.0.1")}));
  EXPECT_EQ(offers_, 0) << "of the name of before";
}

TEST(Discovered, BackendsStayWhereTheirSourceIsFollowedOn) {
  const auto config = [](const std::string& service) {
    auto read = read_config(
        R"({"services": [{"name": "web", "vip": "203.0.113.10", "port": 80, "protocol": "tcp", )" + service +
            "}]}",
        "f");
    EXPECT_TRUE(read) << (read ? "" : read.error().front().message);
    return read.value_or(Config{});
  };
  const std::string source = R"("backends_from": {"dns": "web.example.org"})";
  const Config before = config(
      source +
      R"(, "backends": [{"address": "10.0.0.1"}, {"address": "10.0.0.2", "discovered": true, "weight": 7}])");
  EXPECT_EQ(read_config(write_config(before, true).dump(), "again").value(), before);
  Config wanted = config(
      source + R"(, "backends": [{"address": "10.0.0.1"}, {"address": "10.0.0.9", "discovered": true}])");
  carry_discovered(before, wanted, true);
  EXPECT_EQ(wanted, before) << "what is known is newer than what was saved";
  wanted = config(R"("backends": [{"address": "10.0.0.2", "discovered": true}])");
  carry_discovered(before, wanted, false);
  EXPECT_TRUE(wanted.services[0].backends.empty()) << "no source, none discovered";
  wanted = config(source + R"(, "backends": [])");
  carry_discovered(before, wanted, false);
  EXPECT_TRUE(wanted.services[0].backends.empty()) << "of a change of single things its own word counts";
}

TEST(Discovered, SourcesAreCheckedWithTheReason) {
  const auto errors = [](const std::string& source, const std::string& mode = "dsr-l2") {
    const auto read = read_config(
        R"({"services": [{"name": "s", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", "mode": ")" + mode +
            R"(", "backends_from": )" + source + "}]}",
        "f");
    std::string all;
    for (const Diagnostic& d : read ? Diagnostics{} : read.error())
      all += d.pointer + ": " + d.message + "\n";
    return all;
  };
  const std::string at = "/services/0/backends_from";
  EXPECT_EQ(errors(R"({"dns": "web.example.org", "servers": ["10.0.0.53", "[2001:db8::53]:5353"]})"), "");
  EXPECT_EQ(errors(R"({"dns": "a..b"})"), at + "/dns: \"a..b\" is not a domain name\n");
  EXPECT_EQ(errors(R"({"dns": "a", "min_ttl_s": 9, "max_ttl_s": 8})"),
            at + "/min_ttl_s: 9 is more than max_ttl_s, 8\n");
  EXPECT_EQ(errors(R"({"dns": "a", "type": "SRV", "port": 8})", "nat"),
            at + "/port: SRV records say the port themselves\n");
  EXPECT_EQ(errors(R"({"dns": "a", "port": 8})"),
            at + "/port: 8 differs from the service's port, and mode dsr-l2 leaves ports as they are\n");
  EXPECT_EQ(errors(R"({"dns": "a", "type": "AAAA"})"),
            at + "/type: AAAA records are not of the VIP's family, and mode dsr-l2 needs it\n");
  EXPECT_EQ(errors(R"({"dns": "a", "type": "AAAA"})", "ipip"), "");
  EXPECT_EQ(errors(R"({"dns": "a", "servers": ["ns.example.org"]})"),
            at + "/servers: its elements must be addresses, with or without a port: \"10.0.0.53\", "
                 "\"10.0.0.53:5353\" or "
                 "\"[2001:db8::53]:53\"\n");
}

}  // namespace
}  // namespace xebec
