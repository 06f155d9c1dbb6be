// SPDX-License-Identifier: BSD-2-Clause
// The tool's end of the control channel: one HTTP request on the daemon's unix socket, one JSON answer
// (docs/api.md).
#pragma once

#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "control/cli_error.h"

namespace xebec {

struct Answer {
  std::string body;  ///< as it came
  CliJson json;      ///< an object
};

class Client {
 public:
  Client(std::string socket, double timeout_s) : socket_(std::move(socket)), timeout_s_(timeout_s) {}

  /// `path` is percent-encoded. An answer with an error status is an error, with the daemon's own code and
  /// words. `tag`: of the configuration that the request was made from; another by now is the error "conflict".
  tl::expected<Answer, CliError> request(const std::string& method, const std::string& path,
                                         const std::string& body = {}, const std::string& tag = {}) const;
  /// The same of an answer that is no JSON unless it is an error.
  tl::expected<std::string, CliError> request_raw(const std::string& method, const std::string& path,
                                                  const std::string& body) const;

 private:
  struct Reply {
    long status = 0;
    std::string body;
  };
  tl::expected<Reply, CliError> perform(const std::string& method, const std::string& path,
                                        const std::string& body, const std::string& tag) const;

  std::string socket_;
  double timeout_s_;
};

/// One segment of a path or one value of a query: everything but RFC 3986's unreserved characters becomes
/// %XX.
std::string percent_encode(std::string_view text);

}  // namespace xebec
