// SPDX-License-Identifier: BSD-2-Clause
// Each kind of probe against real little servers, in a network namespace of its own:
//
//      lo   127.0.0.1, ::1       servers
//      v0   10.9.0.1/24          what is sent to 10.9.0.7 leaves, and nobody has that MAC address
//
// A server is a thread that takes one connection or datagram at a time and does what the case says.
#include "control/health_probe.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/curl_loop.h"
#include "control/health_runner.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;
using Kind = ProbeResult::Kind;
using testing::HasSubstr;

/// Runs a command of this test's own making.
void run(const std::string& command) {
  EXPECT_EQ(std::system((command + " > /dev/null").c_str()), 0) << command;
}

/// A socket bound to a free port of 127.0.0.1, served by a thread until the object goes.
class Server {
 public:
  using Serve = std::function<void(int fd)>;

  /// tcp: `serve` gets each accepted connection, and the server closes it. udp: the bound socket, when it has a
  /// datagram.
  Server(int type, Serve serve, int backlog = 16) {
    fd_ = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(listen(fd_, backlog), 0);
    }
    if (!serve) return;
    thread_ = std::thread([this, type, serve = std::move(serve)] {
      while (wait_readable(fd_)) {
        const int peer = type == SOCK_STREAM ? accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC) : fd_;
        if (peer < 0) continue;
        serve(peer);
        if (peer != fd_) close(peer);
      }
    });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    close(fd_);
  }

  uint16_t port() const { return port_; }
  /// False: the server is to stop.
  bool wait_readable(int fd) const {
    pollfd p{fd, POLLIN, 0};
    while (!stop_) {
      if (poll(&p, 1, 10) > 0) return true;
    }
    return false;
  }
  /// Reads until the blank line of an HTTP request.
  std::string request(int fd) const {
    std::string text;
    char byte = 0;
    while (text.find("\r\n\r\n") == std::string::npos && wait_readable(fd) && read(fd, &byte, 1) == 1)
      text += byte;
    return text;
  }

 private:
  int fd_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

void say(int fd, std::string_view text) {
  EXPECT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

class HealthProbeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0u) << "this test makes network namespaces: run it as root";
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno);
    run("ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.9.0.1/24 dev v0;"
        "ip link set v0 up; ip link set v1 up; ip neigh add 10.9.0.7 lladdr 02:00:00:00:00:07 dev v0");
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop) << loop.error();
    loop_ = std::move(*loop);
    curl_ = std::make_unique<CurlLoop>(*loop_);
  }

  static HealthCheck check(HealthType type, uint16_t port, const std::string& address = "127.0.0.1") {
    HealthCheck c;
    c.service = "s";
    c.backend = IpAddress::parse(address).value();
    c.port = port;
    c.settings.type = type;
    c.settings.timeout_ms = 2000;
    return c;
  }
  ProbeResult probe(const HealthCheck& c) {
    ProbeResult out{Kind::not_run, "nothing was told"};
    HealthRunner runner(*loop_, make_probe_starter(*loop_, *curl_));
    runner.run(c, [&](const ProbeResult& result, std::chrono::nanoseconds) {
      out = result;
      loop_->stop();
    });
    const auto guard = loop_->after(20s, [&] { loop_->stop(); });
    loop_->run();
    loop_->cancel(guard);
    EXPECT_EQ(runner.running(), 0u);
    return out;
  }
  /// An HTTP check of a server that says `answer` and closes.
  ProbeResult http(const std::string& answer, const std::function<void(HealthSettings&)>& change = {}) {
    std::atomic<const Server*> self{nullptr};
    Server server(SOCK_STREAM, [&](int fd) {
      while (self == nullptr) std::this_thread::yield();
      request_ = self.load()->request(fd);
      send(fd, answer.data(), answer.size(),
           MSG_NOSIGNAL);  // the probe may have enough before all of it is sent
    });
    self = &server;
    HealthCheck c = check(HealthType::http, server.port());
    if (change) change(c.settings);
    return probe(c);
  }
  /// A port that nobody listens on.
  static uint16_t closed_port() { return Server(SOCK_STREAM, nullptr).port(); }
  std::size_t time_wait() {
    std::ifstream table("/proc/thread-self/net/tcp");
    std::string line;
    std::size_t count = 0;
    while (std::getline(table, line)) count += line.size() > 36 && line.substr(34, 2) == "06" ? 1 : 0;
    return count;
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<CurlLoop> curl_;
  std::string request_;
};

