// SPDX-License-Identifier: BSD-2-Clause
// What a port that anybody may reach tells, and what not.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/http_server.h"

namespace xebec {

/// Nothing, or the refusal. Allowed are GET (and HEAD) of the pages and of those parts of the API that tell of state.
/// `loopback`: of the address listened on. There the request's Host must be an address or localhost: a web page whose name
/// resolves to 127.0.0.1 must not read this in the browser of somebody who works here (DNS rebinding).
std::optional<HttpResponse> refuse_public_request(const HttpRequest& request, bool loopback);

/// The API's error object.
HttpResponse page_error(int status, std::string_view code, const std::string& message, std::string_view hint);

}  // namespace xebec
