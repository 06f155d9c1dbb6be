// SPDX-License-Identifier: BSD-2-Clause
// What the handlers of the API (docs/api.md) share: a request on its way through the routes, and the forms of an answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "control/controller.h"
#include "control/http_server.h"
#include "control/report.h"

namespace xebec {

/// Of a drain's deadline and of the wait for a confirmation, 24 hours (docs/api.md): a longer one means something else.
inline constexpr uint64_t kLongestTermMs = 24 * 3'600'000;

/// One request on its way through the routes.
struct Call {
  Controller& controller;
  const HttpRequest& request;
  std::vector<std::string> path;  ///< its segments, without "v1"

  const ServiceConfig* service(const std::string& name) const;  ///< nullptr if there is none
  /// nullptr if the query does not have it.
  const std::string* asked(const std::string& name) const;
  /// Present and not "0".
  bool flag(const std::string& name) const;
  /// If-Match is absent, "*" or one entity tag (RFC 9110 section 13.1.1).
  bool has_known_tag() const;
  ChangeTerms terms() const;
};

HttpResponse answer(int status, const Json& body);
HttpResponse answer(const ChangeResult& result, int status);
HttpResponse failure(int status, std::string_view code, std::string_view message, std::string_view hint = {},
                     const Diagnostics& diagnostics = {});
HttpResponse failure(const ChangeError& error);
HttpResponse no_service(const std::string& name);
HttpResponse not_an_address(const std::string& text);  ///< a backend is named by one
Json rows_of(const std::vector<ConfigChange>& diff);

/// The answer to a request that has no body and needs one.
std::optional<HttpResponse> missing_body(const std::string& body);
/// A body under the rules of a file: bounded depth, before anything recursive touches it, and no key twice.
tl::expected<nlohmann::json, HttpResponse> parse_body(const std::string& body);

/// A number of the query; `otherwise` if it is not there. The error is an answer.
tl::expected<uint64_t, HttpResponse> number_in_query(const Call& call, const std::string& name,
                                                     uint64_t otherwise, uint64_t largest);

}  // namespace xebec
