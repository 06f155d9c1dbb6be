// SPDX-License-Identifier: BSD-2-Clause
// HTTP on a unix socket by libcurl, and the sentences for everything that can fail on the way.
#include "control/cli_client.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>

#include <curl/curl.h>
#include <fmt/format.h>

namespace xebec {
namespace {

/// No answer of a daemon is near it: 131,072 backends make some 40 MB. What is not xebecd may send without
/// end.
constexpr std::size_t kMaxAnswer = std::size_t{256} << 20;

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t append(char* data, std::size_t size, std::size_t count, void* target) {
  auto* body = static_cast<std::string*>(target);
  const std::size_t bytes = size * count;
  if (body->size() + bytes > kMaxAnswer) return 0;  // curl: CURLE_WRITE_ERROR
  body->append(data, bytes);
  return bytes;
}

CliError unreachable(const std::string& socket, int error_number) {
  const std::string what = fmt::format("connect to {}: {}", socket, std::strerror(error_number));
  if (error_number == EACCES || error_number == EPERM) {
    return {"permission", what, "run as root or as a member of the socket's group (ls -l " + socket + ")"};
  }
  return {"unreachable", what,
          "is xebecd running? Another socket: --socket PATH or the environment's XEBEC_SOCKET"};
}

CliError transport_error(CURL* curl, CURLcode code, const std::string& socket, double timeout_s) {
  long error_number = 0;
  curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error_number);
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return {"timeout", fmt::format("{}: no answer within {:g} s", socket, timeout_s),
            "the daemon may be busy or stopped; a longer wait: --timeout SECONDS"};
  }
  if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) {
    return unreachable(socket, error_number != 0 ? static_cast<int>(error_number) : ECONNREFUSED);
  }
  return {"unreachable", fmt::format("{}: {}", socket, curl_easy_strerror(code)),
          "is this the socket of xebecd?"};
}

std::string string_in(const CliJson& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string code_of(long status) {
  switch (status) {
    case 400:
      return "usage";
    case 403:
      return "permission";
    case 404:
      return "not_found";
    case 409:
    case 412:
      return "conflict";
    case 422:
      return "invalid_config";
    case 504:
      return "timeout";
    default:
      return "failed";
  }
}

CliError daemon_error(long status, const CliJson& answer) {
  CliError error{code_of(status), fmt::format("the daemon answered with HTTP status {}", status), ""};
  const auto found = answer.find("error");
  if (found == answer.end() || !found->is_object()) return error;
  if (const std::string code = string_in(*found, "code"); !code.empty()) error.code = code;
  if (const std::string message = string_in(*found, "message"); !message.empty()) error.message = message;
  error.hint = string_in(*found, "hint");
  const auto diagnostics = found->find("diagnostics");
  if (diagnostics != found->end() && diagnostics->is_array()) error.diagnostics = *diagnostics;
  return error;
}

}  // namespace

tl::expected<Client::Reply, CliError> Client::perform(const std::string& method, const std::string& path,
                                                      const std::string& body, const std::string& tag) const {
  constexpr std::size_t kLongestSocket = 107;  // sun_path, unix(7)
  if (socket_.size() > kLongestSocket) {
    return tl::unexpected(
        CliError{"usage", fmt::format("--socket: longer than {} bytes", kLongestSocket), ""});
  }
  const std::unique_ptr<CURL, CurlDeleter> curl(curl_easy_init());
  // No "Expect: 100-continue": it would make a large configuration wait for a second round trip.
  const std::unique_ptr<curl_slist, CurlDeleter> headers(curl_slist_append(nullptr, "Expect:"));
  const bool tagged =
      tag.empty() ||
      (headers && curl_slist_append(headers.get(), fmt::format("If-Match: \"{}\"", tag).c_str()));
  if (!curl || !headers || !tagged) return tl::unexpected(CliError{"failed", "libcurl: out of memory", ""});
  Reply reply;
  CURL* c = curl.get();
  curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket_.c_str());
  curl_easy_setopt(c, CURLOPT_URL, ("http://xebec" + path).c_str());
  curl_easy_setopt(c, CURLOPT_NOPROXY, "*");  // the environment's http_proxy is not meant for us
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);  // a name of ".." is a name
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, std::lround(timeout_s_ * 1000));
  curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &reply.body);
  if (method != "GET" && method != "DELETE") {
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.data());
  }
  if (const CURLcode code = curl_easy_perform(c); code != CURLE_OK) {
    return tl::unexpected(transport_error(c, code, socket_, timeout_s_));
  }
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &reply.status);
  return reply;
}

tl::expected<Answer, CliError> Client::request(const std::string& method, const std::string& path,
                                               const std::string& body, const std::string& tag) const {
  auto reply = perform(method, path, body, tag);
  if (!reply) return tl::unexpected(reply.error());
  const long status = reply->status;
  Answer answer{std::move(reply->body), {}};
  answer.json = CliJson::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (!answer.json.is_object()) {
    return tl::unexpected(CliError{code_of(status) == "permission" ? "permission" : "failed",
                                   fmt::format("{}: HTTP status {} and no JSON object", socket_, status),
                                   "is this the socket of xebecd?"});
  }
  if (status < 200 || status > 299) return tl::unexpected(daemon_error(status, answer.json));
  return answer;
}

tl::expected<std::string, CliError> Client::request_raw(const std::string& method, const std::string& path,
                                                        const std::string& body) const {
  auto reply = perform(method, path, body, {});
  if (!reply) return tl::unexpected(reply.error());
  if (reply->status >= 200 && reply->status <= 299) return std::move(reply->body);
  const CliJson json = CliJson::parse(reply->body, nullptr, /*allow_exceptions=*/false);
  return tl::unexpected(daemon_error(reply->status, json.is_object() ? json : CliJson::object()));
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            std::strchr("-._~", c) != nullptr;
    if (unreserved && c != '\0') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<uint8_t>(c));
    }
  }
  return out;
}

}  // namespace xebec
