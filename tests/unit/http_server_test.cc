// SPDX-License-Identifier: BSD-2-Clause
// The HTTP server on real sockets, every case on both event loops. The server runs on a thread of its own, so
// that clients may block; they give up by deadline and never wait for ever.
#include "control/http_server.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/tcp_listener.h"
#include "control/unix_listener.h"

namespace xebec {
namespace {

using namespace std::chrono_literals;
using Clock = EventLoop::Clock;
using testing::HasSubstr;
using testing::StartsWith;

/// A directory that goes with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char pattern[] = "/tmp/xebec-http-XXXXXX";
    path_ = mkdtemp(pattern);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    rmdir((path_ + "/new").c_str());
    EXPECT_EQ(rmdir(path_.c_str()), 0) << path_ << " is not empty";
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// A client's connection.
class Connection {
 public:
  explicit Connection(const std::string& path, const std::function<void(int fd)>& before_connect = {})
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (before_connect) before_connect(fd_);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ADD_FAILURE() << "connect " << path << ": " << std::strerror(errno);
    }
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection(Connection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Connection& operator=(Connection&&) = delete;
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }

  /// False if the server closed first.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  bool readable_within(std::chrono::milliseconds time) const {
    pollfd poll_fd{fd_, POLLIN, 0};
    return poll(&poll_fd, 1, static_cast<int>(time.count())) > 0;
  }

  /// Reads until `enough` says so, the server closes, or ten seconds have passed.
  std::string read_until(const std::function<bool(const std::string&)>& enough) {
    const auto deadline = Clock::now() + 10s;
    std::string text;
    while (!enough(text)) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      pollfd poll_fd{fd_, POLLIN, 0};
      if (left <= 0ms || poll(&poll_fd, 1, static_cast<int>(left.count())) <= 0) {
        ADD_FAILURE() << "no (complete) answer within 10 s, only: " << text;
        break;
      }
      char buffer[4096];
      const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }
  std::string read_to_end() {
    return read_until([](const std::string&) { return false; });
  }
  /// One answer with its Content-Length of body.
  std::string read_answer() {
    return read_until([](const std::string& text) {
      const auto end = text.find("\r\n\r\n");
      const auto field = text.find("Content-Length: ");
      return end != std::string::npos && field < end &&
             text.size() >= end + 4 + std::stoul(text.substr(field + 16));
    });
  }
  std::string ask(std::string_view request) {
    EXPECT_TRUE(send(request));
    return read_answer();
  }

 private:
  int fd_;
};

/// What the handler answers: the request, as it understood it.
HttpResponse echo(const HttpRequest& request) {
  if (request.path == "/throw") throw std::runtime_error("out of cheese \xff");
  if (request.path == "/teapot") return {418, "short and stout", "text/plain"};
  if (request.path == "/large") return {200, std::string(3u << 20, 'x')};
  const nlohmann::json body = {{"method", request.method}, {"path", request.path}, {"query", request.query},
                               {"body", request.body},     {"uid", request.uid},   {"gid", request.gid},
                               {"pid", request.pid}};
  return {200, body.dump()};
}

class HttpServerTest : public testing::TestWithParam<EventLoop::Backend> {
 protected:
  void TearDown() override { stop(); }

