// SPDX-License-Identifier: BSD-2-Clause
// HTTP on a socket: libmicrohttpd speaks the protocol, we accept, keep the limits and call the handler.
//
// We accept the connections ourselves, because libmicrohttpd at its connection limit stops accepting, and
// then whoever holds connections open keeps everybody else out. And we watch over the progress of requests,
// because its own timeout starts again with every byte that trickles in. To drop a client, its socket is shut
// down; libmicrohttpd sees the end and cleans up.
#include "control/http_server.h"

#include <microhttpd.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/http_target.h"
#include "control/tcp_listener.h"
#include "control/unix_listener.h"

namespace xebec {
namespace {

using Clock = EventLoop::Clock;
using namespace std::chrono_literals;

// Of one connection, for the header: a request line and some dozens of fields.
constexpr std::size_t kConnectionMemory = 32 * 1024;
constexpr int kAcceptsPerTurn = 16;  // so that a flood of connections shares the loop with everything else
// A client is not pushed out before it had the time to write its request. In a flood the others wait in the
// listener's queue, where those that write before they are accepted lose nothing: 32 clients every 20 ms are
// 1,600 a second.
constexpr Clock::duration kGrace = 20ms;
constexpr Clock::duration kAcceptRetry =
    100ms;                          // after the process ran out of descriptors or the kernel of memory
constexpr int kAnswerPatience = 6;  // times the silence

struct Client {
  int fd = -1;
  ucred credentials{};
  std::vector<gid_t> groups;
  Clock::time_point progress;  // last complete header, answer or connection
  Clock::time_point deadline;
  bool dropped = false;
};

/// One request on its way in.
struct Incoming {
  tl::expected<HttpTarget, std::string> target;
  std::string body;
  std::string if_match;
  bool started = false;
  bool too_large = false;
  bool answered = false;
};

HttpResponse error_response(int status, const char* code, const std::string& message,
                            const std::string& hint) {
  const nlohmann::ordered_json body = {{"schema", "xebec.error/1"},
                                       {"error",
                                        {{"code", code},
                                         {"message", message},
                                         {"hint", hint},
                                         {"diagnostics", nlohmann::ordered_json::array()}}}};
  // What the client sent may be in the message and need not be UTF-8.
  return {status, body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n"};
}

MHD_Result queue(MHD_Connection* connection, const HttpResponse& answer) {
  MHD_Response* response = MHD_create_response_from_buffer(
      answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.content_type.c_str());
  if (!answer.etag.empty()) MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, answer.etag.c_str());
  for (const auto& [name, value] : answer.headers)
    MHD_add_response_header(response, name.c_str(), value.c_str());
  const MHD_Result result = MHD_queue_response(connection, static_cast<unsigned>(answer.status), response);
  MHD_destroy_response(response);
  return result;
}

/// The length the client announces; absent when chunked. libmicrohttpd has refused what is no number.
std::optional<uint64_t> announced_length(MHD_Connection* connection) {
  const char* text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  if (text == nullptr) return std::nullopt;
  uint64_t length = 0;
  const std::string_view digits(text);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error == std::errc::result_out_of_range) return UINT64_MAX;
  return length;
}

/// With none but its primary one where the kernel does not tell: fewer rights, never more.
std::vector<gid_t> groups_of(int fd, gid_t primary) {
  std::vector<gid_t> groups(64);
  for (;;) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0) {
      groups.resize(size / sizeof(gid_t));
      break;
    }
    if (errno != ERANGE || size <= groups.size() * sizeof(gid_t)) {
      groups.clear();
      break;
    }
    groups.resize(size / sizeof(gid_t));  // as many as there are
  }
  groups.push_back(primary);
  return groups;
}

class MhdServer final : public HttpServer {
 public:
  MhdServer(EventLoop& loop, std::unique_ptr<Listener> listener, Handler handler, HttpLimits limits)
      : loop_(loop), listener_(std::move(listener)), handler_(std::move(handler)), limits_(limits) {}
  MhdServer(const MhdServer&) = delete;
  MhdServer& operator=(const MhdServer&) = delete;
  ~MhdServer() override;

