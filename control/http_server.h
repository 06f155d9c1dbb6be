// SPDX-License-Identifier: BSD-2-Clause
// HTTP/1.1 on a unix socket (libmicrohttpd with its epoll descriptor in the loop). Transport only: api.h knows what is asked.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include <tl/expected.hpp>

#include "control/event_loop.h"

namespace xebec {

struct HttpRequest {
  std::string method;                        ///< "GET", ...
  std::string path;                          ///< percent-decoded, without the query
  std::map<std::string, std::string> query;  ///< percent-decoded
  std::string body;
  uid_t uid = 0;  ///< of the peer (SO_PEERCRED)
  gid_t gid = 0;
  pid_t pid = 0;
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
};

/// Limits (docs/api.md): 1 MiB of body, 32 clients, 5 s of silence. Beyond them the client is told or dropped, and nobody
/// else waits.
class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  /// Binds `path` mode 0660, group `group` if it exists, replacing a socket file that nobody listens on. The file goes with
  /// the object. The handler runs on the loop.
  static tl::expected<std::unique_ptr<HttpServer>, std::string> listen(EventLoop& loop, const std::string& path,
                                                                       const std::string& group, Handler handler);
  virtual ~HttpServer() = default;
};

}  // namespace xebec