  void start(HttpLimits limits = {}) {
    auto loop = EventLoop::create(GetParam());
    ASSERT_TRUE(loop.has_value()) << loop.error();
    loop_ = std::move(*loop);
    auto server = HttpServer::listen(*loop_, path(), "no-such-group", &echo, limits);
    ASSERT_TRUE(server.has_value()) << server.error();
    server_ = std::move(*server);
    stop_fd_ = eventfd(0, EFD_CLOEXEC);
    loop_->watch(stop_fd_, POLLIN, [this](short) { loop_->stop(); });
    thread_ = std::thread([this] { loop_->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    const uint64_t one = 1;
    EXPECT_EQ(write(stop_fd_, &one, sizeof one), ssize_t{sizeof one});
    thread_.join();
    server_.reset();
    loop_.reset();
    close(stop_fd_);
  }
  std::string path() const { return directory_ / "socket"; }
  Connection connect() const { return Connection(path()); }

  TemporaryDirectory directory_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
  int stop_fd_ = -1;
};

std::string body_of(const std::string& answer) {
  return answer.substr(answer.find("\r\n\r\n") + 4);
}

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

struct CurlAnswer {
  CURLcode code = CURLE_OK;
  long status = 0;
  std::string content_type;
  std::string body;
};

CurlAnswer curl(const std::string& socket_path, const char* method, const std::string& url,
                const std::optional<std::string>& body = {}) {
  CURL* handle = curl_easy_init();
  CurlAnswer answer;
  curl_easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, socket_path.c_str());
  curl_easy_setopt(handle, CURLOPT_URL, ("http://xebec" + url).c_str());
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 10000L);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  if (body) {
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body->data());
  }
  if (std::string_view(method) == "HEAD") curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
  curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
  const auto write = +[](char* data, std::size_t size, std::size_t count, void* to) {
    static_cast<std::string*>(to)->append(data, size * count);
    return size * count;
  };
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, write);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &answer.body);
  answer.code = curl_easy_perform(handle);
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer.status);
  char* type = nullptr;
  curl_easy_getinfo(handle, CURLINFO_CONTENT_TYPE, &type);
  if (type != nullptr) answer.content_type = type;
  curl_easy_cleanup(handle);
  return answer;
}

TEST_P(HttpServerTest, HandsEveryMethodToTheHandler) {
  start();
  for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"}) {
    const bool has_body = std::string_view(method).starts_with('P');
    const auto answer = curl(path(), method, "/v1/x%20y?a=1%2B1&b=c+d",
                             has_body ? std::optional<std::string>("{\"k\":1}") : std::nullopt);
    ASSERT_EQ(answer.code, CURLE_OK) << method;
    EXPECT_EQ(answer.status, 200) << method;
    EXPECT_EQ(answer.content_type, "application/json");
    const auto seen = nlohmann::json::parse(answer.body);
    EXPECT_EQ(seen["method"], method);
    EXPECT_EQ(seen["path"], "/v1/x y");
    EXPECT_EQ(seen["query"], (nlohmann::json{{"a", "1+1"}, {"b", "c d"}}));
    EXPECT_EQ(seen["body"], has_body ? "{\"k\":1}" : "");
    EXPECT_EQ(seen["uid"], getuid());
    EXPECT_EQ(seen["gid"], getgid());
    EXPECT_EQ(seen["pid"], getpid());
  }
}

TEST_P(HttpServerTest, ServesTcpAsItServesTheUnixSocket) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    auto loop = EventLoop::create(GetParam());
    ASSERT_TRUE(loop.has_value());
    auto server = HttpServer::listen(**loop, {*IpAddress::parse(address), 0}, [](const HttpRequest& r) {
      HttpResponse response{200, r.host + " " + std::to_string(r.pid), "text/plain"};
      response.headers.emplace_back("X-Further", "field");
      return response;
    });
    if (!server && server.error().find("Cannot assign") != std::string::npos)
      continue;  // a host without IPv6
    ASSERT_TRUE(server.has_value()) << server.error();
    const uint16_t port = dynamic_cast<const TcpListener&>((*server)->listener()).port();
    const auto taken = TcpListener::open({*IpAddress::parse(address), port});
    ASSERT_FALSE(taken.has_value());
    EXPECT_THAT(taken.error(), HasSubstr("Address already in use"));
    EventLoop& running = **loop;
    const int stop_fd = eventfd(0, EFD_CLOEXEC);
    running.watch(stop_fd, POLLIN, [&running](short) { running.stop(); });
    std::thread thread([&running] { running.run(); });
    const std::string host = std::string(address) == "::1" ? "[::1]" : address;
    std::string header;
    CURL* handle = curl_easy_init();
    curl_easy_setopt(handle, CURLOPT_URL, fmt::format("http://{}:{}/x", host, port).c_str());
    curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(handle, CURLOPT_HEADER, 1L);
    const auto write = +[](char* data, std::size_t size, std::size_t count, void* to) {
      static_cast<std::string*>(to)->append(data, size * count);
      return size * count;
    };
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, write);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &header);
    EXPECT_EQ(curl_easy_perform(handle), CURLE_OK);
    curl_easy_cleanup(handle);
    EXPECT_THAT(header, HasSubstr("X-Further: field\r\n"));
    EXPECT_THAT(header, testing::EndsWith(fmt::format("\r\n\r\n{}:{} 0", host, port)));
    const uint64_t one = 1;
    EXPECT_EQ(::write(stop_fd, &one, sizeof one), ssize_t{sizeof one});
    thread.join();
    server->reset();
    close(stop_fd);
  }
}