#define EXPECT_RESULT(result, expected_kind, expected_text)                           \
  do {                                                                                \
    const ProbeResult is = (result);                                                  \
    EXPECT_EQ(static_cast<int>(is.kind), static_cast<int>(expected_kind)) << is.text; \
    EXPECT_EQ(is.text, expected_text);                                                \
  } while (false)

TEST_F(HealthProbeTest, TcpConnectsAndLeavesNothingInTimeWait) {
  Server server(SOCK_STREAM, [](int) {});
  for (int i = 0; i < 20; ++i)
    EXPECT_RESULT(probe(check(HealthType::tcp, server.port())), Kind::good, "connected");
  EXPECT_EQ(time_wait(), 0u);
}

TEST_F(HealthProbeTest, TcpNamesARefusedConnection) {
  EXPECT_RESULT(probe(check(HealthType::tcp, closed_port())), Kind::bad, "connection refused");
}

TEST_F(HealthProbeTest, TcpGivesUpOnABlackHoleAfterItsTimeout) {
  HealthCheck c = check(HealthType::tcp, 80, "10.9.0.7");
  c.settings.timeout_ms = 150;
  const auto began = EventLoop::Clock::now();
  EXPECT_RESULT(probe(c), Kind::bad, "no answer to the connection within 150 ms");
  const auto took = EventLoop::Clock::now() - began;
  EXPECT_GE(took, 150ms);
}

TEST_F(HealthProbeTest, TcpNamesAMissingRoute) {
  EXPECT_RESULT(probe(check(HealthType::tcp, 80, "192.0.2.1")), Kind::bad, "network is unreachable");
}

TEST_F(HealthProbeTest, SaysThatItCouldNotAskWhenDescriptorsAreShort) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "UBSan asks by a pipe whether memory is readable: without descriptors it calls every object broken";
#endif
  Server server(SOCK_STREAM, [](int) {});
  std::vector<int> held;
  const auto c = check(HealthType::tcp, server.port());
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{128, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  while (held.empty() || held.back() >= 0) held.push_back(dup(0));
  const ProbeResult result = probe(c);
  for (const int fd : held) close(fd);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_RESULT(result, Kind::not_run, "the check could not be made: too many open files");
}