  tl::expected<void, std::string> start();
  const Listener& listener() const override { return *listener_; }

 private:
  static void* on_target(void* self, const char* uri, MHD_Connection* connection);
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url, const char* method,
                               const char* version, const char* data, std::size_t* size, void** context);
  static void on_completed(void* self, MHD_Connection* connection, void** context,
                           MHD_RequestTerminationCode why);
  static void on_connection(void* self, MHD_Connection* connection, void** context,
                            MHD_ConnectionNotificationCode what);

  MHD_Result receive(MHD_Connection* connection, Incoming& request, const char* method, const char* data,
                     std::size_t* size);
  HttpResponse answer(MHD_Connection* connection, const Client& client, Incoming& request,
                      const char* method);
  HttpResponse too_large() const;

  void watch_listener();
  void accept_clients();
  void pause_accepting(Clock::time_point until);
  Client& longest_silent();
  void drop(Client& client);
  void turn();
  void expire();
  Client* client_of(MHD_Connection* connection);

  EventLoop& loop_;
  std::unique_ptr<Listener> listener_;
  Handler handler_;
  HttpLimits limits_;
  MHD_Daemon* daemon_ = nullptr;
  std::map<int, Client> clients_;  // by descriptor
  EventLoop::WatchId listener_watch_ = 0;
  EventLoop::WatchId daemon_watch_ = 0;
  EventLoop::TimerId accept_timer_ = 0;
  EventLoop::TimerId turn_timer_ = 0;
};

tl::expected<void, std::string> MhdServer::start() {
  // Our own deadlines come first; this one is only the net below them.
  const auto net = std::chrono::ceil<std::chrono::seconds>(limits_.silence * kAnswerPatience);
  daemon_ =
      MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, nullptr, nullptr, &on_request, this,
                       MHD_OPTION_CONNECTION_LIMIT, limits_.clients + 1,  //
                       MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory, MHD_OPTION_CONNECTION_TIMEOUT,
                       static_cast<unsigned>(net.count()), MHD_OPTION_URI_LOG_CALLBACK, &on_target, this,  //
                       MHD_OPTION_NOTIFY_COMPLETED, &on_completed, this,                                   //
                       MHD_OPTION_NOTIFY_CONNECTION, &on_connection, this, MHD_OPTION_END);
  if (daemon_ == nullptr) return tl::unexpected(std::string("libmicrohttpd does not start"));
  const MHD_DaemonInfo* info = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD);
  if (info == nullptr || info->epoll_fd < 0) {
    return tl::unexpected(std::string("libmicrohttpd was built without epoll"));
  }
  daemon_watch_ = loop_.watch(info->epoll_fd, POLLIN, [this](short) { turn(); });
  watch_listener();
  return {};
}