TEST_P(HttpServerTest, AnswersHeadWithTheHeaderOfGet) {
  start();
  const auto answer = curl(path(), "HEAD", "/teapot");
  EXPECT_EQ(answer.code, CURLE_OK);
  EXPECT_EQ(answer.status, 418);
  EXPECT_EQ(answer.content_type, "text/plain");
  EXPECT_EQ(answer.body, "");
}

TEST_P(HttpServerTest, SendsAnswersLargerThanTheSocketBuffer) {
  start();
  const auto answer = curl(path(), "GET", "/large");
  EXPECT_EQ(answer.code, CURLE_OK);
  EXPECT_EQ(answer.body, std::string(3u << 20, 'x'));
}

TEST_P(HttpServerTest, TurnsAnExceptionOfTheHandlerInto500) {
  start();
  const auto answer = curl(path(), "GET", "/throw");
  EXPECT_EQ(answer.status, 500);
  const auto error = nlohmann::json::parse(answer.body);
  EXPECT_EQ(error["schema"], "xebec.error/1");
  EXPECT_EQ(error["error"]["code"], "failed");
  EXPECT_THAT(error["error"]["message"], HasSubstr("GET /throw: out of cheese"));
  EXPECT_EQ(curl(path(), "GET", "/a").status, 200) << "and the server lives on";
}

TEST_P(HttpServerTest, TakesABodyOfExactlyTheLimitAndRefusesOneByteMore) {
  start();
  const auto largest = curl(path(), "PUT", "/a", std::string(1u << 20, 'b'));
  EXPECT_EQ(largest.status, 200);
  EXPECT_EQ(nlohmann::json::parse(largest.body)["body"].get<std::string>().size(), 1u << 20);
  const auto larger = curl(path(), "PUT", "/a", std::string((1u << 20) + 1, 'b'));
  EXPECT_EQ(larger.code, CURLE_OK);
  EXPECT_EQ(larger.status, 413);
  const auto error = nlohmann::json::parse(larger.body);
  EXPECT_EQ(error["schema"], "xebec.error/1");
  EXPECT_EQ(error["error"]["code"], "usage");
  EXPECT_EQ(error["error"]["message"], "request: the body is longer than 1048576 bytes");
  EXPECT_TRUE(error["error"]["diagnostics"].is_array());
}

TEST_P(HttpServerTest, RefusesATooLargeBodyWithoutAnnouncedLength) {
  start({.body_bytes = 1000});
  const std::string chunk = fmt::format("{:x}\r\n{}\r\n", 600, std::string(600, 'c'));
  const std::string head = "PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_THAT(connect().ask(head + chunk + "0\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(connect().ask(head + chunk + chunk + "0\r\n\r\n"), StartsWith("HTTP/1.1 413"));
}

TEST_P(HttpServerTest, RefusesAnAbsurdContentLengthAtOnce) {
  start();
  for (const char* length : {"1048577", "99999999999999999999999999", "18446744073709551615"}) {
    Connection client = connect();
    client.send(fmt::format("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", length));
    EXPECT_THAT(client.read_answer(), testing::ContainsRegex("^HTTP/1.1 (400|413)")) << length;
  }
}

TEST_P(HttpServerTest, RefusesTargetsItWouldHaveToGuess) {
  start();
  const auto answer = connect().ask("GET /v1/status%00 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(nlohmann::json::parse(body_of(answer))["error"]["message"],
            "request target: control character 0x00");
}

TEST_P(HttpServerTest, KeepsConnectionsAlive) {
  start();
  Connection client = connect();
  for (int i = 0; i < 5; ++i) EXPECT_THAT(client.ask(kGet), StartsWith("HTTP/1.1 200"));
}

TEST_P(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  Connection client = connect();
  std::string requests;
  for (int i = 0; i < 10; ++i) requests += fmt::format("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", i);
  requests += "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_TRUE(client.send(requests));
  const std::string answers = client.read_to_end();
  std::size_t at = 0;
  for (int i = 0; i < 10; ++i) {
    const auto found = answers.find(fmt::format("\"path\":\"/{}\"", i), at);
    ASSERT_NE(found, std::string::npos) << i;
    at = found;
  }
  EXPECT_NE(answers.find("\"path\":\"/last\"", at), std::string::npos);
}