TEST_F(HealthProbeTest, HttpIsGoodForAnExpectedStatusAndBody) {
  EXPECT_RESULT(http("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalive"), Kind::good, "status 200");
  EXPECT_THAT(request_, testing::StartsWith("GET / HTTP/1.1\r\n"));
  EXPECT_THAT(request_, HasSubstr("Connection: close\r\n"));
  const auto wants = [](HealthSettings& s) {
    s.path = "/../alive?x=1";
    s.host = "example.org:8080";
    s.expect_body = "alive";
    s.expect_status = {{201, 201}, {204, 299}};
  };
  EXPECT_RESULT(http("HTTP/1.1 207 Multi\r\n\r\nI am alive.", wants), Kind::good, "status 207");
  EXPECT_THAT(request_, testing::StartsWith("GET /../alive?x=1 HTTP/1.1\r\n"));
  EXPECT_THAT(request_, HasSubstr("Host: example.org:8080\r\n"));
  EXPECT_RESULT(http("HTTP/1.1 207 Multi\r\n\r\nI was.", wants), Kind::bad,
                "status 207, the body does not have the expected text");
  EXPECT_RESULT(http("HTTP/1.1 200 OK\r\n\r\nalive", wants), Kind::bad, "status 200");
  EXPECT_RESULT(http("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                     [](HealthSettings& s) { s.method = HttpMethod::head; }),
                Kind::good, "status 200");
  EXPECT_THAT(request_, testing::StartsWith("HEAD / HTTP/1.1\r\n"));
  EXPECT_EQ(time_wait(), 0u);
}

TEST_F(HealthProbeTest, HttpNamesWhatIsWrong) {
  EXPECT_RESULT(http("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), Kind::bad, "status 500");
  EXPECT_RESULT(http("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"),
                Kind::good, "status 302");
  EXPECT_RESULT(http(""), Kind::bad, "the connection ended without an answer");
  EXPECT_RESULT(http("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Kind::bad,
                "the connection ended within the answer");
  const ProbeResult garbage = http("SSH-2.0-OpenSSH_9.2\r\n\x01\x02\xff");
  EXPECT_EQ(garbage.kind, Kind::bad);
  EXPECT_THAT(garbage.text, HasSubstr("HTTP/0.9"));
  EXPECT_RESULT(probe(check(HealthType::http, closed_port())), Kind::bad, "connection refused");
}

TEST_F(HealthProbeTest, HttpTellsWhereItHasBeenWaiting) {
  const auto within = [&](const HealthCheck& c) {
    HealthCheck quick = c;
    quick.settings.timeout_ms = 200;
    return probe(quick);
  };
  EXPECT_RESULT(within(check(HealthType::http, 80, "10.9.0.7")), Kind::bad,
                "no answer to the connection within 200 ms");
  Server hangs(SOCK_STREAM, nullptr);  // the kernel takes the connection, the process never does
  EXPECT_RESULT(within(check(HealthType::http, hangs.port())), Kind::bad,
                "no answer to the request within 200 ms");
  EXPECT_RESULT(within(check(HealthType::https, hangs.port())), Kind::bad,
                "no answer to the TLS handshake within 200 ms");
  std::atomic<bool> over{false};
  Server drips(SOCK_STREAM, [&](int fd) {
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (!over && send(fd, "x", 1, MSG_NOSIGNAL) == 1) std::this_thread::sleep_for(5ms);
  });
  EXPECT_RESULT(within(check(HealthType::http, drips.port())), Kind::bad,
                "the answer did not end within 200 ms");
  over = true;
}

TEST_F(HealthProbeTest, HttpTakesASlowAnswerThatComesInTime) {
  Server slow(SOCK_STREAM, [](int fd) {
    for (const char c : std::string_view("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")) {
      send(fd, &c, 1, MSG_NOSIGNAL);
      std::this_thread::sleep_for(2ms);
    }
  });
  EXPECT_RESULT(probe(check(HealthType::http, slow.port())), Kind::good, "status 200");
}

TEST_F(HealthProbeTest, HttpLooksAtTheFirst64KiBOfABodyWithoutEnd) {
  std::atomic<std::size_t> sent{0};
  Server endless(SOCK_STREAM, [&](int fd) {
    say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    const std::string chunk(16384, 'x');
    while (sent < (64u << 20) && send(fd, chunk.data(), chunk.size(), MSG_NOSIGNAL) > 0) sent += chunk.size();
  });
  EXPECT_RESULT(probe(check(HealthType::http, endless.port())), Kind::good, "status 200");
  EXPECT_LT(sent.load(), 64u << 20) << "it was cut off";
}

TEST_F(HealthProbeTest, HttpsShakesHandsWithARealServerAndVerifiesOnlyIfAsked) {
  const std::filesystem::path dir =
      std::filesystem::temp_directory_path() / fmt::format("xebec-tls-{}", getpid());
  std::filesystem::create_directory(dir);
  const std::string files = fmt::format("-keyout {0}/k.pem -out {0}/c.pem", dir.string());
  run("openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=example.org " + files + " 2> /dev/null");
  const uint16_t port = closed_port();
  const pid_t server = fork();
  if (server == 0) {
    const std::string p = std::to_string(port), key = (dir / "k.pem").string(),
                      cert = (dir / "c.pem").string();
    execlp("openssl", "openssl", "s_server", "-quiet", "-accept", p.c_str(), "-key", key.c_str(), "-cert",
           cert.c_str(), "-www", nullptr);
    _exit(127);
  }
  HealthCheck c = check(HealthType::https, port);
  c.settings.host = "example.org";
  const auto deadline = EventLoop::Clock::now() + 10s;
  while (probe(check(HealthType::tcp, port)).kind != Kind::good && EventLoop::Clock::now() < deadline) {
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_RESULT(probe(c), Kind::good, "status 200");
  c.settings.tls_verify = true;
  const ProbeResult unknown = probe(c);
  EXPECT_EQ(unknown.kind, Kind::bad);
  EXPECT_THAT(unknown.text, HasSubstr("certificate"));
  c.settings.type = HealthType::http;  // plain text to a TLS port
  EXPECT_EQ(probe(c).kind, Kind::bad);
  kill(server, SIGTERM);
  waitpid(server, nullptr, 0);
  std::filesystem::remove_all(dir);

  Server plain(SOCK_STREAM, [](int fd) { send(fd, "hello\r\n", 7, MSG_NOSIGNAL); });
  const ProbeResult no_tls = probe(check(HealthType::https, plain.port()));
  EXPECT_EQ(no_tls.kind, Kind::bad) << no_tls.text;
}

/// Answers each datagram with what `answer` makes of it; none: silence.
Server::Serve datagrams(std::function<std::string(std::string)> answer) {
  return [answer = std::move(answer)](int fd) {
    std::array<char, 2048> buffer;
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    const ssize_t got =
        recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&peer), &size);
    if (got < 0) return;
    const std::string out = answer(std::string(buffer.data(), static_cast<std::size_t>(got)));
    if (!out.empty()) sendto(fd, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
  };
}

TEST_F(HealthProbeTest, UdpComparesTheAnswer) {
  Server echo(SOCK_DGRAM, datagrams([](const std::string& got) { return "you said " + got; }));
  HealthCheck c = check(HealthType::udp, echo.port());
  c.settings.payload = std::string("pi\0ng", 5);
  c.settings.expect = std::string("said pi\0ng", 10);
  EXPECT_RESULT(probe(c), Kind::good, "answered");
  c.settings.expect = "pong";
  EXPECT_RESULT(probe(c), Kind::bad, "the answer is not the expected one");
}

TEST_F(HealthProbeTest, UdpTakesSilenceForGoodOnlyWhereNoAnswerIsExpected) {
  Server silent(SOCK_DGRAM, datagrams([](const std::string&) { return std::string(); }));
  HealthCheck c = check(HealthType::udp, silent.port());
  c.settings.timeout_ms = 100;
  EXPECT_RESULT(probe(c), Kind::good, "no refusal");
  c.settings.expect = "";
  EXPECT_RESULT(probe(c), Kind::bad, "no answer within 100 ms");
  c.settings.expect.reset();
  c.port = Server(SOCK_DGRAM, nullptr).port();
  EXPECT_RESULT(probe(c), Kind::bad, "connection refused");
}

/// A response to `query` with `rcode` and `answers` A records.
std::string dns_response(std::string query, int rcode, int answers) {
  query[2] = static_cast<char>(0x84);
  query[3] = static_cast<char>(rcode);
  query[7] = static_cast<char>(answers);
  const std::string record("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1", 16);
  for (int i = 0; i < answers; ++i) query += record;
  return query;
}

TEST_F(HealthProbeTest, DnsWantsARecordForItsName) {
  std::string got;
  int rcode = 0;
  int answers = 1;
  Server server(SOCK_DGRAM, datagrams([&](const std::string& query) {
                  got = query;
                  return dns_response(query, rcode, answers);
                }));
  HealthCheck c = check(HealthType::dns, server.port());
  c.settings.dns_name = "www.example.org";
  c.settings.dns_type = 28;
  EXPECT_RESULT(probe(c), Kind::good, "answered");
  EXPECT_EQ(got.substr(12), std::string("\3www\7example\3org\0\0\x1c\0\1", 21));
  answers = 0;
  EXPECT_RESULT(probe(c), Kind::bad, "the answer has no record");
  rcode = 2;
  EXPECT_RESULT(probe(c), Kind::bad, "SERVFAIL");
  rcode = 5;
  EXPECT_RESULT(probe(c), Kind::bad, "REFUSED");
}

TEST_F(HealthProbeTest, DnsRefusesWhatIsNoAnswerAndPassesOverAForeignOne) {
  std::string answer = "garbage";
  bool foreign = false;
  Server server(SOCK_DGRAM, datagrams([&](const std::string& query) {
                  if (!foreign) return answer;
                  std::string other = dns_response(query, 0, 1);
                  other[0] = static_cast<char>(other[0] ^ 1);
                  return other;
                }));
  HealthCheck c = check(HealthType::dns, server.port());
  c.settings.dns_name = "example.org";
  c.settings.timeout_ms = 150;
  EXPECT_RESULT(probe(c), Kind::bad, "the answer is no DNS message");
  foreign = true;
  EXPECT_RESULT(probe(c), Kind::bad, "no answer within 150 ms");
}

TEST_F(HealthProbeTest, IcmpHearsTheEchoOfBothFamiliesWithAndWithoutAPingSocket) {
  for (const char* range : {"0 2147483647", "1 0"}) {
    std::ofstream("/proc/sys/net/ipv4/ping_group_range") << range << std::endl;
    for (const char* address : {"127.0.0.1", "::1"})
      EXPECT_RESULT(probe(check(HealthType::icmp, 0, address)), Kind::good, "answered");
    HealthCheck nobody = check(HealthType::icmp, 0, "10.9.0.7");
    nobody.settings.timeout_ms = 100;
    EXPECT_RESULT(probe(nobody), Kind::bad, "no answer within 100 ms");
  }
}

TEST_F(HealthProbeTest, AThousandProbesAtOnceAreAllAnswered) {
  Server server(
      SOCK_STREAM, [](int) {}, 4096);
  HealthRunner runner(*loop_, make_probe_starter(*loop_, *curl_));
  int good = 0;
  int told = 0;
  for (int i = 0; i < 1000; ++i) {
    runner.run(check(HealthType::tcp, server.port()),
               [&](const ProbeResult& result, std::chrono::nanoseconds) {
                 good += result.kind == Kind::good ? 1 : 0;
                 if (++told == 1000) loop_->stop();
               });
  }
  EXPECT_EQ(runner.running(), kMaxProbes);
  EXPECT_EQ(runner.waiting(), 1000 - kMaxProbes);
  const auto guard = loop_->after(30s, [&] { loop_->stop(); });
  loop_->run();
  loop_->cancel(guard);
  EXPECT_EQ(good, 1000);
}

TEST_F(HealthProbeTest, AnAbandonedProbeIsNeverHeardOfAgain) {
  Server server(SOCK_STREAM, [](int) {});
  bool heard = false;
  {
    HealthRunner runner(*loop_, make_probe_starter(*loop_, *curl_));
    const auto done = [&](const ProbeResult&, std::chrono::nanoseconds) { heard = true; };
    HealthCheck dns = check(HealthType::dns, server.port());
    dns.settings.dns_name = "example.org";
    const auto cancelled = runner.run(check(HealthType::tcp, server.port()), done);
    for (const HealthType type :
         {HealthType::tcp, HealthType::http, HealthType::https, HealthType::udp, HealthType::icmp})
      runner.run(check(type, server.port()), done);
    runner.run(dns, done);
    runner.run(check(HealthType::tcp, 80, "192.0.2.1"), done);
    runner.cancel(cancelled);
  }
  loop_->after(100ms, [&] { loop_->stop(); });
  loop_->run();
  EXPECT_FALSE(heard);
}

}  // namespace
}  // namespace xebec