MhdServer::~MhdServer() {
  loop_.unwatch(listener_watch_);
  loop_.unwatch(daemon_watch_);
  loop_.cancel(accept_timer_);
  loop_.cancel(turn_timer_);
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

// ---- connections

void MhdServer::watch_listener() {
  listener_watch_ = loop_.watch(listener_->fd(), POLLIN, [this](short) { accept_clients(); });
}

void MhdServer::accept_clients() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const bool full = clients_.size() >= limits_.clients;
    const Clock::time_point replaceable = full ? longest_silent().progress + kGrace : Clock::time_point{};
    if (replaceable > Clock::now()) return pause_accepting(replaceable);
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd =
        accept4(listener_->fd(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      if (full) drop(longest_silent());
      turn();
      MHD_add_connection(daemon_, fd, reinterpret_cast<sockaddr*>(&address), size);  // closes fd if it fails
      turn();  // what a client sent before it was accepted is answered before the next one may push it out
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return;
    // No descriptor left, or no memory.
    return pause_accepting(Clock::now() + kAcceptRetry);
  }
}

/// The listener stays readable meanwhile: without the pause the loop would spin.
void MhdServer::pause_accepting(Clock::time_point until) {
  loop_.unwatch(listener_watch_);
  accept_timer_ = loop_.at(until, [this] { watch_listener(); });
}

Client& MhdServer::longest_silent() {
  const auto longest = std::min_element(clients_.begin(), clients_.end(), [](const auto& a, const auto& b) {
    return a.second.progress < b.second.progress;
  });
  return longest->second;
}

void MhdServer::drop(Client& client) {
  if (std::exchange(client.dropped, true)) return;
  shutdown(client.fd, SHUT_RDWR);
}

Client* MhdServer::client_of(MHD_Connection* connection) {
  const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info == nullptr ? nullptr : static_cast<Client*>(info->socket_context);
}

void MhdServer::on_connection(void* self, MHD_Connection* connection, void** context,
                              MHD_ConnectionNotificationCode what) {
  auto& server = *static_cast<MhdServer*>(self);
  if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
    if (const auto* client = static_cast<Client*>(*context)) server.clients_.erase(client->fd);
    *context = nullptr;
    return;
  }
  const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (info == nullptr) return;
  Client& client = server.clients_[info->connect_fd];
  client = Client{};
  client.fd = info->connect_fd;
  client.progress = Clock::now();
  client.deadline = client.progress + server.limits_.silence;
  socklen_t size = sizeof client.credentials;
  if (getsockopt(client.fd, SOL_SOCKET, SO_PEERCRED, &client.credentials, &size) != 0) {
    client.credentials = {0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};  // nobody, never root
  }
  client.groups = groups_of(client.fd, client.credentials.gid);
  *context = &client;
}

// ---- time

void MhdServer::turn() {
  MHD_run(daemon_);
  expire();
  loop_.cancel(turn_timer_);
  turn_timer_ = 0;
  std::optional<Clock::time_point> next;
  for (const auto& [fd, client] : clients_) {
    if (!client.dropped && (!next || client.deadline < *next)) next = client.deadline;
  }
  MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
  if (MHD_get_timeout(daemon_, &timeout_ms) == MHD_YES) {
    const auto wanted = Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(timeout_ms));
    if (!next || wanted < *next) next = wanted;
  }
  if (next) turn_timer_ = loop_.at(*next, [this] { turn(); });
}

void MhdServer::expire() {
  const auto now = Clock::now();
  bool dropped = false;
  for (auto& [fd, client] : clients_) {
    if (client.dropped || client.deadline > now) continue;
    drop(client);
    dropped = true;
  }
  if (dropped) MHD_run(daemon_);
}

// ---- requests

void* MhdServer::on_target(void* /*self*/, const char* uri, MHD_Connection* /*connection*/) {
  // nullptr without memory: on_request then closes the connection.
  try {
    return new Incoming{parse_target(uri), {}, {}};
  } catch (...) {
    return nullptr;
  }
}

void MhdServer::on_completed(void* self, MHD_Connection* connection, void** context,
                             MHD_RequestTerminationCode) {
  delete static_cast<Incoming*>(*context);
  *context = nullptr;
  auto& server = *static_cast<MhdServer*>(self);
  if (Client* client = server.client_of(connection)) {
    client->progress = Clock::now();
    client->deadline = client->progress + server.limits_.silence;
  }
}

MHD_Result MhdServer::on_request(void* self, MHD_Connection* connection, const char* /*url*/,
                                 const char* method, const char* /*version*/, const char* data,
                                 std::size_t* size, void** context) {
  auto* request = static_cast<Incoming*>(*context);
  if (request == nullptr) return MHD_NO;
  // libmicrohttpd is C: nothing may be thrown through it. Its own MHD_NO closes the connection.
  try {
    return static_cast<MhdServer*>(self)->receive(connection, *request, method, data, size);
  } catch (...) {
    return MHD_NO;
  }
}