TEST_P(HttpServerTest, ReadsARequestThatComesByteByByte) {
  start();
  Connection client = connect();
  for (const char byte : std::string("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")) {
    ASSERT_TRUE(client.send(std::string_view(&byte, 1)));
  }
  EXPECT_EQ(nlohmann::json::parse(body_of(client.read_answer()))["body"], "abc");
}

TEST_P(HttpServerTest, SurvivesGarbage) {
  start({.silence = 100ms});
  const std::string cases[] = {
      std::string(1, '\0'),
      "\r\n\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),  // a TLS client
      "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'a') + "\r\n\r\n",
      "GET / HTTP/1.1\r\nno colon here\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\n12345",
      "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
      std::string(1u << 20, '\xff'),
  };
  for (const std::string& garbage : cases) {
    Connection client = connect();
    client.send(garbage);
    client.read_to_end();  // whatever it is, the connection ends
    EXPECT_THAT(connect().ask(kGet), StartsWith("HTTP/1.1 200")) << "after " << garbage.substr(0, 40);
  }
}

TEST_P(HttpServerTest, SurvivesClientsThatLeaveAtAnyPoint) {
  start();
  const std::string request = "POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
  for (std::size_t length = 0; length <= request.size(); ++length) connect().send(request.substr(0, length));
  EXPECT_THAT(connect().ask(kGet), StartsWith("HTTP/1.1 200"));
}

