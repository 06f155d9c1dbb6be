// SPDX-License-Identifier: BSD-2-Clause
// HTTP/1.1 on a unix socket or on TCP (libmicrohttpd with its epoll descriptor in the loop). Transport only: api.h
// and pages.h know what is asked.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "control/endpoint.h"
#include "control/event_loop.h"
#include "control/listener.h"

namespace xebec {

struct HttpRequest {
  std::string method;  ///< "GET", ...; HEAD arrives as GET, its answer goes without the body
  std::string path;    ///< percent-decoded, without the query
  std::map<std::string, std::string> query;  ///< percent-decoded
  std::string body;
  std::string if_match;  ///< the header If-Match as it came
  std::string host{};    ///< the Host field; empty without one
  uid_t uid = 0;         ///< of the peer (SO_PEERCRED); nobody's on TCP
  gid_t gid = 0;
  pid_t pid = 0;
  std::vector<gid_t> groups;  ///< its supplementary groups (SO_PEERGROUPS), and gid
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::string etag{};                                          ///< with its quotes; empty: none is sent
  std::vector<std::pair<std::string, std::string>> headers{};  ///< further fields
};

/// What one client may ask of us (docs/api.md). Beyond them the client is told or dropped, and nobody else
/// waits.
struct HttpLimits {
  std::size_t body_bytes = 1u << 20;  ///< more is answered 413
  /// One more, and the client that has been without a complete request for the longest time is dropped: those
  /// who hold connections open cannot keep others out.
  unsigned clients = 32;
  /// A request has to be complete this long after the connection was made or its last answer sent, its body
  /// this long after its header; trickled bytes do not count. The answer must be taken within six times that.
  std::chrono::milliseconds silence{5000};
};

class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  /// Listens on `path` as UnixListener::open() says (mode 0660, group `group`, replacing a socket file that
  /// nobody listens on). The file goes with the object. The handler runs on the loop and must not destroy the
  /// server; what it throws becomes a 500.
  static tl::expected<std::unique_ptr<HttpServer>, std::string> listen(EventLoop& loop,
                                                                       const std::string& path,
                                                                       const std::string& group,
                                                                       Handler handler,
                                                                       HttpLimits limits = {});
  /// Listens on an address of this host; port 0 takes a free one.
  static tl::expected<std::unique_ptr<HttpServer>, std::string> listen(EventLoop& loop, const Endpoint& at,
                                                                       Handler handler,
                                                                       HttpLimits limits = {});
  virtual ~HttpServer() = default;
  virtual const Listener& listener() const = 0;
};

}  // namespace xebec