/// Called once for the header, then for each piece of body, then once at the end. The first answer counts.
MHD_Result MhdServer::receive(MHD_Connection* connection, Incoming& request, const char* method,
                              const char* data, std::size_t* size) {
  Client* client = client_of(connection);
  if (client == nullptr) return MHD_NO;
  if (!request.started) {
    request.started = true;
    if (const char* tag = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_MATCH))
      request.if_match = *tag != '\0' ? tag : "\"\"";  // there, and no tag: not the same as not there
    client->progress = Clock::now();
    client->deadline = client->progress + limits_.silence;
    // Told before it sends it, where it says how much it will be.
    if (announced_length(connection).value_or(0) > limits_.body_bytes) {
      request.answered = true;
      return queue(connection, too_large());
    }
    return MHD_YES;
  }
  if (*size > 0) {
    request.too_large = request.too_large || *size > limits_.body_bytes - request.body.size();
    if (!request.too_large) request.body.append(data, *size);
    *size = 0;
    return MHD_YES;
  }
  if (request.answered) return MHD_YES;
  request.answered = true;
  const HttpResponse response = answer(connection, *client, request, method);
  client->progress = Clock::now();
  client->deadline = client->progress + limits_.silence * kAnswerPatience;
  return queue(connection, response);
}

HttpResponse MhdServer::too_large() const {
  return error_response(413, "usage",
                        fmt::format("request: the body is longer than {} bytes", limits_.body_bytes),
                        "put a large configuration into the daemon's files and reload");
}

HttpResponse MhdServer::answer(MHD_Connection* connection, const Client& client, Incoming& request,
                               const char* method) {
  if (request.too_large) return too_large();
  if (!request.target) return error_response(400, "usage", "request target: " + request.target.error(), "");
  HttpRequest asked;
  asked.method = std::string_view(method) == MHD_HTTP_METHOD_HEAD ? MHD_HTTP_METHOD_GET : method;
  asked.path = std::move(request.target->path);
  asked.query = std::move(request.target->query);
  asked.body = std::move(request.body);
  asked.if_match = std::move(request.if_match);
  if (const char* host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST))
    asked.host = host;
  asked.uid = client.credentials.uid;
  asked.gid = client.credentials.gid;
  asked.pid = client.credentials.pid;
  asked.groups = client.groups;
  try {
    return handler_(asked);
  } catch (const std::exception& error) {
    return error_response(500, "failed", fmt::format("{} {}: {}", asked.method, asked.path, error.what()),
                          "this is a bug in xebecd");
  }
}

tl::expected<std::unique_ptr<HttpServer>, std::string> serve(EventLoop& loop,
                                                             std::unique_ptr<Listener> listener,
                                                             HttpServer::Handler handler,
                                                             const HttpLimits& limits) {
  auto server = std::make_unique<MhdServer>(loop, std::move(listener), std::move(handler), limits);
  if (auto started = server->start(); !started)
    return tl::unexpected(fmt::format("cannot serve HTTP: {}", started.error()));
  return server;
}

}  // namespace

tl::expected<std::unique_ptr<HttpServer>, std::string> HttpServer::listen(
    EventLoop& loop, const std::string& path, const std::string& group, Handler handler, HttpLimits limits) {
  auto listener = UnixListener::open(path, group);
  if (!listener) return tl::unexpected(std::move(listener.error()));
  return serve(loop, std::move(*listener), std::move(handler), limits);
}

tl::expected<std::unique_ptr<HttpServer>, std::string> HttpServer::listen(EventLoop& loop, const Endpoint& at,
                                                                          Handler handler,
                                                                          HttpLimits limits) {
  auto listener = TcpListener::open(at);
  if (!listener) return tl::unexpected(std::move(listener.error()));
  return serve(loop, std::move(*listener), std::move(handler), limits);
}

}  // namespace xebec