TEST_P(HttpServerTest, DropsNobodyWhileAllHaveRoom) {
  start();
  std::vector<Connection> clients;
  for (int i = 0; i < 32; ++i) clients.push_back(connect());
  std::this_thread::sleep_for(50ms);  // longer than anybody's grace
  for (Connection& client : clients) EXPECT_THAT(client.ask(kGet), StartsWith("HTTP/1.1 200"));
  Connection another = connect();
  EXPECT_THAT(another.ask(kGet), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(clients.front().read_to_end(), "")
      << "the one that asked first has been silent for the longest time";
  for (std::size_t i = 1; i < clients.size(); ++i)
    EXPECT_THAT(clients[i].ask(kGet), StartsWith("HTTP/1.1 200"));
}

TEST_P(HttpServerTest, ServesFortyClientsAtOnce) {
  start();
  std::vector<Connection> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(connect());
  // At most eight made room for the others: those with the longest silence.
  int answered = 0;
  for (Connection& client : clients) {
    if (client.send(kGet) && client.read_answer().starts_with("HTTP/1.1 200")) ++answered;
  }
  EXPECT_GE(answered, 32);
}

TEST_P(HttpServerTest, AnswersFortyClientsThatAskAtOnce) {
  start();
  std::atomic<int> answered = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 40; ++i) {
    threads.emplace_back([&] {
      if (Connection(path()).ask(kGet).starts_with("HTTP/1.1 200")) ++answered;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 40);
}

TEST_P(HttpServerTest, AnswersAnHonestClientAmongTheSilent) {
  start();
  std::vector<Connection> silent;
  for (int i = 0; i < 32; ++i) {
    silent.push_back(connect());
    silent.back().send("GET / HT");
  }
  const auto begin = Clock::now();
  EXPECT_THAT(connect().ask(kGet), StartsWith("HTTP/1.1 200"));
  EXPECT_LT(Clock::now() - begin, 1s);
}

TEST_P(HttpServerTest, AnswersAnHonestClientDuringAFlood) {
  start();
  std::atomic<bool> done = false;
  std::thread flood([&] {
    std::vector<Connection> held;
    while (!done) {
      held.push_back(connect());
      held.back().send("GET / HT");
      if (held.size() > 200) held.clear();
    }
  });
  for (int i = 0; i < 20; ++i) {
    const auto begin = Clock::now();
    EXPECT_THAT(connect().ask(kGet), StartsWith("HTTP/1.1 200"));
    EXPECT_LT(Clock::now() - begin, 1s);
  }
  done = true;
  flood.join();
}

TEST_P(HttpServerTest, DropsSilentClients) {
  start({.silence = 200ms});
  const auto begin = Clock::now();
  for (const char* sent :
       {"", "GET / HTTP/1.1\r\n", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"}) {
    Connection client = connect();
    client.send(sent);
    const auto from = Clock::now();
    EXPECT_EQ(client.read_to_end(), "") << sent;
    EXPECT_GE(Clock::now() - from, 150ms) << sent;
  }
  EXPECT_LT(Clock::now() - begin, 5s);
}

TEST_P(HttpServerTest, DropsKeptAliveClientsThatFallSilent) {
  start({.silence = 200ms});
  Connection client = connect();
  EXPECT_THAT(client.ask(kGet), StartsWith("HTTP/1.1 200"));
  const auto from = Clock::now();
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_GE(Clock::now() - from, 150ms);
  EXPECT_LT(Clock::now() - from, 5s);
}

TEST_P(HttpServerTest, DropsTheSlowLoris) {
  start({.silence = 200ms});
  Connection client = connect();
  const auto begin = Clock::now();
  // A byte every 20 ms is never silent, and never a request either.
  int sent = 0;
  while (client.send("a") && Clock::now() - begin < 10s) {
    ++sent;
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_GT(sent, 3);
  EXPECT_LT(Clock::now() - begin, 5s);
}

TEST_P(HttpServerTest, DropsClientsThatDoNotTakeTheirAnswer) {
  start({.silence = 100ms});
  Connection client = connect();
  client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto deadline = Clock::now() + 10s;
  while (client.send("a") && Clock::now() < deadline) std::this_thread::sleep_for(20ms);
  EXPECT_LT(Clock::now(), deadline);
}

// Not under the sanitizers: UBSan's check of a vptr asks through a pipe whether memory can be read, takes the want of
// descriptors for a bad object, and aborts. The release build runs it.
#ifndef __SANITIZE_ADDRESS__
TEST_P(HttpServerTest, WaitsOutAShortageOfDescriptors) {
  start();
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  Connection client(path(), [&](int fd) {
    const int next = fcntl(fd, F_DUPFD_CLOEXEC, 0);  // the number that accept() would get
    close(next);
    const rlimit none{static_cast<rlim_t>(next), old.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  });
  client.send(kGet);
  const bool answered = client.readable_within(250ms);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_FALSE(answered) << "the shortage was none";
  EXPECT_THAT(client.read_answer(), StartsWith("HTTP/1.1 200"));
}
#endif

TEST_P(HttpServerTest, SleepsWhileItsClientsAreSilent) {
  start();
  Connection idle = connect();
  EXPECT_THAT(idle.ask(kGet), StartsWith("HTTP/1.1 200"));
  Connection slow = connect();
  slow.send("GET / HT");
  timespec before{};
  timespec after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  std::this_thread::sleep_for(300ms);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  const auto used = std::chrono::seconds(after.tv_sec - before.tv_sec) +
                    std::chrono::nanoseconds(after.tv_nsec - before.tv_nsec);
  EXPECT_LT(used, 100ms);
}

TEST_P(HttpServerTest, GoesAwayUnderItsClients) {
  start();
  Connection silent = connect();
  Connection half = connect();
  half.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  Connection answering = connect();
  answering.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(answering.readable_within(5s));
  stop();  // the sanitizers look for what is left
  EXPECT_EQ(silent.read_to_end(), "");
  EXPECT_EQ(half.read_to_end(), "");
}

TEST_P(HttpServerTest, SocketIsForOwnerAndGroup) {
  const mode_t old = umask(0);
  start();
  umask(old);
  struct stat status {};
  ASSERT_EQ(stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, mode_t{S_IFSOCK | 0660});
  EXPECT_EQ(listening_process(path()), getpid());
  stop();
  EXPECT_NE(stat(path().c_str(), &status), 0) << "the file goes with the server";
  EXPECT_EQ(listening_process(path()), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(BothBackends, HttpServerTest,
                         testing::Values(EventLoop::Backend::io_uring, EventLoop::Backend::epoll),
                         [](const auto& param) {
                           return std::string(param.param == EventLoop::Backend::epoll ? "Epoll" : "IoUring");
                         });

// ---- the socket file

TEST(UnixListener, MakesOneMissingDirectory) {
  TemporaryDirectory directory;
  {
    const auto listener = UnixListener::open(directory / "new/socket", "");
    ASSERT_TRUE(listener.has_value()) << listener.error();
    struct stat status {};
    ASSERT_EQ(stat((directory / "new").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode, mode_t{S_IFDIR | 0750});
  }
  const auto deeper = UnixListener::open(directory / "no/such/socket", "");
  ASSERT_FALSE(deeper.has_value());
  EXPECT_EQ(deeper.error(),
            "cannot make the directory " + (directory / "no/such") + ": No such file or directory");
}

/// A socket file that nobody listens on, as kill -9 leaves it.
void leave_stale(const std::string& path) {
  const int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(stale, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(stale, 1), 0);
  close(stale);
}

TEST(UnixListener, ReplacesAStaleFile) {
  TemporaryDirectory directory;
  const std::string path = directory / "socket";
  leave_stale(path);
  const auto listener = UnixListener::open(path, "");
  ASSERT_TRUE(listener.has_value()) << listener.error();
  EXPECT_EQ(listening_process(path), getpid());
}

TEST(UnixListener, RefusesToBeTheSecond) {
  TemporaryDirectory directory;
  const std::string path = directory / "socket";
  const auto first = UnixListener::open(path, "");
  ASSERT_TRUE(first.has_value()) << first.error();
  const auto second = UnixListener::open(path, "");
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error(),
            fmt::format("cannot listen on {}: process {} listens on it already", path, getpid()));
  EXPECT_EQ(listening_process(path), getpid()) << "the first one is left alone";
}

TEST(UnixListener, OnlyOneOfManyThatStartTogetherWins) {
  TemporaryDirectory directory;
  const std::string path = directory / "socket";
  for (int round = 0; round < 50; ++round) {
    leave_stale(path);
    std::vector<std::unique_ptr<UnixListener>> results(8);
    std::vector<std::thread> threads;
    std::atomic<bool> go = false;
    for (auto& result : results) {
      threads.emplace_back([&] {
        go.wait(false);
        if (auto opened = UnixListener::open(path, "")) result = std::move(*opened);
      });
    }
    go = true;
    go.notify_all();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::count(results.begin(), results.end(), nullptr), 7);
    EXPECT_EQ(listening_process(path), getpid());
  }
}

TEST(UnixListener, WaitsForWhoIsReplacingTheFileAndGivesUpAfterASecond) {
  TemporaryDirectory directory;
  const std::string path = directory / "socket";
  const int held = open((directory / ".").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  const auto begin = Clock::now();
  const auto refused = UnixListener::open(path, "");
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error(), HasSubstr("another process has held it for a second"));
  EXPECT_LT(Clock::now() - begin, 5s);
  std::thread waiting([&] {
    const auto listener = UnixListener::open(path, "");
    EXPECT_TRUE(listener.has_value()) << listener.error();
  });
  close(held);
  waiting.join();
}

TEST(UnixListener, LeavesFilesThatAreNoSockets) {
  TemporaryDirectory directory;
  const std::string path = directory / "socket";
  std::ofstream(path) << "precious";
  const auto listener = UnixListener::open(path, "");
  ASSERT_FALSE(listener.has_value());
  EXPECT_EQ(listener.error(), "cannot listen on " + path + ": a file that is not a socket is there");
  std::string content;
  std::ifstream(path) >> content;
  EXPECT_EQ(content, "precious");
  unlink(path.c_str());
}

TEST(UnixListener, LeavesAFileThatAnotherPutInItsPlace) {
  TemporaryDirectory directory;
  const std::string path = directory / "socket";
  auto first = UnixListener::open(path, "");
  ASSERT_TRUE(first.has_value()) << first.error();
  unlink(path.c_str());
  const auto second = UnixListener::open(path, "");
  ASSERT_TRUE(second.has_value()) << second.error();
  first->reset();
  EXPECT_EQ(listening_process(path), getpid()) << "the second one's file is still there";
}

TEST(UnixListener, RefusesPathsThatDoNotFit) {
  for (const std::string& path : {std::string(), std::string(108, 'a')}) {
    const auto listener = UnixListener::open(path, "");
    ASSERT_FALSE(listener.has_value());
    EXPECT_EQ(listener.error(),
              fmt::format("cannot listen on '{}': the path of a unix socket has 1 to 107 bytes", path));
  }
}

}  // namespace
}  // namespace xebec
