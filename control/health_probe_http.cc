// SPDX-License-Identifier: BSD-2-Clause
// The HTTP and HTTPS checks, by libcurl: one connection, one request, and an answer whose status and body are as
// expected.
#include <curl/curl.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "control/curl_loop.h"
#include "control/health_socket.h"

namespace xebec {
namespace {

/// What is looked at of a body. The check of a page of megabytes ends here, and is good if all else is.
constexpr std::size_t kMaxBody = 65536;

/// The name alone: "example.org:8080" is a Host, too.
std::string name_of(const std::string& host) {
  const std::size_t colon = host.rfind(':');
  if (colon == std::string::npos || host.find(']', colon) != std::string::npos) return host;
  return host.substr(0, colon);
}

class HttpProbe final : public Probe {
 public:
  HttpProbe(CurlLoop& curl, HealthSettings settings, ProbeDone done)
      : curl_(curl), settings_(std::move(settings)), done_(std::move(done)), easy_(curl_easy_init()) {}
  HttpProbe(const HttpProbe&) = delete;
  HttpProbe& operator=(const HttpProbe&) = delete;
  ~HttpProbe() override {
    if (easy_ != nullptr) {
      curl_.remove(easy_);
      curl_easy_cleanup(easy_);
    }
    curl_slist_free_all(headers_);
    curl_slist_free_all(connect_to_);
  }

  /// False: libcurl has no memory, or does not take it.
  bool start(const HealthCheck& check);
  ProbeResult overdue() const override;

 private:
  void set_address(const HealthCheck& check);
  void set_request();
  static int on_new_socket(void* self, curl_socket_t fd, curlsocktype);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  ProbeResult result(CURLcode code);
  ProbeResult judge_answer();
  long number(CURLINFO info) const {
    long value = 0;
    curl_easy_getinfo(easy_, info, &value);
    return value;
  }
  curl_off_t time(CURLINFO info) const {
    curl_off_t value = 0;
    curl_easy_getinfo(easy_, info, &value);
    return value;
  }

  CurlLoop& curl_;
  HealthSettings settings_;
  ProbeDone done_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  curl_slist* connect_to_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_{};
  int fd_ = -1;
  std::string body_;
  bool enough_ = false;
};

void HttpProbe::set_address(const HealthCheck& check) {
  const char* const scheme = settings_.type == HealthType::https ? "https" : "http";
  const std::string& host = settings_.host;
  // The name is never resolved: it is for the Host field, for TLS to ask for and for the certificate to have.
  const std::string authority =
      host.empty() ? check.target() : fmt::format("{}:{}", name_of(host), check.port);
  curl_easy_setopt(easy_, CURLOPT_URL, fmt::format("{}://{}/", scheme, authority).c_str());
  if (host.empty()) return;
  connect_to_ = curl_slist_append(connect_to_, ("::" + check.target()).c_str());
  curl_easy_setopt(easy_, CURLOPT_CONNECT_TO, connect_to_);
  headers_ = curl_slist_append(headers_, ("Host: " + host).c_str());
}

void HttpProbe::set_request() {
  headers_ = curl_slist_append(headers_, "Connection: close");
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
  curl_easy_setopt(easy_, CURLOPT_REQUEST_TARGET, settings_.path.c_str());
  curl_easy_setopt(easy_, CURLOPT_USERAGENT, "xebec-health-check/" XEBEC_VERSION);
  curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  if (settings_.method == HttpMethod::head) curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
  if (settings_.method == HttpMethod::options) curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, "OPTIONS");
}

bool HttpProbe::start(const HealthCheck& check) {
  if (easy_ == nullptr) return false;
  set_address(check);
  set_request();
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_.data());
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_SOCKOPTFUNCTION, &on_new_socket);
  curl_easy_setopt(easy_, CURLOPT_SOCKOPTDATA, this);
  curl_easy_setopt(easy_, CURLOPT_PROXY, "");  // whatever the environment says
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  // The next check shall find out whether connections are still taken.
  curl_easy_setopt(easy_, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy_, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, settings_.tls_verify ? 1L : 0L);
  curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, settings_.tls_verify ? 2L : 0L);
  if (!settings_.tls_verify) {  // reading the host's certificates takes longer than the handshake
    curl_easy_setopt(easy_, CURLOPT_CAINFO, nullptr);
    curl_easy_setopt(easy_, CURLOPT_CAPATH, nullptr);
  }
  return curl_.add(easy_, [this](CURLcode code) {
    const ProbeDone last = std::move(done_);
    last(result(code));
  });
}

/// As for the TCP check (health_probe_tcp.cc): close() resets.
int HttpProbe::on_new_socket(void* self, curl_socket_t fd, curlsocktype) {
  static_cast<HttpProbe*>(self)->fd_ = fd;
  const linger reset{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return CURL_SOCKOPT_OK;
}

std::size_t HttpProbe::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto* const that = static_cast<HttpProbe*>(self);
  const std::size_t room = kMaxBody - that->body_.size();
  that->body_.append(data, std::min(room, size * count));
  if (size * count <= room) return size * count;
  that->enough_ = true;
  return 0;
}

ProbeResult HttpProbe::judge_answer() {
  using Kind = ProbeResult::Kind;
  const long status = number(CURLINFO_RESPONSE_CODE);
  const bool expected =
      std::any_of(settings_.expect_status.begin(), settings_.expect_status.end(),
                  [&](const StatusRange& range) { return status >= range.low && status <= range.high; });
  if (!expected) return {Kind::bad, fmt::format("status {}", status)};
  if (body_.find(settings_.expect_body) == std::string::npos)
    return {Kind::bad, fmt::format("status {}, the body does not have the expected text", status)};
  return {Kind::good, fmt::format("status {}", status)};
}

ProbeResult HttpProbe::result(CURLcode code) {
  using Kind = ProbeResult::Kind;
  if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && enough_)) return judge_answer();
  const long error = number(CURLINFO_OS_ERRNO);
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      if (error != 0) return failed_with(static_cast<int>(error));
      break;
    case CURLE_OUT_OF_MEMORY:
      return {Kind::not_run, "the check could not be made: no memory"};
    case CURLE_GOT_NOTHING:
      return {Kind::bad, "the connection ended without an answer"};
    case CURLE_PARTIAL_FILE:
      return {Kind::bad, "the connection ended within the answer"};
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      if (error != 0) return {Kind::bad, errno_text(static_cast<int>(error))};
      break;
    default:
      break;
  }
  return {Kind::bad, error_[0] != '\0' ? std::string(error_.data()) : curl_easy_strerror(code)};
}

ProbeResult HttpProbe::overdue() const {
  const bool tls = settings_.type == HealthType::https;
  const char* waiting_for = "the answer did not end";
  if (number(CURLINFO_RESPONSE_CODE) == 0) waiting_for = "no answer to the request";
  if (tls && time(CURLINFO_APPCONNECT_TIME_T) == 0) waiting_for = "no answer to the TLS handshake";
  // libcurl 7.88 says of https that it is connected only when TLS is.
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &size) != 0)
    waiting_for = "no answer to the connection";
  return {ProbeResult::Kind::bad, waiting_for};
}

}  // namespace

std::unique_ptr<Probe> start_http_probe(EventLoop& loop, CurlLoop& curl, const HealthCheck& check,
                                        ProbeDone done) {
  auto probe = std::make_unique<HttpProbe>(curl, check.settings, done);
  if (probe->start(check)) return probe;
  return tell_later(loop, {ProbeResult::Kind::not_run, "the check could not be made: libcurl refuses"},
                    std::move(done));
}

}  // namespace xebec
